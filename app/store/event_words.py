"""The words and phones that readers of events include, as they are now."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.event_bodies import RecordedEvent
from app.store.engine import ReadTx, as_columns

TenantEventPair = tuple[str, RecordedEvent]
"""The tenant, and an event of it."""


@dataclass(frozen=True, slots=True)
class MessageWords:
    tenant_id: str
    message_id: str
    text: str
    media: list[dict[str, Any]]
    to_phone: str | None
    from_phone: str | None


GET_MESSAGES_SQL = """
SELECT m.tenant_id, m.message_id, m.text, m.media, m.to_phone, m.from_phone
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, message_id) JOIN messages m USING (tenant_id, message_id)
"""


@dataclass(frozen=True, slots=True)
class ThreadPhones:
    tenant_id: str
    interaction_id: str
    lead_phone: str
    our_number: str


GET_PHONES_SQL = """
SELECT t.tenant_id, t.interaction_id, t.lead_phone, t.our_number
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
JOIN interactions t USING (tenant_id, interaction_id)
"""


@dataclass(frozen=True, slots=True)
class TurnWords:
    tenant_id: str
    turn_id: str
    texts: list[str] | None
    outcome: dict[str, Any] | None


GET_TURNS_SQL = """
SELECT u.tenant_id, u.turn_id, u.reply -> 'texts' AS texts, u.outcome
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, turn_id) JOIN turns u USING (tenant_id, turn_id)
"""


class Words:
    """What bodies have besides ids, by tenant and event."""

    def __init__(self) -> None:
        self._words: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)

    def of(self, tenant_id: str, event: RecordedEvent) -> Mapping[str, Any]:
        return self._words.get((tenant_id, event.id), {})

    def add(self, tenant_id: str, event: RecordedEvent, **more: Any) -> None:
        self._words[tenant_id, event.id] |= more


async def get_words(
    read: ReadTx, with_text: Collection[TenantEventPair], with_phones: Collection[TenantEventPair]
) -> Words:
    """The words of the events `with_text`, and the phones of those `with_phones`. What was erased is left
    out."""
    words = Words()
    messages = await _get_messages(read, _list_keys([*with_text, *with_phones], "messageId"))
    turns = await _get_turns(read, _list_keys(with_text, "turnId"))
    phones = await _get_phones(
        read, [(tenant_id, e.interaction_id) for tenant_id, e in with_phones if e.interaction_id]
    )
    for tenant_id, event in with_text:
        if (message := messages.get((tenant_id, event.data.get("messageId")))) and _is_about_text(event):
            words.add(tenant_id, event, text=message.text, media=message.media)
        if turn := turns.get((tenant_id, event.data.get("turnId"))):
            if event.name == "outcome.recorded":
                words.add(tenant_id, event, outcome=turn.outcome)
            elif event.name == "turn.replied":
                words.add(tenant_id, event, texts=turn.texts)
    for tenant_id, event in with_phones:
        if (message := messages.get((tenant_id, event.data.get("messageId")))) and _is_about_text(event):
            words.add(tenant_id, event, **{"to": message.to_phone, "from": message.from_phone})
        thread = phones.get((tenant_id, event.interaction_id))
        if thread and (event.name or "").startswith("interaction."):
            words.add(tenant_id, event, leadPhone=thread.lead_phone, ourNumber=thread.our_number)
    return words


def _is_about_text(event: RecordedEvent) -> bool:
    return event.name == "possible_optout" or (event.name or "").startswith("message.")


def _list_keys(pairs: Collection[TenantEventPair], name: str) -> list[tuple[str, str]]:
    return [(tenant_id, event.data[name]) for tenant_id, event in pairs if event.data.get(name)]


RowKey = tuple[str, Any]
"""(tenant id, id)."""


async def _get_messages(read: ReadTx, keys: Sequence[RowKey]) -> dict[RowKey, MessageWords]:
    rows = await read.fetch(MessageWords, GET_MESSAGES_SQL, *as_columns(keys, 2)) if keys else []
    return {(row.tenant_id, row.message_id): row for row in rows}


async def _get_phones(read: ReadTx, keys: Sequence[RowKey]) -> dict[RowKey, ThreadPhones]:
    rows = await read.fetch(ThreadPhones, GET_PHONES_SQL, *as_columns(keys, 2)) if keys else []
    return {(row.tenant_id, row.interaction_id): row for row in rows}


async def _get_turns(read: ReadTx, keys: Sequence[RowKey]) -> dict[RowKey, TurnWords]:
    rows = await read.fetch(TurnWords, GET_TURNS_SQL, *as_columns(keys, 2)) if keys else []
    return {(row.tenant_id, row.turn_id): row for row in rows}

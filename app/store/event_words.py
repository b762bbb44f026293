"""What bodies of events have besides the events' rows: the ids of the thread, and for readers that include
them words and phones. All are as they are now, so that who writes an event does not look them up."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.event_bodies import RecordedEvent
from app.store.engine import ReadTx, as_columns

RowKey = tuple[str, Any]
"""(tenant id, id)."""
Words = dict[str, Any]
"""What the body of one event has besides its row."""


@dataclass(frozen=True, slots=True)
class AskedEvent:
    """An event of a tenant, and what its reader includes."""

    tenant_id: str
    event: RecordedEvent
    include: Collection[str]

    @property
    def thread_key(self) -> RowKey:
        return self.tenant_id, self.event.interaction_id

    def key_of(self, name: str) -> RowKey:
        return self.tenant_id, self.event.data.get(name)


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
class ThreadWords:
    tenant_id: str
    interaction_id: str
    lead_id: str
    campaign_id: str | None
    client_id: str | None
    phone_number_id: str | None
    lead_phone: str
    our_number: str


GET_THREADS_SQL = """
SELECT t.tenant_id, t.interaction_id, t.lead_id, t.campaign_id, c.client_id, n.phone_number_id,
       t.lead_phone, t.our_number
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
JOIN interactions t USING (tenant_id, interaction_id)
LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
LEFT JOIN phone_numbers n ON n.tenant_id = t.tenant_id AND n.phone_number = t.our_number
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


async def get_words(read: ReadTx, asked_events: Sequence[AskedEvent]) -> list[Words]:
    """The words for each event, in order. What was erased is left out; the ids of a thread that is gone are
    None."""
    with_words = [asked_event for asked_event in asked_events if asked_event.include]
    with_text = [asked_event for asked_event in with_words if "text" in asked_event.include]
    messages = await _get_messages(read, _list_keys(asked_event.key_of("messageId") for asked_event in with_words))
    turns = await _get_turns(read, _list_keys(asked_event.key_of("turnId") for asked_event in with_text))
    threads = await _get_threads(read, _list_keys(asked_event.thread_key for asked_event in asked_events))
    found_words = []
    for asked_event in asked_events:
        thread = threads.get(asked_event.thread_key)
        message = messages.get(asked_event.key_of("messageId")) if _is_about_text(asked_event.event) else None
        words = _find_ids(asked_event.event, thread)
        if "text" in asked_event.include:
            words |= _find_texts(asked_event.event, message, turns.get(asked_event.key_of("turnId")))
        if "phones" in asked_event.include:
            words |= _find_phones(asked_event.event, message, thread)
        found_words.append(words)
    return found_words


def _find_ids(event: RecordedEvent, thread: ThreadWords | None) -> Words:
    """The ids that the event's row has not."""
    if not event.interaction_id and event.type != "consent":
        return {}
    ids = {
        "leadId": thread and thread.lead_id,
        "campaignId": thread and thread.campaign_id,
        "clientId": thread and thread.client_id,
        "phoneNumberId": thread and thread.phone_number_id,
    }
    return {name: value for name, value in ids.items() if name not in event.data}


def _find_texts(event: RecordedEvent, message: MessageWords | None, turn: TurnWords | None) -> Words:
    if message:
        return {"text": message.text, "media": message.media}
    if turn and event.name == "outcome.recorded":
        return {"outcome": turn.outcome}
    if turn and event.name == "turn.replied":
        return {"texts": turn.texts}
    return {}


def _find_phones(event: RecordedEvent, message: MessageWords | None, thread: ThreadWords | None) -> Words:
    if message:
        return {"to": message.to_phone, "from": message.from_phone}
    if thread and (event.name or "").startswith("interaction."):
        return {"leadPhone": thread.lead_phone, "ourNumber": thread.our_number}
    return {}


def _is_about_text(event: RecordedEvent) -> bool:
    return event.name == "possible_optout" or (event.name or "").startswith("message.")


def _list_keys(keys: Iterable[RowKey]) -> list[RowKey]:
    """Each once. Some events have no such id."""
    return list({key for key in keys if key[1]})


async def _get_messages(read: ReadTx, keys: Sequence[RowKey]) -> dict[RowKey, MessageWords]:
    rows = await read.fetch(MessageWords, GET_MESSAGES_SQL, *as_columns(keys, 2)) if keys else []
    return {(row.tenant_id, row.message_id): row for row in rows}


async def _get_threads(read: ReadTx, keys: Sequence[RowKey]) -> dict[RowKey, ThreadWords]:
    rows = await read.fetch(ThreadWords, GET_THREADS_SQL, *as_columns(keys, 2)) if keys else []
    return {(row.tenant_id, row.interaction_id): row for row in rows}


async def _get_turns(read: ReadTx, keys: Sequence[RowKey]) -> dict[RowKey, TurnWords]:
    rows = await read.fetch(TurnWords, GET_TURNS_SQL, *as_columns(keys, 2)) if keys else []
    return {(row.tenant_id, row.turn_id): row for row in rows}

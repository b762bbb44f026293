"""The consent record: what happened to phones, for ever. `suppressions` writes opt-outs and what undoes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.words import Cause as CauseWord
from app.domain.words import ConsentBasis, ConsentScope
from app.store.engine import ReadTx, Tx
from app.store.rows import columns_of, unnest_sql
from app.store.suppressions import PhoneKey


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """An event of a phone, as it was recorded."""

    event: str
    cause: CauseWord | None
    rule: str | None
    text: str | None
    message_id: str | None
    actor: str
    basis: ConsentBasis | None
    scopes: list[ConsentScope] | None
    source: str | None
    wording_hash: str | None
    proof: str | None
    obtained_at: datetime | None
    at: datetime


LIST_EVENTS_SQL = """
SELECT event, cause, rule, text, message_id, actor, basis, scopes, source, wording_hash, proof, obtained_at, at
FROM consent_events
WHERE tenant_id = $1 AND phone_hash = ANY ($2) ORDER BY event_id
"""


async def list_of_phone(read: ReadTx, tenant_id: str, phone: str) -> list[ConsentEvent]:
    """The phone's consent events, oldest first."""
    return await read.fetch(ConsentEvent, LIST_EVENTS_SQL, tenant_id, read.hash_forms(phone))


@dataclass(frozen=True, slots=True)
class _HashedPhone:
    place: int
    tenant_id: str
    phone_hash: bytes


@dataclass(frozen=True, slots=True)
class _PlacedEvent(ConsentEvent):
    place: int


LIST_MANY_SQL = f"""
SELECT event, cause, rule, text, message_id, actor, basis, scopes, source, wording_hash, proof, obtained_at, at, a.place
FROM {unnest_sql(_HashedPhone)} JOIN consent_events e USING (tenant_id, phone_hash) ORDER BY e.event_id
"""


async def list_of_phones(read: ReadTx, phones: Mapping[int, PhoneKey]) -> dict[int, list[ConsentEvent]]:
    """The consent events of each phone, oldest first, by the keys of `phones`."""
    rows = [
        _HashedPhone(place, key.tenant_id, phone_hash)
        for place, key in phones.items()
        for phone_hash in read.hash_forms(key.phone)
    ]
    events: dict[int, list[ConsentEvent]] = {place: [] for place in phones}
    for event in await read.fetch(_PlacedEvent, LIST_MANY_SQL, *columns_of(rows)) if rows else ():
        events[event.place].append(event)
    return events


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConsent:
    """A consent of a phone to record: given, or revoked. Its row never changes."""

    tenant_id: str
    event_id: str
    phone_hash: bytes
    phone: str
    event: str
    actor: str
    text: str | None = None
    basis: str | None = None
    scopes: str = ""
    """Comma-separated: asyncpg would take a list for a dimension of the array."""
    source: str | None = None
    wording_hash: str | None = None
    proof: str | None = None
    obtained_at: datetime | None = None


RECORD_CONSENTS_SQL = f"""
INSERT INTO consent_events (tenant_id, event_id, phone_hash, phone, event, actor, text, basis, scopes, source,
                            wording_hash, proof, obtained_at)
SELECT tenant_id, event_id, phone_hash, phone, event, actor, text, basis, string_to_array(scopes, ','), source,
       wording_hash, proof, obtained_at
FROM {unnest_sql(NewConsent)}
"""


async def record(tx: Tx, consents: Sequence[NewConsent]) -> None:
    """Records the consents. The caller has locked the phones."""
    if consents:
        await tx.execute(RECORD_CONSENTS_SQL, *columns_of(consents))


FIND_WITH_RECENT_EVENT_SQL = """
SELECT DISTINCT phone FROM consent_events
WHERE tenant_id = $1 AND phone_hash = ANY ($2) AND event = $3
  AND at > clock_timestamp() - $4::interval
"""


async def find_phones_with_recent(
    read: ReadTx, tenant_id: str, phones: Sequence[str], event: str, within: timedelta
) -> set[str]:
    """The phones for which the event was recorded within this time."""
    hashes = [read.hash_phone(phone) for phone in phones]
    rows = await read.fetch_rows(FIND_WITH_RECENT_EVENT_SQL, tenant_id, hashes, event, within)
    return {row["phone"] for row in rows}


@dataclass(frozen=True, slots=True)
class DatedText:
    """A text by a lead, and when it came."""

    tenant_id: str
    message_id: str
    phone_hash: bytes
    at: datetime


FIND_OUTDATED_SQL = f"""
SELECT DISTINCT a.message_id
FROM {unnest_sql(DatedText)}
JOIN consent_events e ON e.tenant_id = a.tenant_id AND e.phone_hash = a.phone_hash
WHERE e.event IN ('opted_out', 'opted_in') AND e.at > a.at
"""


async def find_outdated(tx: Tx, texts: Sequence[DatedText]) -> set[str]:
    """The ids of those texts after which the lead opted in or out."""
    if not texts:
        return set()
    return {row["message_id"] for row in await tx.fetch_rows(FIND_OUTDATED_SQL, *columns_of(texts))}

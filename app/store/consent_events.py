"""Reads the consent record: what happened to phones, for ever. `suppressions` writes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.words import Cause as CauseWord
from app.store.engine import ReadTx, Tx
from app.store.rows import columns_of, unnest_sql


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """An event of a phone, as it was recorded."""

    event: str
    cause: CauseWord | None
    rule: str | None
    text: str | None
    message_id: str | None
    actor: str
    at: datetime


LIST_EVENTS_SQL = """
SELECT event, cause, rule, text, message_id, actor, at FROM consent_events
WHERE tenant_id = $1 AND phone_hash = ANY ($2) ORDER BY event_id
"""


async def list_of_phone(read: ReadTx, tenant_id: str, phone: str) -> list[ConsentEvent]:
    """The phone's consent events, oldest first."""
    return await read.fetch(ConsentEvent, LIST_EVENTS_SQL, tenant_id, read.hash_forms(phone))


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

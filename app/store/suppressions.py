"""Do-not-contact: the causes that suppress a phone, and the events that led to them.

A cause holds the phone and its keyed hash. An erasure removes the phone; the hash keeps the cause.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from app.domain import ids
from app.domain.callers import get_author
from app.domain.words import Cause as CauseWord
from app.store import threads
from app.store.cancelling import cancel_unsent_sql
from app.store.engine import ReadTx, Tx, as_columns
from app.store.may_text import is_suppressed_sql
from app.store.rows import columns_of, unnest_sql
from app.store.thread_history import last_change_sql

STOP_REASON = "the phone may not be texted"


class PhoneKey(NamedTuple):
    """A phone of a tenant, in E.164."""

    tenant_id: str
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause to add or to lift, and the event to record with it: `event` is what happened,
    `rule` is what decided it, `actor` is who did it."""

    tenant_id: str
    phone: str
    cause: CauseWord
    actor: str
    event: str
    rule: str | None = None
    text: str | None = None
    message_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChangedThread:
    """A thread whose status changed because its phone was suppressed, or is no longer."""

    tenant_id: str
    interaction_id: str
    status: str
    author: str
    holds_text: bool
    """The text that decided it is in this thread."""

    @property
    def key(self) -> threads.ThreadKey:
        return self.tenant_id, self.interaction_id


LOCK_PHONES_SQL = """
SELECT pg_advisory_xact_lock(h) FROM (
    SELECT hashtextextended(tenant_id || phone, 0) AS h
    FROM unnest($1::text[], $2::text[]) AS a(tenant_id, phone) GROUP BY 1 ORDER BY 1
) locks
"""
RECOGNIZE_SQL = """UPDATE suppressions s SET phone = a.phone FROM {asked} AS a
    WHERE s.tenant_id = a.tenant_id AND s.phone_hash = a.phone_hash AND s.phone IS NULL"""
RECOGNIZE_PHONES_SQL = f"""
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]) AS a(tenant_id, phone, phone_hash)
)
{RECOGNIZE_SQL.format(asked="asked")}
"""


async def lock_phones_only(tx: Tx, phones: Sequence[PhoneKey]) -> None:
    """Locks the phones. They come first in the order of locks (docs/laws.md, law 9)."""
    await tx.execute(LOCK_PHONES_SQL, *as_columns(phones, 2))


async def lock_phones(tx: Tx, phones: Sequence[PhoneKey]) -> None:
    """Locks the phones before they are stored. Causes of a phone that was once erased get their
    phone back, so that other statements can look for the phone alone."""
    await lock_phones_only(tx, phones)
    # A second statement, so that it sees an erasure committed while we waited for the locks.
    rows = [(*key, phone_hash) for key in phones for phone_hash in tx.hash_forms(key.phone)]
    await tx.execute(RECOGNIZE_PHONES_SQL, *as_columns(rows, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class _CauseRow(Cause):
    phone_hash: bytes
    event_id: str


WITH_EVENTS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(_CauseRow)}
), recorded AS (
    INSERT INTO consent_events (tenant_id, event_id, phone_hash, phone, event, cause, rule, text,
                                message_id, actor)
    SELECT tenant_id, event_id, phone_hash, phone, event, cause, rule, coalesce(text, reason),
           message_id, actor
    FROM asked
)
"""
ADD_CAUSES_SQL = f"""{WITH_EVENTS_SQL}
INSERT INTO suppressions AS s (tenant_id, phone_hash, cause, phone, reason, actor)
SELECT DISTINCT ON (tenant_id, phone_hash, cause)
       tenant_id, phone_hash, cause, phone, reason, actor
FROM asked ORDER BY tenant_id, phone_hash, cause
ON CONFLICT (tenant_id, phone_hash, cause) DO UPDATE SET phone = excluded.phone
"""


async def add(tx: Tx, causes: Sequence[Cause]) -> list[ChangedThread]:
    """Suppresses the phones: sets their threads to `dnc`, and cancels unfinished turns and unsent
    texts. Locks the phones, then the threads. Returns the threads that were not `dnc` before."""
    if not causes:
        return []
    phones = list_phone_keys(causes)
    await lock_phones(tx, phones)
    await tx.execute(ADD_CAUSES_SQL, *_event_columns(tx, causes))
    phone_threads = await lock_threads(tx, phones)
    changed_threads = await tx.fetch(ChangedThread, STOP_THREADS_SQL, *_reason_columns(causes))
    await threads.cancel_turns(tx, phone_threads, STOP_REASON)
    await threads.withdraw_held_replies(tx, phone_threads, f"withdrawn: {STOP_REASON}")
    await cancel_texts(tx, phones)
    return changed_threads


LIFT_CAUSES_SQL = f"""{WITH_EVENTS_SQL}
DELETE FROM suppressions s USING asked a
WHERE s.tenant_id = a.tenant_id AND (s.phone_hash = a.phone_hash OR s.phone = a.phone) AND s.cause = a.cause
"""


async def lift(tx: Tx, causes: Sequence[Cause]) -> list[ChangedThread]:
    """Lifts the causes. When a phone has no cause left, its threads get back the status they had
    before the first one; returns those threads. Cancelled texts and turns stay cancelled."""
    if not causes:
        return []
    phones = list_phone_keys(causes)
    await lock_phones(tx, phones)
    await tx.execute(LIFT_CAUSES_SQL, *_event_columns(tx, causes))
    await lock_threads(tx, phones)
    hashes = [tx.hash_phone(cause.phone) for cause in causes]
    return await tx.fetch(ChangedThread, FREE_THREADS_SQL, *_reason_columns(causes), hashes)


RECORD_EVENTS_SQL = f"""{WITH_EVENTS_SQL}
SELECT 1
"""


async def record_events(tx: Tx, causes: Sequence[Cause]) -> None:
    """Records the events and changes no cause."""
    if causes:
        await tx.execute(RECORD_EVENTS_SQL, *_event_columns(tx, causes))


GET_CAUSES_SQL = """
SELECT a.phone, array_agg(DISTINCT s.cause ORDER BY s.cause) AS causes
FROM unnest($2::text[], $3::bytea[]) AS a(phone, phone_hash)
JOIN suppressions s ON s.tenant_id = $1 AND (s.phone_hash = a.phone_hash OR s.phone = a.phone)
GROUP BY a.phone
"""


async def get_causes(read: ReadTx, tenant_id: str, phones: Sequence[str]) -> dict[str, list[CauseWord]]:
    """The present causes, by phone; phones without any are left out."""
    hashes = [read.hash_phone(phone) for phone in phones]
    rows = await read.fetch_rows(GET_CAUSES_SQL, tenant_id, list(phones), hashes)
    return {row["phone"]: row["causes"] for row in rows}


LOCK_THREADS_SQL = f"""
SELECT t.tenant_id, t.interaction_id FROM interactions t
JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, phone)
  ON t.tenant_id = a.tenant_id AND t.lead_phone = a.phone
{threads.LOCK_IN_ORDER_SQL}
"""
HOLDS_TEXT_SQL = """EXISTS (SELECT 1 FROM messages x WHERE x.tenant_id = t.tenant_id AND x.message_id = a.message_id
                   AND x.interaction_id = t.interaction_id)"""
STOP_THREADS_SQL = f"""
WITH asked AS (
    SELECT DISTINCT ON (t.tenant_id, t.interaction_id) t.tenant_id, t.interaction_id, t.status AS former_status,
           a.author, a.rule, {HOLDS_TEXT_SQL} AS holds_text
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        AS a(tenant_id, phone, author, rule, message_id)
    JOIN interactions t ON t.tenant_id = a.tenant_id AND t.lead_phone = a.phone
), settled AS (  -- nobody need decide any more whether an earlier text was an opt-out
    UPDATE messages m SET awaits_decision = false FROM asked a
    WHERE m.tenant_id = a.tenant_id AND m.interaction_id = a.interaction_id AND m.awaits_decision
), stopped AS (
    UPDATE interactions t SET status = 'dnc', updated_at = clock_timestamp(),
        status_before_dnc = CASE WHEN t.status = 'dnc' THEN t.status_before_dnc ELSE t.status END,
        last_change = {last_change_sql("a.author", "a.rule")}
    FROM asked a WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
    RETURNING t.tenant_id, t.interaction_id, t.status, a.author, a.holds_text, a.former_status
)
SELECT tenant_id, interaction_id, status, author, holds_text FROM stopped WHERE former_status <> 'dnc'
"""


async def lock_threads(tx: Tx, phones: Sequence[PhoneKey]) -> list[threads.ThreadKey]:
    """Locks all threads of the phones in the common order. Call it before `add` if a thread of
    them is locked first: locks taken one by one could deadlock."""
    rows = await tx.fetch_rows(LOCK_THREADS_SQL, *as_columns(phones, 2))
    return [(row["tenant_id"], row["interaction_id"]) for row in rows]


FREE_THREADS_SQL = f"""
UPDATE interactions t SET status = coalesce(t.status_before_dnc, 'in_progress'),
    status_before_dnc = NULL, updated_at = clock_timestamp(), last_change = {last_change_sql("a.author", "a.rule")}
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
    AS a(tenant_id, phone, author, rule, message_id, phone_hash)
WHERE t.tenant_id = a.tenant_id AND t.lead_phone = a.phone AND t.status = 'dnc'
  AND NOT {is_suppressed_sql("a.tenant_id", "a.phone", "a.phone_hash")}
RETURNING t.tenant_id, t.interaction_id, t.status, a.author, {HOLDS_TEXT_SQL} AS holds_text
"""


CANCEL_TEXTS_SQL = cancel_unsent_sql(
    "o.tenant_id = a.tenant_id AND o.to_phone = a.phone AND NOT o.exempt",
    code="'DNC_BLOCKED'",
    why="$3",
    using="unnest($1::text[], $2::text[]) AS a(tenant_id, phone)",
)


async def cancel_texts(tx: Tx, phones: Sequence[PhoneKey]) -> None:
    """Cancels all texts to the phones for which no request has begun, also scheduled and held
    ones."""
    await tx.execute(CANCEL_TEXTS_SQL, *as_columns(phones, 2), STOP_REASON)


def _reason_columns(causes: Sequence[Cause]) -> list[list[str | None]]:
    """Tenant, phone, author, rule and message id of each cause."""
    return as_columns(
        [(cause.tenant_id, cause.phone, get_author(cause.actor), cause.rule, cause.message_id) for cause in causes], 5
    )


def list_phone_keys(causes: Sequence[Cause]) -> list[PhoneKey]:
    """The phones of the causes, each once, in the order of locks."""
    return sorted({PhoneKey(cause.tenant_id, cause.phone) for cause in causes})


def _event_columns(read: ReadTx, causes: Sequence[Cause]) -> list[tuple[object, ...]]:
    """The parameters of `WITH_EVENTS_SQL`."""
    return columns_of(
        [
            _CauseRow(**asdict(cause), phone_hash=read.hash_phone(cause.phone), event_id=ids.make("evt"))
            for cause in causes
        ]
    )

"""Reads threads: one, lists of them, and their transcripts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from app.domain.transcripts import TranscriptText
from app.domain.turns import HeldReply, TurnState
from app.domain.words import CLOSED_STATUSES
from app.store import search
from app.store.engine import ReadTx, Tx, as_columns
from app.store.may_text import may_not_text_sql
from app.store.opt_out_decisions import awaits_decision_sql
from app.store.rows import hints_of
from app.store.thread_filters import Params, ThreadFilter
from app.store.thread_lists import build_page_sql
from app.store.threads import ThreadKey
from app.store.turn_states import UNFINISHED_SQL
from app.store.views import order_sql
from app.store.waiting import is_snoozed_sql, waiting_since_sql, waits_sql


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread with its lead's name, its campaign, its agent's unfinished turn, any held reply, and
    the error of our last text."""

    tenant_id: str
    interaction_id: str
    our_number: str
    lead_phone: str
    lead_id: str
    campaign_id: str | None
    status: str
    agent_mode: bool
    last_seq: int
    unread_count: int
    last_message_at: datetime
    last_preview: str | None
    last_direction: str | None
    summary: str | None
    created_at: datetime
    updated_at: datetime
    paused_until: datetime | None
    paused_reason: str | None
    agent_paused: bool | None
    client_id: str | None
    offer_id: str | None
    first_name: str | None
    last_name: str | None
    is_test: bool
    turn_state: TurnState | None
    turn_due_at: datetime | None
    """When the turn's window closes."""
    turn_posting: bool | None
    turn_attempt: int | None
    turn_again_at: datetime | None
    held_turn_id: str | None
    held: HeldReply | None
    provider: str | None
    provider_message_id: str | None
    error_code: str | None
    error_message: str | None
    last_failed: bool
    awaits_decision: bool
    """A text that may be an opt-out waits for a person, and so do the texts after it."""
    assigned_to: str | None
    is_snoozed: bool
    snoozed_until: datetime | None
    waits: bool
    """The lead wrote last, and nobody answers."""
    waiting_at: datetime
    """By this the view of what waits is ordered."""

    @property
    def waiting_since(self) -> datetime | None:
        """None: nobody waits."""
        if self.is_snoozed or self.status == "dnc":
            return None
        has_failed = self.last_failed and self.status not in CLOSED_STATUSES
        waits = self.waits or self.held_turn_id or self.awaits_decision or has_failed
        return self.waiting_at if waits else None

    @property
    def key(self) -> ThreadKey:
        return self.tenant_id, self.interaction_id

    @property
    def lead_key(self) -> tuple[str, str]:
        return self.tenant_id, self.lead_id


THREAD_COLUMNS_SQL = f"""
       t.tenant_id, t.interaction_id, t.our_number, t.lead_phone, t.lead_id, t.campaign_id, t.status,
       t.agent_mode, t.last_seq, t.unread_count, t.last_message_at, t.last_preview, t.last_direction,
       t.summary, t.created_at, t.updated_at, t.paused_until, t.paused_reason,
       t.paused_until > clock_timestamp() AS agent_paused,
       c.client_id, c.offer_id, l.first_name, l.last_name, l.is_test,
       turn.state AS turn_state, turn.window_due_at AS turn_due_at, turn.posting AS turn_posting,
       turn.attempt AS turn_attempt, turn.due_at AS turn_again_at,
       held.turn_id AS held_turn_id, held.held, newest.provider, newest.provider_message_id,
       CASE WHEN last_sent.status IN ('failed', 'undelivered', 'unknown') THEN last_sent.error_code END AS error_code,
       CASE WHEN last_sent.status IN ('failed', 'undelivered', 'unknown') THEN last_sent.error_message END
           AS error_message,
       coalesce(last_sent.status IN ('failed', 'undelivered'), false) AS last_failed,
       {awaits_decision_sql("t")} AS awaits_decision,
       t.assigned_to, {is_snoozed_sql("t")} AS is_snoozed, t.snoozed_until,
       coalesce({waits_sql("t")}, false) AS waits, {waiting_since_sql("t")} AS waiting_at
"""
THREAD_JOINS_SQL = f"""
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
LEFT JOIN LATERAL (
    SELECT u.state, u.window_due_at, u.due_at, u.posting, u.attempt FROM turns u
    WHERE t.agent_mode AND u.tenant_id = t.tenant_id AND u.interaction_id = t.interaction_id AND u.kind = 'live'
      AND u.state IN {UNFINISHED_SQL}
    ORDER BY u.state = 'collecting' DESC LIMIT 1
) turn ON true
LEFT JOIN LATERAL (
    SELECT u.turn_id, u.held FROM turns u
    WHERE u.tenant_id = t.tenant_id AND u.interaction_id = t.interaction_id AND u.held IS NOT NULL
    LIMIT 1
) held ON true
LEFT JOIN LATERAL (
    SELECT m.role, m.status, m.provider, m.provider_message_id, m.error_code, m.error_message FROM messages m
    WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id
      AND m.seq IS NOT NULL AND m.status <> 'note'
    ORDER BY m.seq DESC LIMIT 1
) newest ON true
LEFT JOIN LATERAL (  -- our last text: the newest one, or another look for it
    SELECT newest.status, newest.error_code, newest.error_message WHERE newest.role = 'agent'
    UNION ALL (
        SELECT m.status, m.error_code, m.error_message FROM messages m
        WHERE newest.role <> 'agent' AND m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id
          AND m.seq IS NOT NULL AND m.role = 'agent' AND m.status <> 'note'
        ORDER BY m.seq DESC LIMIT 1)
) last_sent ON true
WHERE t.tenant_id = $1
"""
THREADS_SQL = f"SELECT {THREAD_COLUMNS_SQL} FROM interactions t {THREAD_JOINS_SQL}"

GET_THREAD_SQL = f"{THREADS_SQL} AND t.interaction_id = $2"


async def get(read: ReadTx, tenant_id: str, interaction_id: str) -> Thread | None:
    return await read.fetch_one(Thread, GET_THREAD_SQL, tenant_id, interaction_id)


LIST_OF_LEAD_SQL = f"{THREADS_SQL} AND t.lead_id = $2 ORDER BY t.last_message_at DESC, t.interaction_id DESC"


async def list_of_lead(read: ReadTx, tenant_id: str, lead_id: str) -> list[Thread]:
    """All threads of a lead, the newest activity first."""
    return await read.fetch(Thread, LIST_OF_LEAD_SQL, tenant_id, lead_id)


GET_PAGE_SQL = f"""{THREADS_SQL} AND t.interaction_id = ANY ($2::text[])
ORDER BY array_position($2::text[], t.interaction_id)
"""


async def list_by_id(read: ReadTx, tenant_id: str, ids: Sequence[str]) -> list[Thread]:
    """Those that exist, in the order of the ids."""
    return await read.fetch(Thread, GET_PAGE_SQL, tenant_id, list(ids))


async def list_page(
    read: ReadTx,
    tenant_id: str,
    filters: ThreadFilter,
    before: tuple[Any, ...] | None,
    limit: int,
) -> list[Thread]:
    """Up to `limit` threads in the order of the list that come after `before`, the `key_of` another one.
    Finds the threads first, from indexes; then reads the rows."""
    if filters.search:
        ids = await search.find_page(read, tenant_id, filters, before, limit)
        return await list_by_id(read, tenant_id, ids) if ids else []
    params = Params(tenant_id)
    page_sql, key = build_page_sql(params, filters, before, limit)
    sql = f"""WITH page AS MATERIALIZED ({page_sql})
SELECT {THREAD_COLUMNS_SQL} FROM page JOIN interactions t ON {key} {THREAD_JOINS_SQL}
{order_sql(filters.is_by_waiting)}"""
    return [Thread(*row.values()) for row in await read.fetch_rows(sql, *params.values)]


def key_of(thread: Thread, filters: ThreadFilter) -> tuple[datetime, str]:
    """The thread's place in the list with these filters."""
    return thread.waiting_at if filters.is_by_waiting else thread.last_message_at, thread.interaction_id


@dataclass(slots=True)
class Message(TranscriptText):
    """A text or note with what else is shown of it."""

    interaction_id: str
    actor: str | None
    to_phone: str | None
    from_phone: str | None
    turn_id: str | None
    error_code: str | None
    error_message: str | None
    late: bool
    awaits_decision: bool
    send_at: datetime | None
    held_until: datetime | None
    held_reason: str | None
    note: Annotated[dict[str, Any] | None, "jsonb"]


MESSAGE_COLUMNS_SQL = ", ".join(hints_of(Message))
GET_TRANSCRIPT_SQL = f"""
SELECT * FROM (
    SELECT {MESSAGE_COLUMNS_SQL} FROM messages WHERE tenant_id = $1 AND interaction_id = $2 AND seq IS NOT NULL
    ORDER BY seq DESC LIMIT $3
) newest ORDER BY seq
"""


async def get_transcript(read: ReadTx, tenant_id: str, interaction_id: str, max_entries: int) -> list[Message]:
    """The newest `max_entries` entries with notes, in order of `seq`."""
    return await read.fetch(Message, GET_TRANSCRIPT_SQL, tenant_id, interaction_id, max_entries)


GET_ENTRIES_AFTER_SQL = f"""
SELECT {MESSAGE_COLUMNS_SQL} FROM messages WHERE tenant_id = $1 AND interaction_id = $2 AND seq > $3
ORDER BY seq LIMIT $4
"""
GET_ENTRIES_BEFORE_SQL = f"""
SELECT * FROM (
    SELECT {MESSAGE_COLUMNS_SQL} FROM messages WHERE tenant_id = $1 AND interaction_id = $2 AND seq < $3
    ORDER BY seq DESC LIMIT $4
) older ORDER BY seq
"""


async def get_transcript_page(
    read: ReadTx,
    tenant_id: str,
    interaction_id: str,
    after: int | None,
    before: int | None,
    limit: int,
) -> list[Message]:
    """Up to `limit` entries after or before a `seq`, in order."""
    if before is not None:
        return await read.fetch(Message, GET_ENTRIES_BEFORE_SQL, tenant_id, interaction_id, before, limit)
    return await read.fetch(Message, GET_ENTRIES_AFTER_SQL, tenant_id, interaction_id, after or 0, limit)


LIST_UNRELEASED_SQL = f"""
SELECT {MESSAGE_COLUMNS_SQL} FROM messages
WHERE tenant_id = $1 AND interaction_id = ANY ($2::text[]) AND seq IS NULL
  AND status IN ('scheduled', 'queued')
ORDER BY coalesce(send_at, created_at)
"""


async def list_unreleased(read: ReadTx, tenant_id: str, interaction_ids: Sequence[str]) -> list[Message]:
    """Scheduled and held texts of the threads."""
    return await read.fetch(Message, LIST_UNRELEASED_SQL, tenant_id, list(interaction_ids))


# Without the thread: the planner would sometimes read a long one whole.
GET_ENTRIES_SQL = f"""
SELECT {MESSAGE_COLUMNS_SQL} FROM messages
WHERE tenant_id = $1 AND message_id = ANY ($2::text[]) AND (seq IS NOT NULL OR status IN ('scheduled', 'queued'))
ORDER BY seq NULLS LAST, coalesce(send_at, created_at)
"""


async def get_entries(read: ReadTx, tenant_id: str, interaction_id: str, message_ids: Sequence[str]) -> list[Message]:
    """These texts and notes of a thread in order, but for what was cancelled before it was sent."""
    entries = await read.fetch(Message, GET_ENTRIES_SQL, tenant_id, list(message_ids))
    return [entry for entry in entries if entry.interaction_id == interaction_id]


MARK_READ_SQL = """
UPDATE interactions t SET read_seq = greatest(t.read_seq, least($3, t.last_seq)),
    unread_count = (SELECT count(*) FROM messages m
        WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id
          AND m.seq > greatest(t.read_seq, $3) AND m.role = 'user')
WHERE t.tenant_id = $1 AND t.interaction_id = $2
"""


async def mark_read(tx: Tx, tenant_id: str, interaction_id: str, through_seq: int) -> None:
    await tx.execute(MARK_READ_SQL, tenant_id, interaction_id, through_seq)


BELONGS_TO_LEAD_SQL = """
SELECT EXISTS (
    SELECT 1 FROM interactions t
    JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = $3
    WHERE t.tenant_id = $1 AND t.interaction_id = $2
      AND (t.lead_id = l.lead_id OR t.lead_phone = l.phone))
"""


async def belongs_to_lead(read: ReadTx, tenant_id: str, interaction_id: str, lead_id: str) -> bool:
    """Whether the thread belongs to the lead or has the lead's phone."""
    return bool(await read.fetch_value(BELONGS_TO_LEAD_SQL, tenant_id, interaction_id, lead_id))


HAS_LEAD_SQL = "SELECT EXISTS (SELECT 1 FROM leads WHERE tenant_id = $1 AND lead_id = $2)"


async def has_lead(read: ReadTx, tenant_id: str, lead_id: str) -> bool:
    return bool(await read.fetch_value(HAS_LEAD_SQL, tenant_id, lead_id))


FIND_SUPPRESSED_SQL = f"""
SELECT t.tenant_id, t.interaction_id
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
JOIN interactions t USING (tenant_id, interaction_id)
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
WHERE {may_not_text_sql("t.tenant_id", "t.lead_phone", "l.dnc_channels")}
"""


async def find_suppressed(read: ReadTx, threads: Collection[ThreadKey]) -> set[ThreadKey]:
    """The threads whose phone may not be texted."""
    rows = await read.fetch_rows(FIND_SUPPRESSED_SQL, *as_columns(list(threads), 2))
    return {(row["tenant_id"], row["interaction_id"]) for row in rows}


IS_LEAD_SUPPRESSED_SQL = f"""
SELECT {may_not_text_sql("l.tenant_id", "l.phone", "l.dnc_channels")}
FROM leads l WHERE l.tenant_id = $1 AND l.lead_id = $2
"""


async def is_lead_suppressed(read: ReadTx, tenant_id: str, lead_id: str) -> bool:
    """Whether the lead may not be texted at its own phone."""
    return bool(await read.fetch_value(IS_LEAD_SUPPRESSED_SQL, tenant_id, lead_id))

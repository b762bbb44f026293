"""Locks threads; sets their agent mode and status; cancels their turns and unsent agent texts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from app.store.agent_of import agent_of_sql
from app.store.cancelling import cancel_unsent_sql
from app.store.engine import ReadTx, Tx, as_columns
from app.store.thread_history import last_change_sql
from app.store.turn_states import CANCELLABLE_SQL, has_begun_sql

ThreadKey = tuple[str, str]
"""(tenant id, interaction id)."""

LOCK_IN_ORDER_SQL = "ORDER BY t.tenant_id, t.our_number, t.lead_phone FOR UPDATE OF t"
"""Every statement that locks threads `t` ends with this: one order, no deadlocks (docs/laws.md,
law 9)."""
LOCK_THREADS_SQL = f"""
SELECT t.tenant_id, t.interaction_id FROM interactions t
JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
    USING (tenant_id, interaction_id)
{LOCK_IN_ORDER_SQL}
"""


async def lock(tx: Tx, threads: Collection[ThreadKey]) -> None:
    """Locks the threads in the common order."""
    await tx.fetch_rows(LOCK_THREADS_SQL, *as_columns(list(threads), 2))


LOCK_PAIRS_SQL = f"""
SELECT 1 FROM interactions t
JOIN unnest($1::text[], $2::text[], $3::text[]) AS a(tenant_id, our_number, lead_phone)
    USING (tenant_id, our_number, lead_phone)
{LOCK_IN_ORDER_SQL}
"""


async def lock_pairs(tx: Tx, pairs: Collection[tuple[str, str, str]]) -> None:
    """As `lock`, for threads named by (tenant, our number, lead's phone)."""
    await tx.fetch_rows(LOCK_PAIRS_SQL, *as_columns(list(pairs), 3))


LOCK_FREE_SQL = f"{LOCK_THREADS_SQL.rstrip()} SKIP LOCKED"


async def lock_free(tx: Tx, threads: Collection[ThreadKey]) -> list[ThreadKey]:
    """Locks the threads that are not locked by others, without waiting; returns those."""
    rows = await tx.fetch_rows(LOCK_FREE_SQL, *as_columns(list(threads), 2))
    return [(row["tenant_id"], row["interaction_id"]) for row in rows]


GET_TIME_AFTER_SQL = """
SELECT t.tenant_id, t.interaction_id, clock_timestamp() + $3::interval AS later
FROM interactions t
JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
    USING (tenant_id, interaction_id)
"""


async def get_time_after(read: ReadTx, threads: Collection[ThreadKey], wait: timedelta) -> dict[ThreadKey, datetime]:
    """The database's time after `wait`, for each thread that exists."""
    rows = await read.fetch_rows(GET_TIME_AFTER_SQL, *as_columns(list(threads), 2), wait)
    return {(row["tenant_id"], row["interaction_id"]): row["later"] for row in rows}


def is_agent_on_sql(thread: str) -> str:
    """An expression: agent mode is on, and to switch it on once more would reset nothing."""
    return f"({thread}.agent_mode AND {thread}.stale_replies = 0 AND {thread}.paused_until IS NULL)"


SWITCH_AGENT_MODE_SQL = f"""
WITH switched AS (
    UPDATE interactions t SET agent_mode = $4, updated_at = clock_timestamp(), stale_replies = 0,
        agent_off_at = CASE WHEN NOT $4 THEN clock_timestamp() END,
        paused_until = NULL, paused_reason = NULL, last_change = {last_change_sql("a.author", "$5::text")}
    FROM unnest($1::text[], $2::text[], $3::text[]) AS a(tenant_id, interaction_id, author)
    JOIN interactions before USING (tenant_id, interaction_id)
    WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
      AND NOT ($4 AND {is_agent_on_sql("t")})
    RETURNING t.tenant_id, t.interaction_id, before.agent_mode AS was_on
)
SELECT tenant_id, interaction_id FROM switched WHERE was_on <> $4
"""


async def switch_agent_mode(tx: Tx, author_by_thread: Mapping[ThreadKey, str], on: bool, rule: str) -> list[ThreadKey]:
    """Switches agent mode on or off; resets the count of stale replies and any pause. Returns the threads
    where it was the other way. The caller has locked the threads."""
    rows = [(*thread, author) for thread, author in author_by_thread.items()]
    changed_rows = await tx.fetch_rows(SWITCH_AGENT_MODE_SQL, *as_columns(rows, 3), on, rule)
    return [(row["tenant_id"], row["interaction_id"]) for row in changed_rows]


WITHDRAW_HELD_REPLIES_SQL = """
UPDATE turns u SET held = NULL, refused = (
    SELECT coalesce(jsonb_agg(CASE WHEN r.said ->> 'at' = u.held ->> 'heldAt'
                              THEN r.said || jsonb_build_object('detail', $3::text)
                              ELSE r.said END ORDER BY r.n), '[]')
    FROM jsonb_array_elements(u.refused) WITH ORDINALITY AS r(said, n))
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE u.tenant_id = a.tenant_id AND u.interaction_id = a.interaction_id AND u.held IS NOT NULL
"""


async def withdraw_held_replies(tx: Tx, threads: Collection[ThreadKey], why: str) -> None:
    """Removes the threads' held replies, and records in each one's refusal why."""
    await tx.execute(WITHDRAW_HELD_REPLIES_SQL, *as_columns(list(threads), 2), why)


RECORD_TAKE_OVER_SQL = f"""
WITH threads AS (
    UPDATE interactions t SET stale_replies = 0,
        agent_off_at = CASE WHEN NOT t.agent_mode THEN clock_timestamp() END
    FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
    WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
      AND (t.stale_replies > 0 OR t.agent_off_at IS NOT NULL)
)
{WITHDRAW_HELD_REPLIES_SQL}
"""


async def record_take_over(tx: Tx, threads: Collection[ThreadKey], why: str) -> None:
    """A person wrote: withdraws held replies, resets the count of stale replies, and starts the
    time after which agent mode may come back."""
    await tx.execute(RECORD_TAKE_OVER_SQL, *as_columns(list(threads), 2), why)


PAUSE_THREAD_SQL = f"""
UPDATE interactions SET paused_reason = $3, updated_at = clock_timestamp(),
    last_change = {last_change_sql("'service'", "'pause'")},
    paused_until = date_trunc('day', clock_timestamp(), 'UTC') + interval '1 day'
WHERE tenant_id = $1 AND interaction_id = $2
"""


async def pause(tx: Tx, thread: ThreadKey, reason: str) -> None:
    """The loop breaker: hands over no turn until tomorrow (UTC), or until somebody switches agent
    mode."""
    await tx.execute(PAUSE_THREAD_SQL, *thread, reason)


RESUME_AGENTS_SQL = """
UPDATE interactions t SET agent_mode = true, agent_off_at = NULL, updated_at = clock_timestamp(),
    last_change = {change}
FROM (
    SELECT i.tenant_id, i.interaction_id FROM interactions i
    CROSS JOIN LATERAL (  -- LIMIT makes it a lookup for each thread: a join might begin with all leads
        SELECT is_test FROM leads WHERE tenant_id = i.tenant_id AND lead_id = i.lead_id LIMIT 1) l
    CROSS JOIN LATERAL (
        {agent}
    ) agent
    WHERE i.agent_off_at IS NOT NULL AND NOT i.agent_mode
      -- Known before an agent is looked for: there may be many threads that none comes back to. The tenant is an
      -- expression, so that no index of all its threads is read.
      AND EXISTS (SELECT FROM sms_agents g WHERE g.active AND g.resume_after_minutes IS NOT NULL)
      AND i.tenant_id || '' = ANY (ARRAY(
          SELECT DISTINCT g.tenant_id FROM sms_agents g WHERE g.active AND g.resume_after_minutes IS NOT NULL))
      AND i.agent_off_at < clock_timestamp() - agent.resume_after_minutes * interval '1 min'
    ORDER BY i.tenant_id, i.our_number, i.lead_phone LIMIT $1 FOR UPDATE OF i SKIP LOCKED
) due
WHERE t.tenant_id = due.tenant_id AND t.interaction_id = due.interaction_id
RETURNING t.tenant_id, t.interaction_id
""".format(
    agent=agent_of_sql("i.tenant_id", "i.campaign_id", "l.is_test", "i.our_number"),
    change=last_change_sql("'service'", "'resume'"),
)


async def resume_agents(tx: Tx, limit: int) -> set[ThreadKey]:
    """Switches agent mode on again where no person wrote for the agent's `resume_after_minutes`;
    returns those threads."""
    rows = await tx.fetch_rows(RESUME_AGENTS_SQL, limit)
    return {(row["tenant_id"], row["interaction_id"]) for row in rows}


CANCEL_TURNS_SQL = f"""
UPDATE turns t SET state = 'cancelled', reason = $3, closed_at = clock_timestamp()
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
  AND t.kind = 'live' AND t.state IN {CANCELLABLE_SQL}
RETURNING t.tenant_id, t.interaction_id, t.turn_id, t.accepted_at,
    {has_begun_sql("t")} AS has_begun
"""


async def cancel_turns(tx: Tx, threads: Collection[ThreadKey], reason: str) -> set[ThreadKey]:
    """Cancels the unfinished and the planned turns of the threads; returns the threads that had an
    unfinished one."""
    rows = await tx.fetch_rows(CANCEL_TURNS_SQL, *as_columns(list(threads), 2), reason)
    return {(row["tenant_id"], row["interaction_id"]) for row in rows if row["has_begun"]}


CANCEL_AGENT_TEXTS_SQL = cancel_unsent_sql(
    """o.tenant_id = a.tenant_id AND o.interaction_id = a.interaction_id
      AND m.tenant_id = o.tenant_id AND m.message_id = o.message_id AND m.source = 'sms_agent'
      AND m.message_id <> ALL ($5)""",
    code="$3",
    why="$4",
    using="unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id), messages m",
)


async def cancel_agent_texts(
    tx: Tx, threads: Collection[ThreadKey], code: str, why: str, except_ids: Sequence[str] = ()
) -> None:
    """Cancels the threads' agent texts for which no request has begun, except `except_ids`."""
    await tx.execute(CANCEL_AGENT_TEXTS_SQL, *as_columns(list(threads), 2), code, why, list(except_ids))


SET_STATUS_SQL = f"""
UPDATE interactions t SET status = $4, updated_at = clock_timestamp(),
    last_change = {last_change_sql("$5::text", "$6::text")}
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
  AND ($3::text[] IS NULL OR t.status = ANY ($3)) AND t.status <> $4
RETURNING t.tenant_id, t.interaction_id
"""


async def set_status(
    tx: Tx,
    threads: Collection[ThreadKey],
    status: str,
    author: str,
    rule: str,
    only_from: Sequence[str] | None = None,
) -> list[ThreadKey]:
    """Sets the status of threads whose present status is another one, in `only_from` (None: any). Returns
    those threads. `rule`: what decided it."""
    statuses = None if only_from is None else list(only_from)
    columns = as_columns(list(threads), 2)
    rows = await tx.fetch_rows(SET_STATUS_SQL, *columns, statuses, status, author, rule)
    return [(row["tenant_id"], row["interaction_id"]) for row in rows]


RECORD_STATUS_BY_HAND_SQL = """
UPDATE interactions SET status_by_hand_at = clock_timestamp() WHERE tenant_id = $1 AND interaction_id = $2
"""


async def record_status_by_hand(tx: Tx, thread: ThreadKey) -> None:
    """An agent that was asked before does not overwrite a status that was set by hand."""
    await tx.execute(RECORD_STATUS_BY_HAND_SQL, *thread)

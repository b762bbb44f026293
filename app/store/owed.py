"""Counts for operators: texts owed to carriers, turns owed to agents, accounts to fetch."""

from datetime import timedelta

from app.store.engine import Row, Tx

COUNT_TEXTS_SQL = """
SELECT a.provider, CASE WHEN o.seq IS NULL THEN 'waiting' ELSE o.state END AS state,
       count(*) AS count,
       coalesce(extract(epoch FROM clock_timestamp() - min(o.due_at) FILTER (
           WHERE n.paused_at IS NULL AND t.paused_at IS NULL)), 0)::float8 AS late
FROM outbox o
JOIN provider_accounts a ON a.tenant_id = o.tenant_id AND a.account_id = o.account_id
JOIN tenants t ON t.tenant_id = o.tenant_id
LEFT JOIN phone_numbers n ON n.tenant_id = o.tenant_id AND n.phone_number = o.from_phone
GROUP BY 1, 2
"""


async def count_texts(tx: Tx) -> list[Row]:
    """Unsent texts as (provider, state, count, late). `late`: seconds for which the oldest one
    without a brake has been due. State `waiting`: scheduled or held."""
    return await tx.fetch_rows(COUNT_TEXTS_SQL)


IS_ANYTHING_DUE_SQL = """
SELECT EXISTS (
    SELECT 1 FROM outbox o
    JOIN tenants t ON t.tenant_id = o.tenant_id
    LEFT JOIN phone_numbers n ON n.tenant_id = o.tenant_id AND n.phone_number = o.from_phone
    WHERE o.due_at < clock_timestamp() + $1::interval
      AND n.paused_at IS NULL AND t.paused_at IS NULL
) OR EXISTS (
    SELECT 1 FROM turns u
    WHERE u.kind = 'live' AND u.state IN ('collecting', 'delivering', 'awaiting_reply')
      AND u.due_at < clock_timestamp() + $1::interval
)
"""


async def is_anything_due(tx: Tx, within: timedelta) -> bool:
    """Whether a text or a turn is due within this time; paused tenants and numbers do not count."""
    return bool(await tx.fetch_value(IS_ANYTHING_DUE_SQL, within))


COUNT_UNKNOWN_SQL = """
SELECT provider, count(*) AS count FROM (
    SELECT m.provider FROM outbox o JOIN messages m USING (tenant_id, message_id)
    WHERE o.state = 'unknown' AND m.status = 'unknown'
      AND m.error_code IS DISTINCT FROM 'OUTCOME_UNKNOWN'
    UNION ALL  -- the carrier was asked and did not know
    SELECT provider FROM messages WHERE error_code = 'OUTCOME_UNKNOWN' AND status = 'unknown'
) x GROUP BY 1
"""


async def count_unknown(tx: Tx) -> list[Row]:
    """Texts of unknown outcome, as (provider, count)."""
    return await tx.fetch_rows(COUNT_UNKNOWN_SQL)


COUNT_UNFETCHED_SQL = """
SELECT provider, CASE WHEN failing_since IS NULL THEN 'waiting' ELSE 'failing' END AS state,
       count(*) AS count
FROM provider_accounts WHERE missing_since IS NOT NULL AND active
GROUP BY 1, 2
"""


async def unfetched(tx: Tx) -> list[Row]:
    """Accounts whose missed texts are not fetched yet, as (provider, state, count). State
    `failing`: the last fetch failed."""
    return await tx.fetch_rows(COUNT_UNFETCHED_SQL)


COUNT_TURNS_SQL = """
SELECT state, count(*) AS count,
       extract(epoch FROM clock_timestamp() - min(due_at))::float8 AS late
FROM turns
WHERE kind = 'live' AND state IN ('collecting', 'delivering', 'awaiting_reply')
GROUP BY 1
"""


async def count_turns(tx: Tx) -> list[Row]:
    """Unfinished turns as (state, count, late). `late`: seconds for which the oldest one has been
    due, below 0 while none is due."""
    return await tx.fetch_rows(COUNT_TURNS_SQL)

"""Counts for operators: texts owed to carriers, turns owed to agents, accounts to fetch, imports to finish."""

from dataclasses import dataclass
from datetime import timedelta

from app.store.engine import Tx
from app.store.events import cursor_sql
from app.store.turn_states import UNFINISHED_SQL


@dataclass(frozen=True, slots=True)
class OwedTexts:
    """Unsent texts of a provider. `late`: for how many seconds the oldest has been due that no
    brake holds. State `waiting`: scheduled or held until a time."""

    provider: str
    state: str
    count: int
    late: float


COUNT_TEXTS_SQL = """
SELECT a.provider, CASE WHEN o.seq IS NULL THEN 'waiting' ELSE o.state END AS state,
       count(*) AS count,
       coalesce(extract(epoch FROM clock_timestamp() - min(o.due_at) FILTER (
           WHERE n.paused_at IS NULL AND t.paused_at IS NULL AND a.paused_at IS NULL)), 0)::float8 AS late
FROM outbox o
JOIN provider_accounts a ON a.tenant_id = o.tenant_id AND a.account_id = o.account_id
JOIN tenants t ON t.tenant_id = o.tenant_id
LEFT JOIN phone_numbers n ON n.tenant_id = o.tenant_id AND n.phone_number = o.from_phone
GROUP BY 1, 2
"""


async def count_texts(tx: Tx) -> list[OwedTexts]:
    return await tx.fetch(OwedTexts, COUNT_TEXTS_SQL)


IS_ANYTHING_DUE_SQL = f"""
SELECT EXISTS (
    SELECT 1 FROM outbox o
    JOIN tenants t ON t.tenant_id = o.tenant_id
    JOIN provider_accounts a ON a.tenant_id = o.tenant_id AND a.account_id = o.account_id
    LEFT JOIN phone_numbers n ON n.tenant_id = o.tenant_id AND n.phone_number = o.from_phone
    WHERE o.due_at < clock_timestamp() + $1::interval
      AND n.paused_at IS NULL AND t.paused_at IS NULL AND a.paused_at IS NULL
) OR EXISTS (
    SELECT 1 FROM turns u
    WHERE u.kind = 'live' AND u.state IN {UNFINISHED_SQL}
      AND u.due_at < clock_timestamp() + $1::interval
) OR EXISTS (
    SELECT 1 FROM turns u
    WHERE u.kind = 'live' AND u.state = 'planned' AND u.due_at < clock_timestamp() + $1::interval
) OR EXISTS (SELECT 1 FROM contact_checks WHERE due_at < clock_timestamp() + $1::interval)
OR EXISTS (SELECT 1 FROM imports WHERE state IN ('checking', 'importing'))
OR EXISTS (  -- one that rests for its pace is due later
    SELECT 1 FROM trials
    WHERE state = 'running' AND (lease IS NOT NULL OR leased_until < clock_timestamp() + $1::interval)
)
OR EXISTS (
    SELECT 1 FROM webhook_endpoints e
    WHERE e.active AND e.paused_at IS NULL AND (
        EXISTS (SELECT FROM webhook_queue q WHERE q.tenant_id = e.tenant_id AND q.endpoint_id = e.endpoint_id
                AND q.due_at < clock_timestamp() + $1::interval)
        OR EXISTS (SELECT FROM webhook_backlogs b WHERE b.tenant_id = e.tenant_id AND b.endpoint_id = e.endpoint_id
                   AND NOT EXISTS (SELECT FROM webhook_queue q WHERE q.tenant_id = b.tenant_id
                                   AND q.endpoint_id = b.endpoint_id AND q.subject = b.subject))
        OR EXISTS (SELECT FROM tenant_events v WHERE v.tenant_id = e.tenant_id
                   AND (v.transaction, v.event_id) > (e.transaction, e.event_id)))
)
"""


async def is_anything_due(tx: Tx, within: timedelta) -> bool:
    """Whether a text, a turn, a question about a phone, an import, a trial or an event for an endpoint is due within
    this time; what a brake holds does not count."""
    return bool(await tx.fetch_value(IS_ANYTHING_DUE_SQL, within))


@dataclass(frozen=True, slots=True)
class UnknownTexts:
    """Texts of a provider of which nobody knows whether the carrier took them."""

    provider: str
    count: int


COUNT_UNKNOWN_SQL = """
SELECT provider, count(*) AS count FROM (
    SELECT m.provider FROM outbox o JOIN messages m USING (tenant_id, message_id)
    WHERE o.state = 'unknown' AND m.status = 'unknown'
      AND m.error_code IS DISTINCT FROM 'OUTCOME_UNKNOWN'
    UNION ALL  -- the carrier was asked and did not know
    SELECT provider FROM messages WHERE error_code = 'OUTCOME_UNKNOWN' AND status = 'unknown'
) x GROUP BY 1
"""


async def count_unknown(tx: Tx) -> list[UnknownTexts]:
    return await tx.fetch(UnknownTexts, COUNT_UNKNOWN_SQL)


@dataclass(frozen=True, slots=True)
class UnfetchedAccounts:
    """Accounts of a provider whose missed texts were not fetched yet. State `failing`: the last
    try failed; `waiting`: it was not tried yet."""

    provider: str
    state: str
    count: int


COUNT_UNFETCHED_SQL = """
SELECT provider, CASE WHEN failing_since IS NULL THEN 'waiting' ELSE 'failing' END AS state,
       count(*) AS count
FROM provider_accounts WHERE missing_since IS NOT NULL AND active
GROUP BY 1, 2
"""


async def count_unfetched(tx: Tx) -> list[UnfetchedAccounts]:
    return await tx.fetch(UnfetchedAccounts, COUNT_UNFETCHED_SQL)


@dataclass(frozen=True, slots=True)
class OwedTurns:
    """Unfinished turns. `late`: for how many seconds the oldest has been due; below 0 while none
    is due."""

    state: str
    count: int
    late: float


COUNT_TURNS_SQL = f"""
SELECT state, count(*) AS count,
       extract(epoch FROM clock_timestamp() - min(due_at))::float8 AS late
FROM turns
WHERE kind = 'live' AND state IN {UNFINISHED_SQL}
GROUP BY 1
"""


async def count_turns(tx: Tx) -> list[OwedTurns]:
    return await tx.fetch(OwedTurns, COUNT_TURNS_SQL)


@dataclass(frozen=True, slots=True)
class PausedAccounts:
    """Accounts of a provider that the provider refuses."""

    provider: str
    count: int


COUNT_PAUSED_ACCOUNTS_SQL = """
SELECT provider, count(*) AS count FROM provider_accounts
WHERE paused_at IS NOT NULL AND active GROUP BY 1
"""


async def count_paused_accounts(tx: Tx) -> list[PausedAccounts]:
    return await tx.fetch(PausedAccounts, COUNT_PAUSED_ACCOUNTS_SQL)


@dataclass(frozen=True, slots=True)
class OwedEvents:
    """Events that active webhook endpoints are owed. `late`: for how many seconds the oldest has been due
    that does not wait for a retry."""

    count: int
    late: float


COUNT_EVENTS_SQL = """
SELECT count(*) AS count,
       coalesce(extract(epoch FROM clock_timestamp() - min(q.due_at) FILTER (WHERE q.lease IS NULL)), 0)::float8
           AS late
FROM webhook_queue q JOIN webhook_endpoints e USING (tenant_id, endpoint_id)
WHERE e.active AND e.paused_at IS NULL
"""


async def count_events(tx: Tx) -> OwedEvents:
    events = await tx.fetch_one(OwedEvents, COUNT_EVENTS_SQL)
    assert events is not None
    return events


GET_SECONDS_BEHIND_SQL = f"""
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - v.at)), 0)::float8
FROM webhook_endpoints e CROSS JOIN LATERAL (
    SELECT v.at FROM tenant_events v
    WHERE v.tenant_id = e.tenant_id AND (v.transaction, v.event_id) > ({cursor_sql("e.transaction")}, e.event_id)
    ORDER BY v.transaction, v.event_id LIMIT 1
) v
WHERE e.active AND e.paused_at IS NULL AND e.failures = 0
"""


async def get_seconds_behind(tx: Tx) -> float:
    """The age of the oldest event that is not even queued for an active endpoint that does not fail; 0: all are."""
    return float(await tx.fetch_value(GET_SECONDS_BEHIND_SQL))


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """The oldest transaction that writes, in any database of the server: no event is read before it ends. `pid` None:
    it is a prepared one."""

    transaction: str
    pid: int | None
    application: str


FIND_OLDEST_TRANSACTION_SQL = """
SELECT l.transactionid::text AS transaction, l.pid, coalesce(a.application_name, '') AS application
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock'
  AND l.transactionid = pg_snapshot_xmin(pg_current_snapshot())::xid
LIMIT 1
"""
"""`pg_stat_activity` alone tells nothing about transactions of other roles."""


async def find_oldest_transaction(tx: Tx) -> OpenTransaction | None:
    return await tx.fetch_one(OpenTransaction, FIND_OLDEST_TRANSACTION_SQL)


@dataclass(frozen=True, slots=True)
class StandingEndpoints:
    """Webhook endpoints that get nothing now. State: `paused` or `failing`."""

    state: str
    count: int


COUNT_STANDING_ENDPOINTS_SQL = """
SELECT CASE WHEN paused_at IS NULL THEN 'failing' ELSE 'paused' END AS state, count(*) AS count
FROM webhook_endpoints WHERE active AND (paused_at IS NOT NULL OR failures > 0) GROUP BY 1
"""


async def count_standing_endpoints(tx: Tx) -> list[StandingEndpoints]:
    return await tx.fetch(StandingEndpoints, COUNT_STANDING_ENDPOINTS_SQL)


@dataclass(frozen=True, slots=True)
class OwedImports:
    """Imports that a worker is to finish. State: `running`; `waiting` for a worker; `standing`, because its
    worker does not go on. `late`: for how many seconds the oldest could have been taken; below 0 while none
    could."""

    state: str
    count: int
    late: float


COUNT_IMPORTS_SQL = """
SELECT CASE WHEN leased_until > clock_timestamp() THEN 'running' WHEN lease IS NULL THEN 'waiting' ELSE 'standing' END
           AS state,
       count(*) AS count,
       extract(epoch FROM clock_timestamp() - min(leased_until))::float8 AS late
FROM imports WHERE state IN ('checking', 'importing') GROUP BY 1
"""


async def count_imports(tx: Tx) -> list[OwedImports]:
    return await tx.fetch(OwedImports, COUNT_IMPORTS_SQL)

"""What only webhook endpoints need; `store.directory` has the rest."""

from dataclasses import dataclass
from datetime import datetime

from app.store import core
from app.store.engine import ReadTx, Tx
from app.store.events import EventCursor
from app.store.schema import WebhookEndpoint

LOCK_ENDPOINTS_SQL = "SELECT pg_advisory_xact_lock(hashtextextended('webhook endpoints of ' || $1, 0))"
COUNT_SQL = "SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1"


async def count_locked(tx: Tx, tenant_id: str) -> int:
    """How many endpoints the tenant has; until the transaction ends, nobody else adds one."""
    await tx.execute(LOCK_ENDPOINTS_SQL, tenant_id)
    return int(await tx.fetch_value(COUNT_SQL, tenant_id))


RESUME_SQL = """
UPDATE webhook_endpoints SET paused_at = NULL, paused_reason = NULL, failures = 0, failing_since = NULL,
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND endpoint_id = $2 RETURNING *
"""
RETRY_QUEUE_SQL = """
UPDATE webhook_queue SET due_at = clock_timestamp(), attempts = 0
WHERE tenant_id = $1 AND endpoint_id = $2 AND lease IS NULL
"""


async def resume(tx: Tx, tenant_id: str, endpoint_id: str) -> WebhookEndpoint | None:
    """Lets the endpoint go on where it stands; what waits for a retry is due at once."""
    endpoint = await core.fetch_first(tx, WebhookEndpoint, RESUME_SQL, tenant_id, endpoint_id)
    await tx.execute(RETRY_QUEUE_SQL, tenant_id, endpoint_id)
    return endpoint


FIND_EVENT_SQL = """
SELECT 1 FROM tenant_events
WHERE tenant_id = $1 AND transaction = $2::text::xid8 AND event_id = $3 AND name IS NOT NULL
"""
FIND_FIRST_SINCE_SQL = """
SELECT transaction::text::bigint AS transaction, event_id FROM tenant_events
WHERE tenant_id = $1 AND at >= $2 AND name IS NOT NULL
ORDER BY tenant_events.transaction, event_id LIMIT 1
"""


async def has_event(read: ReadTx, tenant_id: str, cursor: EventCursor) -> bool:
    return await read.fetch_value(FIND_EVENT_SQL, tenant_id, str(cursor[0]), cursor[1]) is not None


async def find_first_since(read: ReadTx, tenant_id: str, at: datetime) -> EventCursor | None:
    """The first event in the feed's order that happened at this time or later; None: there is none yet."""
    row = await read.fetch_row(FIND_FIRST_SINCE_SQL, tenant_id, at)
    return None if row is None else (row["transaction"], row["event_id"])


EMPTY_QUEUE_SQL = """
WITH gone AS (
    DELETE FROM webhook_queue WHERE tenant_id = $1 AND endpoint_id = $2 RETURNING lease, due_at
), caught_up AS (
    DELETE FROM webhook_backlogs WHERE tenant_id = $1 AND endpoint_id = $2
)
SELECT max(due_at) FILTER (WHERE lease IS NOT NULL) FROM gone
"""
MOVE_SQL = """
UPDATE webhook_endpoints SET
    transaction = coalesce($3::text::xid8, pg_snapshot_xmin(pg_current_snapshot())), event_id = coalesce($4, 0),
    quiet_until = greatest(quiet_until, $5), updated_at = clock_timestamp()
WHERE tenant_id = $1 AND endpoint_id = $2 RETURNING *
"""


async def rewind(tx: Tx, tenant_id: str, endpoint_id: str, before: EventCursor | None) -> WebhookEndpoint | None:
    """Empties the endpoint's queue, and sets its cursor to `before` (None: to now). What is being sent ends
    first. The caller has locked the endpoint."""
    last_lease_end = await tx.fetch_value(EMPTY_QUEUE_SQL, tenant_id, endpoint_id)
    transaction, event_id = (None, None) if before is None else (str(before[0]), before[1])
    return await core.fetch_first(
        tx, WebhookEndpoint, MOVE_SQL, tenant_id, endpoint_id, transaction, event_id, last_lease_end
    )


@dataclass(frozen=True, slots=True)
class EndpointQueue:
    """What an endpoint is owed. `oldest_at`: when the oldest queued event happened."""

    queued: int
    retrying: int
    """Subjects whose oldest event was not taken."""
    oldest_at: datetime | None
    delivered_at: datetime | None
    """When the endpoint last took an event."""


GET_QUEUE_SQL = """
SELECT (SELECT count(*) FROM webhook_queue q WHERE q.tenant_id = $1 AND q.endpoint_id = $2) AS queued,
       (SELECT count(*) FROM webhook_queue q
        WHERE q.tenant_id = $1 AND q.endpoint_id = $2 AND q.attempts > 0) AS retrying,
       (SELECT min(v.at) FROM webhook_queue q JOIN tenant_events v USING (tenant_id, transaction, event_id)
        WHERE q.tenant_id = $1 AND q.endpoint_id = $2) AS oldest_at,
       (SELECT d.at FROM webhook_deliveries d
        WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.outcome = 'delivered' AND d.name <> 'endpoint.test'
        ORDER BY d.delivery_id DESC LIMIT 1) AS delivered_at
"""


async def get_queue(read: ReadTx, tenant_id: str, endpoint_id: str) -> EndpointQueue:
    queue = await read.fetch_one(EndpointQueue, GET_QUEUE_SQL, tenant_id, endpoint_id)
    assert queue is not None
    return queue


@dataclass(frozen=True, slots=True)
class StandingEndpoint:
    """An endpoint that is paused, or fails."""

    endpoint_id: str
    paused_reason: str | None
    failing_since: datetime | None
    is_paused: bool


LIST_STANDING_SQL = """
SELECT endpoint_id, paused_reason, failing_since, paused_at IS NOT NULL AS is_paused
FROM webhook_endpoints WHERE active AND (paused_at IS NOT NULL OR failures >= $1)
ORDER BY coalesce(paused_at, failing_since), endpoint_id
"""


async def list_standing(tx: Tx, min_failures: int) -> list[StandingEndpoint]:
    """The endpoints of all tenants that get nothing now."""
    return await tx.fetch(StandingEndpoint, LIST_STANDING_SQL, min_failures)

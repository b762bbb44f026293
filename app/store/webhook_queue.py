"""The events that endpoints are owed: the due ones are claimed, and what came of them is settled
(docs/decisions/0035-webhooks-are-cursors.md). Locks: an endpoint before its queue."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from app.domain.event_bodies import RecordedEvent
from app.store.engine import Tx, as_columns
from app.store.events import id_sql
from app.store.rows import columns_of, unnest_sql

EndpointKey = tuple[str, str]
"""(tenant id, endpoint id)."""
EVENTS_PER_CLAIM = 10
"""Events of one subject that are sent one after the other under one lease; of an endpoint that fails, one."""
FAILURES_TO_BREAK = 5
"""After so many failures in a row an endpoint gets one request at a time."""


@dataclass(frozen=True, slots=True)
class ClaimedEvent(RecordedEvent):
    """A queued event and its endpoint, under a lease."""

    tenant_id: str
    endpoint_id: str
    subject: str
    attempts: int
    """Requests before this one."""
    url: str
    include: Annotated[list[str], "text[]"]
    secret: bytes
    previous_secret: bytes | None
    """It still signs beside `secret`."""
    failures: int
    is_gone: bool
    """The event was erased, or is older than events are kept."""
    now: datetime

    @property
    def endpoint(self) -> EndpointKey:
        return self.tenant_id, self.endpoint_id


CLAIM_EVENTS_SQL = f"""
WITH busy AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) AS a(tenant_id, endpoint_id, requests)
), endpoints AS MATERIALIZED (
    -- Whoever makes many events of an endpoint due, or takes them away, holds it alone: then it is passed
    -- over. Where there are more events than tasks for them, the endpoints take turns by chance.
    SELECT e.tenant_id, e.endpoint_id, e.failures FROM webhook_endpoints e
    WHERE e.active AND e.paused_at IS NULL AND (e.quiet_until IS NULL OR e.quiet_until < now())
      AND EXISTS (SELECT FROM webhook_queue q
                  WHERE q.tenant_id || q.endpoint_id = e.tenant_id || e.endpoint_id AND q.due_at <= now())
    ORDER BY random() FOR SHARE SKIP LOCKED
), heads AS MATERIALIZED (
    SELECT q.*
    FROM endpoints e
    LEFT JOIN busy b ON b.tenant_id = e.tenant_id AND b.endpoint_id = e.endpoint_id
    CROSS JOIN LATERAL (
        SELECT q.tenant_id, q.endpoint_id, q.subject, q.transaction, q.event_id,
               CASE WHEN e.failures > 0 THEN 1 ELSE $9 END AS events
        FROM webhook_queue q
        WHERE q.tenant_id || q.endpoint_id = e.tenant_id || e.endpoint_id AND q.due_at <= now()
          AND q.event_id = (  -- the oldest of its subject
              SELECT o.event_id FROM webhook_queue o
              WHERE o.tenant_id = q.tenant_id AND o.endpoint_id = q.endpoint_id AND o.subject = q.subject
              ORDER BY o.transaction, o.event_id LIMIT 1)
        ORDER BY q.due_at
        LIMIT greatest(CASE WHEN e.failures >= $4 THEN 1 ELSE $5 END - coalesce(b.requests, 0), 0)
        FOR UPDATE OF q SKIP LOCKED
    ) q
    LIMIT $6
), runs AS MATERIALIZED (
    SELECT h.tenant_id, h.endpoint_id, h.subject, n.transaction, n.event_id
    FROM heads h CROSS JOIN LATERAL (
        SELECT n.transaction, n.event_id FROM webhook_queue n
        WHERE n.tenant_id = h.tenant_id AND n.endpoint_id = h.endpoint_id AND n.subject = h.subject
        ORDER BY n.transaction, n.event_id LIMIT h.events
    ) n
), claimed AS (
    UPDATE webhook_queue q SET lease = $7, due_at = clock_timestamp() + $8::interval
    FROM runs r
    WHERE q.tenant_id = r.tenant_id AND q.endpoint_id = r.endpoint_id AND q.subject = r.subject
      AND q.transaction = r.transaction AND q.event_id = r.event_id
    RETURNING q.*
)
SELECT q.transaction::text::bigint AS transaction, q.event_id, coalesce(v.type, '') AS type, v.name,
       v.interaction_id, v.actor, coalesce(v.data, '{{}}') AS data, v.before,
       coalesce(v.at, clock_timestamp()) AS at, {id_sql("t.feed_epoch", "q", "v")} AS id,
       q.tenant_id, q.endpoint_id, q.subject, q.attempts,
       e.url, e.include, e.secret,
       CASE WHEN e.previous_secret_until > clock_timestamp() THEN e.previous_secret END AS previous_secret,
       e.failures, v.tenant_id IS NULL AS is_gone, clock_timestamp() AS now
FROM claimed q
JOIN webhook_endpoints e ON e.tenant_id = q.tenant_id AND e.endpoint_id = q.endpoint_id
JOIN tenants t ON t.tenant_id = q.tenant_id
LEFT JOIN tenant_events v
    ON v.tenant_id = q.tenant_id AND v.transaction = q.transaction AND v.event_id = q.event_id
ORDER BY q.transaction, q.event_id
"""


async def claim(
    tx: Tx, busy: Mapping[EndpointKey, int], places: int, max_subjects: int, lease: str, lease_time: timedelta
) -> list[ClaimedEvent]:
    """Claims due events of up to `max_subjects` subjects, in order. `busy`: requests that run already;
    an endpoint has `places` for them."""
    return await tx.fetch(
        ClaimedEvent,
        CLAIM_EVENTS_SQL,
        [tenant_id for tenant_id, _ in busy],
        [endpoint_id for _, endpoint_id in busy],
        list(busy.values()),
        FAILURES_TO_BREAK,
        places,
        max_subjects,
        lease,
        lease_time,
        EVENTS_PER_CLAIM,
    )


LOCK_ENDPOINTS_SQL = """
SELECT FROM webhook_endpoints e JOIN unnest($1::text[], $2::text[]) AS a(tenant_id, endpoint_id)
    USING (tenant_id, endpoint_id)
ORDER BY e.tenant_id, e.endpoint_id FOR {strength} OF e
"""
HOLD_ENDPOINTS_SQL = LOCK_ENDPOINTS_SQL.format(strength="UPDATE")
SHARE_ENDPOINTS_SQL = LOCK_ENDPOINTS_SQL.format(strength="SHARE")


async def lock_endpoints(tx: Tx, endpoints: Collection[EndpointKey], *, alone: bool) -> None:
    """Locks the endpoints before their queues are changed: a rewind, which takes all that is queued, holds
    its endpoint alone, and so does who writes news of one."""
    columns = as_columns(sorted(endpoints), 2)
    await tx.execute(HOLD_ENDPOINTS_SQL if alone else SHARE_ENDPOINTS_SQL, *columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointNews:
    """What a set of requests says of an endpoint. `pause_reason`: why it gets no more events."""

    tenant_id: str
    endpoint_id: str
    failures: int
    has_taken: bool
    """It took at least one event."""
    pause_reason: str | None


RECORD_NEWS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(EndpointNews, first=2)}
), known AS (
    SELECT e.tenant_id, e.endpoint_id, e.failures >= $1 AND a.has_taken AS is_back
    FROM asked a JOIN webhook_endpoints e USING (tenant_id, endpoint_id)
), changed AS (
    UPDATE webhook_endpoints e SET
        failures = CASE WHEN a.has_taken THEN 0 ELSE e.failures + a.failures END,
        failing_since = CASE WHEN NOT a.has_taken THEN coalesce(e.failing_since, clock_timestamp()) END,
        paused_at = coalesce(e.paused_at, CASE WHEN a.pause_reason IS NOT NULL THEN clock_timestamp() END),
        paused_reason = coalesce(e.paused_reason, a.pause_reason)
    FROM asked a JOIN known k USING (tenant_id, endpoint_id)
    WHERE e.tenant_id = a.tenant_id AND e.endpoint_id = a.endpoint_id
)
-- It answers again: what waits for a retry is due at once.
UPDATE webhook_queue q SET due_at = clock_timestamp() FROM known k
WHERE k.is_back AND q.tenant_id = k.tenant_id AND q.endpoint_id = k.endpoint_id AND q.lease IS NULL
  AND q.due_at > clock_timestamp()
"""


async def record_news(tx: Tx, news: Sequence[EndpointNews]) -> None:
    """The caller holds the endpoints alone."""
    if news:
        await tx.execute(RECORD_NEWS_SQL, FAILURES_TO_BREAK, *columns_of(news))


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneEvent:
    """An event that needs no more requests."""

    tenant_id: str
    endpoint_id: str
    subject: str
    transaction: Annotated[int, "bigint"]
    event_id: Annotated[int, "bigint"]
    lease: str


DELETE_DONE_SQL = f"""
DELETE FROM webhook_queue q USING {unnest_sql(DoneEvent)}
WHERE q.tenant_id = a.tenant_id AND q.endpoint_id = a.endpoint_id AND q.subject = a.subject
  AND q.transaction = a.transaction::text::xid8 AND q.event_id = a.event_id AND q.lease = a.lease
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingSubject:
    """A subject whose events stay in the queue. `failed_event_id` None: no request failed, they were only
    not sent yet."""

    tenant_id: str
    endpoint_id: str
    subject: str
    lease: str
    failed_event_id: Annotated[int | None, "bigint"]
    wait: timedelta


POSTPONE_SQL = f"""
UPDATE webhook_queue q SET lease = NULL, due_at = clock_timestamp() + a.wait,
    attempts = q.attempts + CASE WHEN q.event_id = a.failed_event_id THEN 1 ELSE 0 END
FROM {unnest_sql(WaitingSubject)}
WHERE q.tenant_id = a.tenant_id AND q.endpoint_id = a.endpoint_id AND q.subject = a.subject
  AND q.lease = a.lease
"""


async def settle(tx: Tx, done_events: Sequence[DoneEvent], waiting_subjects: Sequence[WaitingSubject]) -> None:
    """Removes the events that are done, and lets the other events of a subject wait. A lease that is no
    longer ours changes nothing."""
    if done_events:
        await tx.execute(DELETE_DONE_SQL, *columns_of(done_events))
    if waiting_subjects:
        await tx.execute(POSTPONE_SQL, *columns_of(waiting_subjects))

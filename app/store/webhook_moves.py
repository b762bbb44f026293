"""How events come into the queues of endpoints: cursors are moved, and subjects that are behind catch up
(docs/decisions/0035-webhooks-are-cursors.md)."""

from dataclasses import dataclass
from typing import Annotated

from app.store.engine import Tx
from app.store.events import SETTLED_SQL, cursor_sql

MAX_QUEUED = 2000
"""Queued events of an endpoint; then its cursor waits."""
MAX_QUEUED_OF_SUBJECT = 50
"""Then the cursor passes the subject's events, and the subject is behind: it has a cursor of its own."""
EVENTS_PER_MOVE = 500
SUBJECTS_PER_CATCH_UP = 10
EVENTS_PER_CATCH_UP = 1000
"""Events that are read for each subject; most may be of others."""
SUBJECT_SQL = """coalesce(v.interaction_id, v.data ->> 'leadId', v.data ->> 'phoneNumberId', v.data ->> 'accountId',
                 v.data ->> 'smsAgentId', v.data ->> 'endpointId',
                 'phones ' || (hashtext(v.data ->> 'phone') & 255), v.type)"""
"""What the event `v` is about. Phones are counted off into 256 groups: many that are blocked at once do not
wait for each other, and none is named."""


@dataclass(frozen=True, slots=True)
class ReadyEndpoints:
    """The locked endpoints, in two columns, and what else there is."""

    active: int
    """Endpoints, also those that have nothing new."""
    tenant_ids: Annotated[list[str], "text[]"]
    endpoint_ids: Annotated[list[str], "text[]"]
    has_subjects_behind: bool
    has_due: bool
    """An event of an active endpoint is due."""

    @property
    def may_have_due(self) -> bool:
        """Also if events are due once the cursors have moved."""
        return self.has_due or bool(self.endpoint_ids)


LOCK_READY_SQL = f"""
WITH ready AS (
    SELECT e.tenant_id, e.endpoint_id FROM webhook_endpoints e
    WHERE e.active AND e.paused_at IS NULL AND (EXISTS (
        SELECT FROM tenant_events v
        WHERE v.tenant_id = e.tenant_id AND v.{SETTLED_SQL}
          AND (v.transaction, v.event_id) > ({cursor_sql("e.transaction")}, e.event_id)
    ) OR EXISTS (
        SELECT FROM webhook_backlogs b WHERE b.tenant_id = e.tenant_id AND b.endpoint_id = e.endpoint_id
    ))
    FOR UPDATE OF e SKIP LOCKED
)
SELECT (SELECT count(*) FROM webhook_endpoints WHERE active AND paused_at IS NULL) AS active,
       array(SELECT tenant_id FROM ready ORDER BY tenant_id, endpoint_id) AS tenant_ids,
       array(SELECT endpoint_id FROM ready ORDER BY tenant_id, endpoint_id) AS endpoint_ids,
       EXISTS (SELECT FROM webhook_backlogs) AS has_subjects_behind,
       EXISTS (SELECT FROM webhook_endpoints e WHERE e.active AND e.paused_at IS NULL AND EXISTS (
           SELECT FROM webhook_queue q
           WHERE q.tenant_id || q.endpoint_id = e.tenant_id || e.endpoint_id AND q.due_at <= now())) AS has_due
"""


async def lock_ready(tx: Tx) -> ReadyEndpoints:
    """Locks the active endpoints with newer events. A statement of its own: what is read under the locks must
    be newer than they are, or a subject might be taken for one that is not behind."""
    ready = await tx.fetch_one(ReadyEndpoints, LOCK_READY_SQL)
    assert ready is not None
    return ready


def queued_of_subject_sql(of: str) -> str:
    """How many events of the subject `of` are queued, and when its retry is due: new events wait with it, and
    are not looked at."""
    return f"""(
        SELECT (SELECT count(*) FROM (
                    SELECT FROM webhook_queue q WHERE q.tenant_id = {of}.tenant_id
                      AND q.endpoint_id = {of}.endpoint_id AND q.subject = {of}.subject LIMIT {MAX_QUEUED_OF_SUBJECT}
                ) q) AS count,
               (SELECT q.due_at FROM webhook_queue q
                WHERE q.tenant_id = {of}.tenant_id AND q.endpoint_id = {of}.endpoint_id AND q.subject = {of}.subject
                  AND q.attempts > 0 AND q.lease IS NULL
                ORDER BY q.transaction, q.event_id LIMIT 1) AS due_at
    )"""


MOVE_CURSORS_SQL = f"""
WITH ready AS (
    SELECT e.tenant_id, e.endpoint_id, e.types, {cursor_sql("e.transaction")} AS transaction, e.event_id,
           {MAX_QUEUED} - queued.count AS room
    FROM unnest($1::text[], $2::text[]) AS a(tenant_id, endpoint_id)
    JOIN webhook_endpoints e USING (tenant_id, endpoint_id)
    CROSS JOIN LATERAL (
        SELECT count(*) FROM (
            SELECT FROM webhook_queue q WHERE q.tenant_id = e.tenant_id AND q.endpoint_id = e.endpoint_id
            LIMIT {MAX_QUEUED}) q
    ) queued
), fresh AS MATERIALIZED (
    SELECT r.tenant_id, r.endpoint_id, v.*,
           v.name IS NOT NULL AND (r.types IS NULL OR v.name = ANY (r.types)) AS is_wanted
    FROM ready r CROSS JOIN LATERAL (
        SELECT v.transaction, v.event_id, v.name, {SUBJECT_SQL} AS subject
        FROM tenant_events v
        WHERE v.tenant_id = r.tenant_id AND v.{SETTLED_SQL}
          AND (v.transaction, v.event_id) > (r.transaction, r.event_id)
        ORDER BY v.transaction, v.event_id LIMIT least(r.room, {EVENTS_PER_MOVE})
    ) v
), moved AS (
    UPDATE webhook_endpoints e SET transaction = l.transaction, event_id = l.event_id
    FROM (SELECT DISTINCT ON (tenant_id, endpoint_id) tenant_id, endpoint_id, transaction, event_id FROM fresh
          ORDER BY tenant_id, endpoint_id, transaction DESC, event_id DESC) l
    WHERE e.tenant_id = l.tenant_id AND e.endpoint_id = l.endpoint_id
), subjects AS MATERIALIZED (
    SELECT s.*, known.count, known.due_at
    FROM (SELECT DISTINCT tenant_id, endpoint_id, subject FROM fresh WHERE is_wanted) s
    CROSS JOIN LATERAL {queued_of_subject_sql("s")} known
    -- One that is behind takes its new events when it has caught up with them.
    WHERE NOT EXISTS (SELECT FROM webhook_backlogs b WHERE b.tenant_id = s.tenant_id
                        AND b.endpoint_id = s.endpoint_id AND b.subject = s.subject)
), counted AS MATERIALIZED (
    SELECT f.tenant_id, f.endpoint_id, f.subject, f.transaction, f.event_id, s.due_at,
           s.count + row_number() OVER (PARTITION BY f.tenant_id, f.endpoint_id, f.subject
                                        ORDER BY f.transaction, f.event_id) AS place
    FROM fresh f JOIN subjects s USING (tenant_id, endpoint_id, subject) WHERE f.is_wanted
), queued AS (
    INSERT INTO webhook_queue (tenant_id, endpoint_id, subject, transaction, event_id, due_at)
    SELECT tenant_id, endpoint_id, subject, transaction, event_id, coalesce(due_at, clock_timestamp())
    FROM counted WHERE place <= {MAX_QUEUED_OF_SUBJECT}
    ON CONFLICT DO NOTHING
)
-- Subjects without room are left behind.
INSERT INTO webhook_backlogs (tenant_id, endpoint_id, subject, transaction, event_id)
SELECT DISTINCT ON (tenant_id, endpoint_id, subject) tenant_id, endpoint_id, subject, transaction, event_id - 1
FROM counted WHERE place > {MAX_QUEUED_OF_SUBJECT}
ORDER BY tenant_id, endpoint_id, subject, transaction, event_id
"""


async def move_cursors(tx: Tx, ready: ReadyEndpoints) -> None:
    """Queues the newest events that the endpoints want."""
    await tx.execute(MOVE_CURSORS_SQL, ready.tenant_ids, ready.endpoint_ids)


CATCH_UP_SQL = f"""
WITH behind AS MATERIALIZED (
    SELECT b.tenant_id, b.endpoint_id, b.subject, {cursor_sql("b.transaction")} AS transaction, b.event_id, e.types,
           e.transaction AS last_transaction, e.event_id AS last_event_id,
           {MAX_QUEUED_OF_SUBJECT} - known.count AS room, known.due_at
    FROM unnest($1::text[], $2::text[]) AS a(tenant_id, endpoint_id)
    JOIN webhook_endpoints e USING (tenant_id, endpoint_id)
    JOIN webhook_backlogs b USING (tenant_id, endpoint_id)
    CROSS JOIN LATERAL {queued_of_subject_sql("b")} known
    WHERE known.count <= {MAX_QUEUED_OF_SUBJECT} / 2
    ORDER BY random() LIMIT {SUBJECTS_PER_CATCH_UP}
), seen AS MATERIALIZED (
    SELECT b.tenant_id, b.endpoint_id, b.subject, b.room, b.due_at, v.transaction, v.event_id,
           v.subject = b.subject AND v.name IS NOT NULL AND (b.types IS NULL OR v.name = ANY (b.types)) AS is_wanted
    FROM behind b CROSS JOIN LATERAL (
        SELECT v.transaction, v.event_id, v.name, {SUBJECT_SQL} AS subject
        FROM tenant_events v
        WHERE v.tenant_id = b.tenant_id
          AND (v.transaction, v.event_id) > (b.transaction, b.event_id)
          AND (v.transaction, v.event_id) <= (b.last_transaction, b.last_event_id)
        ORDER BY v.transaction, v.event_id LIMIT {EVENTS_PER_CATCH_UP}
    ) v
), counted AS MATERIALIZED (
    SELECT s.*, row_number() OVER (PARTITION BY tenant_id, endpoint_id, subject
                                   ORDER BY transaction, event_id) AS place
    FROM seen s WHERE is_wanted
), queued AS (
    INSERT INTO webhook_queue (tenant_id, endpoint_id, subject, transaction, event_id, due_at)
    SELECT tenant_id, endpoint_id, subject, transaction, event_id, coalesce(due_at, clock_timestamp())
    FROM counted WHERE place <= room
    ON CONFLICT DO NOTHING
), reached AS MATERIALIZED (
    -- Up to the first event without room, else to the last one that was read. Neither: it has caught up.
    SELECT b.tenant_id, b.endpoint_id, b.subject, p.transaction, p.event_id
    FROM behind b LEFT JOIN LATERAL (
        (SELECT c.transaction, c.event_id - 1 AS event_id, 1 AS choice FROM counted c
         WHERE c.tenant_id = b.tenant_id AND c.endpoint_id = b.endpoint_id AND c.subject = b.subject
           AND c.place = b.room + 1)
        UNION ALL
        (SELECT s.transaction, s.event_id, 2 FROM seen s
         WHERE s.tenant_id = b.tenant_id AND s.endpoint_id = b.endpoint_id AND s.subject = b.subject
         ORDER BY s.transaction, s.event_id OFFSET {EVENTS_PER_CATCH_UP} - 1 LIMIT 1)
        ORDER BY choice LIMIT 1
    ) p ON true
), done AS (
    DELETE FROM webhook_backlogs b USING reached r
    WHERE b.tenant_id = r.tenant_id AND b.endpoint_id = r.endpoint_id AND b.subject = r.subject
      AND r.transaction IS NULL
)
UPDATE webhook_backlogs b SET transaction = r.transaction, event_id = r.event_id FROM reached r
WHERE b.tenant_id = r.tenant_id AND b.endpoint_id = r.endpoint_id AND b.subject = r.subject
  AND r.transaction IS NOT NULL
"""


async def catch_up(tx: Tx, ready: ReadyEndpoints) -> None:
    """Queues the next events of some subjects that are behind and have room again. Whoever has caught up with
    its endpoint's cursor is behind no more."""
    await tx.execute(CATCH_UP_SQL, ready.tenant_ids, ready.endpoint_ids)

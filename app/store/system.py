"""Statistics of a tenant for its operators: texts, turns and agents over a span of time.

These statements use the primary keys, since ids begin with their creation time (`domain.ids`). So
they need no index on times, and sending pays nothing for them.
"""

from datetime import datetime, timedelta

from app.domain import ids
from app.store.engine import ReadTx, Row

COUNT_TEXTS_SQL = """
SELECT date_bin($4, created_at, $3) AS at, from_phone, provider, status, count(*) AS count
FROM messages
WHERE tenant_id = $1 AND message_id >= $2 AND created_at >= $3 AND role = 'agent'
  AND status <> 'note'
GROUP BY 1, 2, 3, 4
"""


async def count_texts(read: ReadTx, tenant_id: str, since: datetime, step: timedelta) -> list[Row]:
    """Outbound texts as (at, from_phone, provider, status, count). `at` is the beginning of the step
    in which they were accepted."""
    return await read.fetch_rows(COUNT_TEXTS_SQL, tenant_id, ids.first_since("msg", since), since, step)


COUNT_TURNS_SQL = """
SELECT date_bin($4, opened_at, $3) AS at, count(*) AS count
FROM turns
WHERE tenant_id = $1 AND turn_id >= $2 AND opened_at >= $3 AND kind = 'live'
GROUP BY 1
"""


async def count_turns(read: ReadTx, tenant_id: str, since: datetime, step: timedelta) -> list[Row]:
    """Live turns as (at, count). `at` is the beginning of the step in which they were opened."""
    return await read.fetch_rows(COUNT_TURNS_SQL, tenant_id, ids.first_since("turn", since), since, step)


COUNT_CONSENT_SQL = """
SELECT (SELECT count(DISTINCT to_phone) FROM messages
        WHERE tenant_id = $1 AND message_id >= $2 AND created_at >= $4 AND role = 'agent'
          AND status IN ('sent', 'delivered', 'failed', 'undelivered', 'unknown')) AS texted,
       (SELECT count(DISTINCT phone_hash) FROM consent_events
        WHERE tenant_id = $1 AND event_id >= $3 AND at >= $4 AND event = 'opted_out') AS opted_out
"""


async def count_consent(read: ReadTx, tenant_id: str, since: datetime) -> Row:
    """The numbers of phones that were `texted` and that `opted_out`."""
    first_ids = ids.first_since("msg", since), ids.first_since("evt", since)
    row = await read.fetch_row(COUNT_CONSENT_SQL, tenant_id, *first_ids, since)
    assert row is not None
    return row


MEASURE_AGENTS_SQL = """
SELECT t.sms_agent_id, min(s.name) AS name, count(*) AS attempts,
       count(*) FILTER (WHERE a.outcome = 'failed') AS failed,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY a.duration_ms) AS took_ms,
       count(DISTINCT t.turn_id) FILTER (WHERE t.state = 'failed') AS given_up
FROM turn_attempts a
JOIN turns t ON t.tenant_id = a.tenant_id AND t.turn_id = a.turn_id
LEFT JOIN sms_agents s ON s.tenant_id = t.tenant_id AND s.sms_agent_id = t.sms_agent_id
WHERE a.tenant_id = $1 AND a.turn_id >= $2 AND a.at >= $3 AND t.kind = 'live'
  AND a.outcome IS NOT NULL
GROUP BY t.sms_agent_id ORDER BY attempts DESC, t.sms_agent_id
"""


async def measure_agents(read: ReadTx, tenant_id: str, since: datetime) -> list[Row]:
    """How agents' webhooks answered: (sms_agent_id, name, attempts, failed, took_ms, given_up).
    `took_ms` is [median, 95th percentile]; `given_up` counts turns whose attempts all failed."""
    first_id = ids.first_since("turn", since - MAX_TURN_AGE)
    return await read.fetch_rows(MEASURE_AGENTS_SQL, tenant_id, first_id, since)


MAX_TURN_AGE = timedelta(hours=1)
"""The longest time between a turn's id and its last attempt: window and retries."""

COUNT_SEGMENTS_SQL = """
SELECT date_trunc('month', created_at, 'UTC') AS month, count(*) AS texts,
       sum(segments)::bigint AS segments
FROM messages
WHERE tenant_id = $1 AND message_id >= $2 AND created_at >= $3 AND role = 'agent'
  AND status IN ('sent', 'delivered', 'failed', 'undelivered', 'unknown')
GROUP BY 1 ORDER BY 1 DESC
"""


async def count_segments(read: ReadTx, tenant_id: str, since: datetime) -> list[Row]:
    """Texts handed to carriers as (month, texts, segments), the newest month first."""
    return await read.fetch_rows(COUNT_SEGMENTS_SQL, tenant_id, ids.first_since("msg", since), since)


FIND_OLDEST_DUE_SQL = """
(SELECT 'text' AS what, o.interaction_id, o.due_at, clock_timestamp() AS now
 FROM outbox o WHERE o.tenant_id = $1 AND o.seq IS NOT NULL AND o.due_at <= clock_timestamp()
 ORDER BY o.due_at LIMIT 1)
UNION ALL
(SELECT 'turn', t.interaction_id, t.due_at, clock_timestamp()
 FROM turns t
 WHERE t.tenant_id = $1 AND t.kind = 'live' AND t.state IN ('collecting', 'delivering')
   AND t.due_at <= clock_timestamp()
 ORDER BY t.due_at LIMIT 1)
ORDER BY due_at
"""


async def find_oldest_due(read: ReadTx, tenant_id: str) -> list[Row]:
    """The text and the turn that have been due longest, as (what, interaction_id, due_at, now).
    Paused ones count too."""
    return await read.fetch_rows(FIND_OLDEST_DUE_SQL, tenant_id)

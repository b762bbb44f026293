"""Statistics of a tenant for its operators: texts, turns and agents over a span of time.

These statements use the primary keys, since ids begin with their creation time (`domain.ids`). So
they need no index on times, and sending pays nothing for them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain import ids
from app.store.engine import ReadTx


@dataclass(frozen=True, slots=True)
class TextCount:
    """Outbound texts that were accepted in the step that begins `at`."""

    at: datetime
    from_phone: str | None
    provider: str | None
    status: str
    count: int


COUNT_TEXTS_SQL = """
SELECT date_bin($4, created_at, 'epoch') AS at, from_phone, provider, status, count(*) AS count
FROM messages
WHERE tenant_id = $1 AND message_id >= $2 AND created_at >= $3 AND role = 'agent'
  AND status <> 'note'
GROUP BY 1, 2, 3, 4
"""


async def count_texts(read: ReadTx, tenant_id: str, since: datetime, step: timedelta) -> list[TextCount]:
    return await read.fetch(TextCount, COUNT_TEXTS_SQL, tenant_id, ids.first_since("msg", since), since, step)


@dataclass(frozen=True, slots=True)
class TurnCount:
    """Live turns that were opened in the step that begins `at`."""

    at: datetime
    count: int


COUNT_TURNS_SQL = """
SELECT date_bin($4, opened_at, 'epoch') AS at, count(*) AS count
FROM turns
WHERE tenant_id = $1 AND turn_id >= $2 AND opened_at >= $3 AND kind = 'live'
GROUP BY 1
"""


async def count_turns(read: ReadTx, tenant_id: str, since: datetime, step: timedelta) -> list[TurnCount]:
    return await read.fetch(TurnCount, COUNT_TURNS_SQL, tenant_id, ids.first_since("turn", since), since, step)


@dataclass(frozen=True, slots=True)
class ConsentCount:
    """How many phones were texted, and how many opted out."""

    texted: int
    opted_out: int


COUNT_CONSENT_SQL = """
SELECT (SELECT count(DISTINCT to_phone) FROM messages
        WHERE tenant_id = $1 AND message_id >= $2 AND created_at >= $4 AND role = 'agent'
          AND status IN ('sent', 'delivered', 'failed', 'undelivered', 'unknown')) AS texted,
       (SELECT count(DISTINCT phone_hash) FROM consent_events
        WHERE tenant_id = $1 AND event_id >= $3 AND at >= $4 AND event = 'opted_out') AS opted_out
"""


async def count_consent(read: ReadTx, tenant_id: str, since: datetime) -> ConsentCount:
    first_ids = ids.first_since("msg", since), ids.first_since("evt", since)
    [count] = await read.fetch(ConsentCount, COUNT_CONSENT_SQL, tenant_id, *first_ids, since)
    return count


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """How an agent's webhook answered."""

    sms_agent_id: str | None
    name: str | None
    attempts: int
    failed: int
    took_ms: list[float | None]
    """The median and the 95th percentile; None if no attempt was answered."""
    given_up: int
    """Turns whose attempts all failed."""


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


async def measure_agents(read: ReadTx, tenant_id: str, since: datetime) -> list[AgentFigures]:
    first_id = ids.first_since("turn", since - MAX_TURN_AGE)
    return await read.fetch(AgentFigures, MEASURE_AGENTS_SQL, tenant_id, first_id, since)


MAX_TURN_AGE = timedelta(hours=1)
"""The longest time between a turn's id and its last attempt: window and retries."""


@dataclass(frozen=True, slots=True)
class MonthSegments:
    """Texts handed to carriers in a month (UTC), and their segments."""

    month: datetime
    texts: int
    segments: int | None


COUNT_SEGMENTS_SQL = """
SELECT date_trunc('month', created_at, 'UTC') AS month, count(*) AS texts,
       sum(segments)::bigint AS segments
FROM messages
WHERE tenant_id = $1 AND message_id >= $2 AND created_at >= $3 AND role = 'agent'
  AND status IN ('sent', 'delivered', 'failed', 'undelivered', 'unknown')
GROUP BY 1 ORDER BY 1 DESC
"""


async def count_segments(read: ReadTx, tenant_id: str, since: datetime) -> list[MonthSegments]:
    """The months since then, the newest first."""
    return await read.fetch(MonthSegments, COUNT_SEGMENTS_SQL, tenant_id, ids.first_since("msg", since), since)


@dataclass(frozen=True, slots=True)
class OldestDue:
    """The text or the turn (`what`) that has been due longest."""

    what: str
    interaction_id: str
    due_at: datetime
    now: datetime


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


async def find_oldest_due(read: ReadTx, tenant_id: str) -> list[OldestDue]:
    """The text and the turn that have been due longest. Paused ones count too."""
    return await read.fetch(OldestDue, FIND_OLDEST_DUE_SQL, tenant_id)

"""An hour of a tenant is counted as a whole, from the rows as they are
(docs/decisions/0044-figures-are-counted-hours.md)."""

from datetime import datetime, timedelta
from typing import get_args

from app.domain import ids
from app.domain.ids import IdKind
from app.domain.turns import ClosedState
from app.store.counting import HOUR, TenantHour
from app.store.engine import Tx
from app.store.thread_filters import SENT_SQL

HOURS_PER_COUNT = 20
# The mark is taken away first: whoever sets it again meanwhile waits for the count, and it counts.
CLAIM_HOURS_SQL = """
UPDATE figure_hours h SET due_at = NULL, counted_at = clock_timestamp()
FROM (SELECT tenant_id, hour FROM figure_hours
      WHERE due_at <= clock_timestamp() + $2::interval AND (counted_at < $3 OR counted_at IS NULL OR $3 IS NULL)
      ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
WHERE h.tenant_id = due.tenant_id AND h.hour = due.hour
RETURNING h.tenant_id, h.hour
"""
DELETE_COUNTED_SQL = """
DELETE FROM figures
WHERE tenant_id = $1 AND level IN ('full', 'tenant', 'campaign', 'agent') AND hour = $2  -- for the index
"""
RECORD_TIME_SQL = """
UPDATE figure_hours SET took = clock_timestamp() - counted_at WHERE tenant_id = $1 AND hour = $2
"""
CLOSED_SQL = f"IN ({', '.join(repr(state) for state in get_args(ClosedState))})"
COUNT_HOUR_SQL = f"""
WITH texts AS (
    SELECT t.campaign_id, t.our_number, u.sms_agent_id, m.source, m.currency, u.experiment_id || '.' || u.side AS side,
           count(*) FILTER (WHERE m.role = 'agent' AND m.status {SENT_SQL}) AS texts,
           sum(m.segments) FILTER (WHERE m.role = 'agent' AND m.status {SENT_SQL}) AS segments,
           count(*) FILTER (WHERE m.role = 'agent' AND m.status = 'delivered') AS delivered,
           count(*) FILTER (WHERE m.role = 'agent' AND m.status IN ('failed', 'undelivered')) AS failed,
           count(*) FILTER (WHERE m.role = 'agent' AND m.status = 'unknown') AS unknown,
           count(*) FILTER (WHERE m.role = 'user' AND m.status = 'received') AS inbound,
           count(m.price) FILTER (WHERE m.role = 'agent') AS priced,
           sum(m.price) FILTER (WHERE m.role = 'agent') AS cost
    FROM messages m
    JOIN interactions t ON t.tenant_id = m.tenant_id AND t.interaction_id = m.interaction_id
    LEFT JOIN turns u ON u.tenant_id = m.tenant_id AND u.turn_id = m.turn_id
    WHERE m.tenant_id = $1 AND m.message_id >= $3 AND m.message_id < $4
    GROUP BY 1, 2, 3, 4, 5, 6
), threads AS (
    SELECT t.interaction_id, t.campaign_id, t.our_number, u.sms_agent_id, u.side, t.status,
           first.created_at AS texted_at,
           reply.created_at AS replied_at
    FROM interactions t
    LEFT JOIN LATERAL (  -- the agent of its newest turn, and its side
        SELECT u.sms_agent_id, u.experiment_id || '.' || u.side AS side FROM turns u
        WHERE u.tenant_id = t.tenant_id AND u.interaction_id = t.interaction_id AND u.kind = 'live'
          AND u.sms_agent_id IS NOT NULL
        ORDER BY u.turn_id DESC LIMIT 1
    ) u ON true
    LEFT JOIN LATERAL (
        SELECT m.seq, m.created_at FROM messages m
        WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id AND m.role = 'agent'
          AND m.status {SENT_SQL}
        ORDER BY m.seq LIMIT 1
    ) first ON true
    LEFT JOIN LATERAL (
        SELECT m.created_at FROM messages m
        WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id AND m.role = 'user'
          AND m.seq > first.seq
        ORDER BY m.seq LIMIT 1
    ) reply ON true
    WHERE t.tenant_id = $1 AND t.interaction_id >= $5 AND t.interaction_id < $6
), thread_costs AS (
    SELECT t.campaign_id, t.our_number, t.sms_agent_id, t.side, m.currency, sum(m.price) AS cost
    FROM threads t
    JOIN messages m ON m.tenant_id = $1 AND m.interaction_id = t.interaction_id
    WHERE m.role = 'agent' AND m.price IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
), turns_closed AS (
    SELECT t.campaign_id, t.our_number, u.sms_agent_id, u.state, u.experiment_id || '.' || u.side AS side,
           count(*) FILTER (WHERE u.state {CLOSED_SQL}) AS closed,
           count(*) FILTER (WHERE u.reason LIKE '%the agent handed off%') AS hand_offs,
           count(*) FILTER (WHERE u.refused @> '[{{"code": "STALE_TURN"}}]') AS stale_replies,
           sum(CASE WHEN jsonb_typeof(u.outcome -> 'answers') = 'array'
                    THEN jsonb_array_length(u.outcome -> 'answers') END) AS answers,
           count(*) FILTER (WHERE u.state = 'replied' AND u.closed_at >= u.handed_over_at) AS timed,
           sum(extract(epoch FROM u.closed_at - u.handed_over_at) * 1000)
               FILTER (WHERE u.state = 'replied' AND u.closed_at >= u.handed_over_at) AS agent_ms
    FROM turns u
    JOIN interactions t ON t.tenant_id = u.tenant_id AND t.interaction_id = u.interaction_id
    WHERE u.tenant_id = $1 AND u.turn_id >= $7 AND u.turn_id < $8 AND u.kind = 'live'
    GROUP BY 1, 2, 3, 4, 5
), opt_outs AS (
    SELECT t.campaign_id, t.our_number, coalesce(c.rule, 'unnamed') AS rule, count(*) AS count
    FROM consent_events c
    LEFT JOIN messages m ON m.tenant_id = c.tenant_id AND m.message_id = c.message_id
    LEFT JOIN interactions t ON t.tenant_id = m.tenant_id AND t.interaction_id = m.interaction_id
    WHERE c.tenant_id = $1 AND c.event_id >= $9 AND c.event_id < $10 AND c.event = 'opted_out'
    GROUP BY 1, 2, 3
), counted AS (
    SELECT campaign_id, our_number, sms_agent_id, source, side, x.measure, x.value
    FROM texts CROSS JOIN LATERAL (VALUES
        ('texts', texts), ('segments', segments), ('delivered', delivered), ('failed', failed),
        ('unknown', unknown), ('inbound', inbound), ('pricedTexts', priced),
        ('cost.' || currency, (cost * 1000000)::bigint)) AS x(measure, value)
    UNION ALL
    SELECT campaign_id, our_number, sms_agent_id, '', side, x.measure, x.value
    FROM threads CROSS JOIN LATERAL (VALUES
        ('opened', 1), ('status.' || status, 1), ('texted', (texted_at IS NOT NULL)::int),
        ('replied', (replied_at IS NOT NULL)::int),
        ('qualified', (replied_at IS NOT NULL AND status = 'qualified')::int),
        ('replySeconds', greatest(extract(epoch FROM replied_at - texted_at), 0)::bigint)) AS x(measure, value)
    UNION ALL
    SELECT campaign_id, our_number, sms_agent_id, '', side, 'threadCost.' || currency, (cost * 1000000)::bigint
    FROM thread_costs
    UNION ALL
    SELECT campaign_id, our_number, sms_agent_id, '', side, x.measure, x.value
    FROM turns_closed CROSS JOIN LATERAL (VALUES
        ('turns', closed), ('turns.' || state, closed), ('handOffs', hand_offs),
        ('staleReplies', stale_replies), ('answers', answers), ('timedTurns', timed),
        ('agentMs', agent_ms::bigint)) AS x(measure, value)
    UNION ALL
    SELECT campaign_id, our_number, NULL, '', NULL, x.measure, x.value
    FROM opt_outs CROSS JOIN LATERAL (VALUES ('optOuts', count), ('optOuts.' || rule, count)) AS x(measure, value)
)
INSERT INTO figures (tenant_id, level, hour, campaign_id, our_number, sms_agent_id, source, side, counts)
SELECT $1::text, level, $2::timestamptz, coalesce(campaign_id, ''), coalesce(our_number, ''),
       coalesce(sms_agent_id, ''), coalesce(source, ''), coalesce(side, ''), jsonb_object_agg(measure, value)
FROM (
    SELECT CASE grouping(campaign_id, our_number, sms_agent_id, source, side)
               WHEN 0 THEN 'full' WHEN 15 THEN 'campaign' WHEN 27 THEN 'agent' ELSE 'tenant' END AS level,
           campaign_id, our_number, sms_agent_id, source, side, measure, sum(value) AS value
    FROM (
        SELECT coalesce(campaign_id, '') AS campaign_id, coalesce(our_number, '') AS our_number,
               coalesce(sms_agent_id, '') AS sms_agent_id, source, coalesce(side, '') AS side, measure, value
        FROM counted WHERE value > 0
    ) c
    GROUP BY GROUPING SETS ((campaign_id, our_number, sms_agent_id, source, side, measure), (campaign_id, measure),
                            (sms_agent_id, measure), (measure))
) s
GROUP BY level, campaign_id, our_number, sms_agent_id, source, side
ORDER BY level  -- what is read together stands together
"""
COUNTED_KINDS: tuple[IdKind, ...] = ("msg", "int", "turn", "evt")


async def count_due(tx: Tx, within: timedelta = timedelta(0), counted_before: datetime | None = None) -> int:
    """Counts hours that are due within this time, and were not counted since `counted_before`. Returns how
    many there were."""
    hours = await tx.fetch(TenantHour, CLAIM_HOURS_SQL, HOURS_PER_COUNT, within, counted_before)
    if not hours:
        return 0
    count_hour = await tx.prepare_now(COUNT_HOUR_SQL)  # to plan it takes longer than to count a usual hour
    for hour in sorted(hours):
        await tx.execute(DELETE_COUNTED_SQL, hour.tenant_id, hour.hour)
        await count_hour(hour.tenant_id, hour.hour, *_list_bounds(hour.hour))
        await tx.execute(RECORD_TIME_SQL, hour.tenant_id, hour.hour)
    return len(hours)


def _list_bounds(hour: datetime) -> list[str]:
    """For each kind of id, the first of the hour and the first of the next hour."""
    return [ids.first_since(kind, at) for kind in COUNTED_KINDS for at in (hour, hour + HOUR)]

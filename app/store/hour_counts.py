"""An hour of a tenant is counted as a whole, from the rows as they are, and its day is summed up of its hours
(docs/decisions/0044-figures-are-counted-hours.md)."""

from datetime import datetime, timedelta
from itertools import groupby
from typing import get_args

from app.domain import ids
from app.domain.ids import IdKind
from app.domain.turns import ClosedState
from app.store.connections import loop_time
from app.store.counting import DAY_LEVEL, HOUR, TenantHour
from app.store.engine import Tx
from app.store.schema.figures import DUE_AT_SQL, WAITING_SQL
from app.store.thread_filters import NEWEST_TURN_SQL, SENT_SQL
from app.store.turn_states import has_begun_sql

# Written as their index is. An hour that was counted while its day was not summed up is due, too: so a worker of the
# version before leaves it.
DUE_SQL = f"""
FROM figure_hours
WHERE ({WAITING_SQL}) AND {DUE_AT_SQL} <= (SELECT clock_timestamp()) + $1::interval
  AND (counted_at < $2 OR counted_at IS NULL OR $2 IS NULL)
"""
# The mark is taken away first: whoever sets it again meanwhile waits for the count, and it counts.
CLAIM_HOURS_SQL = f"""
WITH locked AS (
    SELECT tenant_id, hour, {DUE_AT_SQL} AS due_at, took {DUE_SQL}
    ORDER BY {DUE_AT_SQL} LIMIT $3 FOR UPDATE SKIP LOCKED
), due AS (
    SELECT tenant_id, hour, clock_timestamp() AS now,
           sum(took) OVER (ORDER BY due_at, tenant_id, hour) - took AS took_before
    FROM locked
)
UPDATE figure_hours h SET due_at = NULL, counted_at = due.now, summed_at = due.now
FROM due WHERE h.tenant_id = due.tenant_id AND h.hour = due.hour AND due.took_before < $4::interval
RETURNING h.tenant_id, h.hour
"""
HAS_DUE_SQL = f"SELECT EXISTS (SELECT {DUE_SQL})"
HOURS_AT_ONCE = 20
TIME_AT_ONCE = timedelta(milliseconds=100)
LEVELS = ("full", "tenant", "campaign", "agent")
DELETE_SUMS_SQL = "DELETE FROM figures WHERE tenant_id = $1 AND hour = $2 AND level = ANY ($3)"
RECORD_TIME_SQL = "UPDATE figure_hours SET took = $3 WHERE tenant_id = $1 AND hour = ANY ($2)"
CLOSED_SQL = f"IN ({', '.join(repr(state) for state in get_args(ClosedState))})"
TEXTS_SQL = f"""texts AS (
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
)"""
THREADS_SQL = f"""threads AS (
    SELECT t.interaction_id, t.campaign_id, t.our_number, u.sms_agent_id, u.side, t.status,
           first.created_at AS texted_at, reply.created_at AS replied_at
    FROM interactions t
    LEFT JOIN LATERAL (
        SELECT u.sms_agent_id, u.experiment_id || '.' || u.side AS side {NEWEST_TURN_SQL}
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
)"""
THREAD_COSTS_SQL = """thread_costs AS (
    SELECT t.campaign_id, t.our_number, t.sms_agent_id, t.side, m.currency, sum(m.price) AS cost
    FROM threads t
    JOIN messages m ON m.tenant_id = $1 AND m.interaction_id = t.interaction_id
    WHERE m.role = 'agent' AND m.price IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
)"""
TURNS_SQL = f"""turns_closed AS (
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
    WHERE u.tenant_id = $1 AND u.turn_id >= $7 AND u.turn_id < $8 AND u.kind = 'live' AND {has_begun_sql("u")}
    GROUP BY 1, 2, 3, 4, 5
)"""
OPT_OUTS_SQL = """opt_outs AS (
    SELECT t.campaign_id, t.our_number, coalesce(c.rule, 'unnamed') AS rule, count(*) AS count
    FROM consent_events c
    LEFT JOIN messages m ON m.tenant_id = c.tenant_id AND m.message_id = c.message_id
    LEFT JOIN interactions t ON t.tenant_id = m.tenant_id AND t.interaction_id = m.interaction_id
    WHERE c.tenant_id = $1 AND c.event_id >= $9 AND c.event_id < $10 AND c.event = 'opted_out'
    GROUP BY 1, 2, 3
)"""
# A row for each measure of a combination.
COUNTED_SQL = """counted AS (
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
)"""
STORE_SUMS_SQL = """
INSERT INTO figures (tenant_id, level, hour, campaign_id, our_number, sms_agent_id, source, side, counts)
SELECT $1::text, {level}, $2::timestamptz, coalesce(campaign_id, ''), coalesce(our_number, ''),
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
COUNT_HOUR_SQL = f"""
WITH {TEXTS_SQL}, {THREADS_SQL}, {THREAD_COSTS_SQL},
     {TURNS_SQL}, {OPT_OUTS_SQL}, {COUNTED_SQL}
{STORE_SUMS_SQL.format(level="level")}
"""
# Hours of a day may be counted by several workers: whoever sums it up last sees what the others counted.
LOCK_DAY_SQL = "SELECT pg_advisory_xact_lock(hashtextextended('figures of ' || $1 || ' ' || $2, 0))"
SUM_DAY_SQL = f"""
WITH counted AS (
    SELECT f.campaign_id, f.our_number, f.sms_agent_id, f.source, f.side, x.key AS measure, x.value::bigint AS value
    FROM figures f CROSS JOIN LATERAL jsonb_each(f.counts) x
    WHERE f.tenant_id = $1 AND f.level = 'full' AND f.hour >= $2 AND f.hour < $2::timestamptz + interval '24 hours'
)
{STORE_SUMS_SQL.format(level=f"level || '{DAY_LEVEL}'")}
"""
COUNTED_KINDS: tuple[IdKind, ...] = ("msg", "int", "turn", "evt")


async def count_due(tx: Tx, within: timedelta = timedelta(0), counted_before: datetime | None = None) -> int:
    """Counts some of the hours that are due within this time, and were not counted since `counted_before`, and sums up
    their days. Returns how many hours there were; 0: none is due that nobody else has claimed.

    Until `tx` ends, the rows of their tenants cannot be locked: so it counts only as much as last took
    `TIME_AT_ONCE`."""
    hours = await tx.fetch(TenantHour, CLAIM_HOURS_SQL, within, counted_before, HOURS_AT_ONCE, TIME_AT_ONCE)
    if not hours:
        return 0
    count_hour = await tx.prepare_now(COUNT_HOUR_SQL)  # to plan it takes longer than to count a usual hour
    for (tenant_id, day), hours_of_day in groupby(sorted(hours), lambda item: (item.tenant_id, item.day)):
        begun_at, counted_hours = loop_time(), [item.hour for item in hours_of_day]
        for hour in counted_hours:
            await tx.execute(DELETE_SUMS_SQL, tenant_id, hour, LEVELS)
            await count_hour(tenant_id, hour, *_list_bounds(hour))
        await sum_day(tx, tenant_id, day)
        took = timedelta(seconds=(loop_time() - begun_at) / len(counted_hours))
        await tx.execute(RECORD_TIME_SQL, tenant_id, counted_hours, took)
    return len(hours)


async def has_due(tx: Tx, within: timedelta, counted_before: datetime) -> bool:
    """Whether an hour is due, also one that somebody else has claimed and not counted yet."""
    return bool(await tx.fetch_value(HAS_DUE_SQL, within, counted_before))


async def sum_day(tx: Tx, tenant_id: str, day: datetime) -> None:
    """Sums up the hours of a day of UTC, as they are counted."""
    await tx.execute(LOCK_DAY_SQL, tenant_id, day.isoformat())
    await tx.execute(DELETE_SUMS_SQL, tenant_id, day, [f"{level}{DAY_LEVEL}" for level in LEVELS])
    await tx.execute(SUM_DAY_SQL, tenant_id, day)


def _list_bounds(hour: datetime) -> list[str]:
    """For each kind of id, the first of the hour and the first of the next hour."""
    return [ids.first_since(kind, at) for kind in COUNTED_KINDS for at in (hour, hour + HOUR)]

"""Planned turns: turns that no text of the lead begins, until their moment. Whoever changes one holds the
row lock of its thread."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

from app.domain import ids
from app.domain.follow_ups import FINISHED_STATUSES, ThreadFacts
from app.domain.turns import UNFINISHED_STATES, Trigger
from app.store.agent_of import agent_of_sql
from app.store.engine import ReadTx, Tx, as_columns
from app.store.may_text import may_not_text_sql
from app.store.opt_out_decisions import awaits_decision_sql
from app.store.rows import columns_of, unnest_sql
from app.store.threads import ThreadKey

FIND_DUE_THREADS_SQL = """
SELECT DISTINCT tenant_id, interaction_id FROM (
    SELECT tenant_id, interaction_id FROM turns
    WHERE kind = 'live' AND state = 'planned' AND due_at <= (SELECT clock_timestamp())
    ORDER BY due_at LIMIT $1
) due
"""


async def find_due_threads(tx: Tx, limit: int) -> list[ThreadKey]:
    """Threads of up to `limit` planned turns that are due."""
    rows = await tx.fetch_rows(FIND_DUE_THREADS_SQL, limit)
    return [(row["tenant_id"], row["interaction_id"]) for row in rows]


def _has_news_sql(turn: str) -> str:
    """A condition: the lead or a person wrote after the turn (an alias of it) was planned."""
    return f"""EXISTS (SELECT 1 FROM messages m WHERE m.tenant_id = {turn}.tenant_id
        AND m.interaction_id = {turn}.interaction_id AND m.seq > {turn}.through_seq
        AND (m.role = 'user' OR m.source = 'manual'))"""


SINCE_LEAD_WROTE_SQL = """s.tenant_id = t.tenant_id AND s.interaction_id = t.interaction_id AND s.kind = 'live'
      AND s.opened_at > coalesce(t.last_inbound_at, '-infinity')"""
"""The turns `s` of the thread `t` that began after the lead last wrote."""
TELLS_OF_FAILURE_SQL = "s.trigger = 'failed_delivery' AND (s.handed_over_at IS NOT NULL OR s.closed_at IS NULL)"
"""The turn `s` told the agent of a text that did not arrive, or will."""

GET_FACTS_SQL = f"""
SELECT t.tenant_id, t.interaction_id, clock_timestamp() AS now, t.status, t.agent_mode,
       {may_not_text_sql("t.tenant_id", "t.lead_phone", "l.dnc_channels")} AS is_suppressed,
       tn.paused_at IS NULL AND EXISTS (
           SELECT 1 FROM phone_numbers n WHERE n.tenant_id = t.tenant_id AND n.phone_number = t.our_number
             AND n.active AND n.paused_at IS NULL) AS is_number_on,
       coalesce(t.paused_until > clock_timestamp(), false) AS is_resting,
       {awaits_decision_sql("t")} OR EXISTS (
           SELECT 1 FROM turns h WHERE h.tenant_id = t.tenant_id AND h.interaction_id = t.interaction_id
             AND h.held IS NOT NULL) AS awaits_person,
       EXISTS (
           SELECT 1 FROM turns o WHERE o.tenant_id = t.tenant_id AND o.interaction_id = t.interaction_id
             AND o.kind = 'live' AND o.state = ANY ($3)) AS has_open_turn,
       agent.sms_agent_id, agent.paused_at IS NOT NULL AS is_agent_paused, agent.follow_ups,
       agent.failed_delivery_turns AS wants_failures, agent.business_hours,
       t.last_inbound_at IS NOT NULL AS has_lead_written,
       newest.seq AS newest_seq, newest.role AS newest_role, newest.source AS newest_source,
       newest.status AS newest_status, newest.text AS newest_text, t.last_message_at AS newest_at,
       (SELECT max(w.due_at) FROM outbox w
        WHERE w.tenant_id = t.tenant_id AND w.interaction_id = t.interaction_id AND w.seq IS NULL) AS unreleased_at,
       coalesce(past.steps_done, 0)::int AS steps_done, past.last_step_at, past.stopped_seq,
       coalesce(past.has_heard_of_failure, false) AS has_heard_of_failure,
       (SELECT w.window_due_at FROM turns w
        WHERE w.tenant_id = t.tenant_id AND w.interaction_id = t.interaction_id AND w.kind = 'live'
          AND w.state = 'planned' AND w.trigger = 'scheduled') AS wakes_at,
       coalesce(past.wakes_done, 0)::int AS wakes_done,
       p.turn_id, p.trigger, p.step::int AS step, p.through_seq, p.opened_at AS asked_at, p.window_due_at AS moment,
       {_has_news_sql("p")} AS has_news
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
JOIN interactions t ON t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
JOIN tenants tn ON tn.tenant_id = t.tenant_id
JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id
LEFT JOIN turns p ON p.tenant_id = t.tenant_id AND p.interaction_id = t.interaction_id
    AND p.kind = 'live' AND p.state = 'planned'
LEFT JOIN LATERAL (
    {agent_of_sql("t.tenant_id", "t.campaign_id", "l.is_test", "t.our_number")}
) agent ON true
LEFT JOIN LATERAL (
    SELECT m.seq, m.role, m.source, m.status, m.text FROM messages m
    WHERE m.tenant_id = t.tenant_id AND m.interaction_id = t.interaction_id AND m.seq IS NOT NULL
      AND m.status <> 'note'
    ORDER BY m.seq DESC LIMIT 1
) newest ON true
LEFT JOIN LATERAL (  -- since the lead last wrote
    SELECT max(s.step) FILTER (WHERE s.handed_over_at IS NOT NULL) AS steps_done,
           max(s.opened_at) FILTER (WHERE s.handed_over_at IS NOT NULL) AS last_step_at,
           max(s.through_seq) FILTER (
               WHERE s.trigger = 'silence' AND s.handed_over_at IS NULL AND s.state = 'cancelled') AS stopped_seq,
           count(*) FILTER (WHERE s.trigger = 'scheduled' AND s.handed_over_at IS NOT NULL) AS wakes_done,
           bool_or({TELLS_OF_FAILURE_SQL}) AS has_heard_of_failure
    FROM turns s
    WHERE {SINCE_LEAD_WROTE_SQL} AND s.trigger <> 'texts'
) past ON true
"""


async def get_facts(read: ReadTx, threads: Collection[ThreadKey]) -> list[ThreadFacts]:
    """The facts of each thread, once for each of its planned turns, or once without."""
    return await read.fetch(ThreadFacts, GET_FACTS_SQL, *as_columns(list(threads), 2), list(UNFINISHED_STATES))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlan:
    """A turn to plan. Where the thread has one of that trigger, this one replaces it."""

    tenant_id: str
    interaction_id: str
    turn_id: str = field(default_factory=partial(ids.make, "turn"))
    trigger: Trigger
    agent_id: str | None
    step: Annotated[int | None, "smallint"] = None
    through_seq: int | None = None
    """None: the thread's newest."""
    due_at: datetime | None = None
    """None: now."""


PLAN_TURNS_SQL = f"""
INSERT INTO turns AS u (tenant_id, turn_id, interaction_id, sms_agent_id, state, trigger, step, through_seq,
    due_at, window_due_at)
SELECT a.tenant_id, a.turn_id, a.interaction_id, a.agent_id, 'planned', a.trigger, a.step,
       coalesce(a.through_seq, t.last_seq), due.at, due.at
FROM {unnest_sql(NewPlan)}
JOIN interactions t ON t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
CROSS JOIN LATERAL (SELECT coalesce(a.due_at, clock_timestamp()) AS at) due
ON CONFLICT (tenant_id, interaction_id, trigger) WHERE kind = 'live' AND state = 'planned'
DO UPDATE SET due_at = excluded.due_at, window_due_at = excluded.window_due_at, step = excluded.step,
    through_seq = excluded.through_seq, opened_at = clock_timestamp(), sms_agent_id = excluded.sms_agent_id
RETURNING u.tenant_id, u.turn_id, u.interaction_id, u.trigger, u.due_at
"""


@dataclass(frozen=True, slots=True)
class PlannedTurn:
    tenant_id: str
    turn_id: str
    interaction_id: str
    trigger: Trigger
    due_at: datetime


async def plan(tx: Tx, plans: Sequence[NewPlan]) -> list[PlannedTurn]:
    return await tx.fetch(PlannedTurn, PLAN_TURNS_SQL, *columns_of(plans)) if plans else []


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """A planned turn that begins now."""

    tenant_id: str
    turn_id: str
    agent_id: str | None
    step: Annotated[int | None, "smallint"]


START_TURNS_SQL = f"""
UPDATE turns u SET state = 'delivering', sms_agent_id = a.agent_id, step = a.step, through_seq = NULL,
    opened_at = clock_timestamp(), due_at = clock_timestamp()
FROM {unnest_sql(StartedTurn)} WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id
"""


async def start(tx: Tx, turns: Sequence[StartedTurn]) -> None:
    """The turns are due to be handed over at once."""
    if turns:
        await tx.execute(START_TURNS_SQL, *columns_of(turns))


@dataclass(frozen=True, slots=True)
class MovedTurn:
    """A planned turn that is looked at later. `moment`: its new moment; None: as before."""

    tenant_id: str
    turn_id: str
    due_at: datetime
    moment: datetime | None
    step: Annotated[int | None, "smallint"]
    through_seq: int | None
    """None: as before."""


MOVE_TURNS_SQL = f"""
UPDATE turns u SET due_at = a.due_at, window_due_at = coalesce(a.moment, u.window_due_at), step = a.step,
    through_seq = coalesce(a.through_seq, u.through_seq)
FROM {unnest_sql(MovedTurn)} WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id AND u.state = 'planned'
"""


async def move(tx: Tx, turns: Sequence[MovedTurn]) -> None:
    if turns:
        await tx.execute(MOVE_TURNS_SQL, *columns_of(turns))


@dataclass(frozen=True, slots=True)
class VoidTurn:
    """A planned turn that never comes."""

    tenant_id: str
    turn_id: str
    reason: str


VOID_TURNS_SQL = f"""
UPDATE turns u SET state = 'cancelled', reason = a.reason, closed_at = clock_timestamp()
FROM {unnest_sql(VoidTurn)} WHERE u.tenant_id = a.tenant_id AND u.turn_id = a.turn_id AND u.state = 'planned'
"""


async def cancel(tx: Tx, turns: Sequence[VoidTurn]) -> None:
    if turns:
        await tx.execute(VOID_TURNS_SQL, *columns_of(turns))


@dataclass(frozen=True, slots=True)
class Look:
    """A tenant whose threads are looked through for silence; the last look saw those whose newest text came
    before `seen_until`."""

    tenant_id: str
    seen_until: datetime
    now: datetime


BEGIN_LOOKS_SQL = """
WITH gone AS (
    DELETE FROM follow_up_looks k
    WHERE NOT EXISTS (SELECT 1 FROM sms_agents g WHERE g.tenant_id = k.tenant_id
                        AND (g.follow_ups <> '[]' OR g.failed_delivery_turns))
), begun AS (
    INSERT INTO follow_up_looks (tenant_id)
    SELECT DISTINCT g.tenant_id FROM sms_agents g WHERE (g.follow_ups <> '[]' OR g.failed_delivery_turns)
      AND NOT EXISTS (SELECT 1 FROM follow_up_looks k WHERE k.tenant_id = g.tenant_id)
    ON CONFLICT DO NOTHING
)
SELECT tenant_id, seen_until, clock_timestamp() AS now FROM follow_up_looks
WHERE looked_at <= clock_timestamp() - $1::interval
ORDER BY looked_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""


async def begin_looks(tx: Tx, period: timedelta, limit: int) -> list[Look]:
    """Up to `limit` tenants that were not looked at for `period`; until the commit nobody else looks at
    them. A tenant is first looked at from the time when its first agent follows up: what was silent before
    stays so."""
    return await tx.fetch(Look, BEGIN_LOOKS_SQL, period, limit)


@dataclass(frozen=True, slots=True)
class SilentThread:
    """A thread whose newest text is ours. `at`: when that was sent."""

    tenant_id: str
    interaction_id: str
    at: datetime


FIND_SILENT_SQL = """
SELECT t.* FROM unnest($1::text[], $2::timestamptz[]) AS a(tenant_id, since)
CROSS JOIN LATERAL (
    SELECT t.tenant_id, t.interaction_id, t.last_message_at AS at FROM interactions t
    WHERE t.tenant_id = a.tenant_id AND t.last_message_at >= a.since
      AND t.last_direction = 'outbound' AND t.agent_mode
      AND NOT EXISTS (
          SELECT 1 FROM turns p WHERE p.tenant_id = t.tenant_id AND p.interaction_id = t.interaction_id
            AND p.kind = 'live' AND p.state = 'planned' AND p.trigger = 'silence'
            AND p.opened_at >= t.last_message_at)
    ORDER BY t.last_message_at, t.interaction_id LIMIT $3
) t
"""


async def find_silent(tx: Tx, looks: Sequence[Look], overlap: timedelta, limit: int) -> list[SilentThread]:
    """Up to `limit` threads of each tenant, the oldest first, which are not planned since their newest text.
    `overlap`: a text may be committed so long after its time."""
    since = [(look.tenant_id, look.seen_until - overlap) for look in looks]
    return await tx.fetch(SilentThread, FIND_SILENT_SQL, *as_columns(since, 2), limit)


FIND_FAILED_SQL = f"""
SELECT DISTINCT m.tenant_id, m.interaction_id FROM (
    SELECT DISTINCT tenant_id FROM sms_agents WHERE tenant_id = ANY ($1) AND failed_delivery_turns
) a
CROSS JOIN LATERAL (
    SELECT m.tenant_id, m.interaction_id FROM messages m
    JOIN interactions t ON t.tenant_id = m.tenant_id AND t.interaction_id = m.interaction_id
    WHERE m.tenant_id = a.tenant_id AND m.error_code IS NOT NULL AND m.created_at > now() - $2::interval
      AND m.status IN ('failed', 'undelivered') AND m.seq IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM messages n WHERE n.tenant_id = m.tenant_id
                        AND n.interaction_id = m.interaction_id AND n.seq > m.seq AND n.status <> 'note')
      AND NOT EXISTS (SELECT 1 FROM turns s WHERE {SINCE_LEAD_WROTE_SQL} AND {TELLS_OF_FAILURE_SQL})
    ORDER BY m.created_at DESC LIMIT $3
) m
"""


async def find_failed(tx: Tx, looks: Sequence[Look], within: timedelta, limit: int) -> list[ThreadKey]:
    """Up to `limit` threads of each tenant whose newest text is ours, was stored `within` this time and did not
    arrive. Left out: tenants none of whose agents wants to hear of it, and threads whose agent has heard of
    one since the lead last wrote."""
    rows = await tx.fetch_rows(FIND_FAILED_SQL, [look.tenant_id for look in looks], within, limit)
    return [(row["tenant_id"], row["interaction_id"]) for row in rows]


END_LOOKS_SQL = """
UPDATE follow_up_looks k SET seen_until = a.seen_until, looked_at = clock_timestamp()
FROM unnest($1::text[], $2::timestamptz[]) AS a(tenant_id, seen_until) WHERE k.tenant_id = a.tenant_id
"""


async def end_looks(tx: Tx, seen_until: Sequence[tuple[str, datetime]]) -> None:
    await tx.execute(END_LOOKS_SQL, *as_columns(seen_until, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningPlace:
    """Where an opening would happen."""

    tenant_id: str
    our_number: str
    lead_phone: str
    lead_id: str
    campaign_id: str | None


@dataclass(frozen=True, slots=True)
class OpeningFacts:
    """The thread between the two phones (None: there is none), and the agent that serves it."""

    status: str | None
    agent_mode: bool | None
    campaign_id: str | None
    """Of the thread; without one, as asked."""
    sms_agent_id: str | None


GET_OPENING_FACTS_SQL = f"""
SELECT t.status, t.agent_mode, place.campaign_id, agent.sms_agent_id
FROM {unnest_sql(OpeningPlace, with_numbers=True)}
JOIN leads l ON l.tenant_id = a.tenant_id AND l.lead_id = a.lead_id
LEFT JOIN interactions t ON t.tenant_id = a.tenant_id AND t.lead_phone = a.lead_phone
    AND t.our_number = a.our_number
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.interaction_id IS NULL THEN a.campaign_id ELSE t.campaign_id END AS campaign_id) place
LEFT JOIN LATERAL (
    {agent_of_sql("a.tenant_id", "place.campaign_id", "l.is_test", "a.our_number")}
) agent ON true
ORDER BY a.i
"""


async def get_opening_facts(read: ReadTx, places: Sequence[OpeningPlace]) -> list[OpeningFacts]:
    """The facts of each place, in order."""
    return await read.fetch(OpeningFacts, GET_OPENING_FACTS_SQL, *columns_of(places))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewThread(OpeningPlace):
    """A thread to open, or the one that is there."""

    thread_id: str


OPEN_THREADS_SQL = f"""
INSERT INTO interactions AS t (tenant_id, interaction_id, our_number, lead_phone, lead_id, campaign_id, agent_mode)
SELECT tenant_id, thread_id, our_number, lead_phone, lead_id, campaign_id, true FROM {unnest_sql(NewThread)}
ORDER BY tenant_id, our_number, lead_phone
ON CONFLICT (tenant_id, our_number, lead_phone) DO UPDATE SET updated_at = clock_timestamp()
RETURNING our_number, lead_phone, interaction_id
"""


async def open_threads(tx: Tx, new_threads: Sequence[NewThread]) -> dict[tuple[str, str], str]:
    """Opens or locks the threads in the common order (docs/laws.md, law 9), each once; returns their ids by
    our number and the lead's phone. A new one is in agent mode and has no texts yet."""
    rows = await tx.fetch_rows(OPEN_THREADS_SQL, *columns_of(new_threads))
    return {(row["our_number"], row["lead_phone"]): row["interaction_id"] for row in rows}


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """A planned turn as it is shown. `due_at`: its moment."""

    turn_id: str
    trigger: Trigger
    step: Annotated[int | None, "smallint"]
    due_at: datetime


LIST_OF_THREAD_SQL = f"""
SELECT u.turn_id, u.trigger, u.step, u.window_due_at AS due_at FROM turns u
JOIN interactions t ON t.tenant_id = u.tenant_id AND t.interaction_id = u.interaction_id
WHERE u.tenant_id = $1 AND u.interaction_id = $2 AND u.kind = 'live' AND u.state = 'planned' AND t.agent_mode
  AND t.status <> ALL ($3) AND NOT {_has_news_sql("u")}
ORDER BY u.window_due_at
"""


async def list_of_thread(read: ReadTx, tenant_id: str, interaction_id: str) -> list[ShownPlan]:
    """The thread's planned turns that are not void already, the next one first."""
    return await read.fetch(ShownPlan, LIST_OF_THREAD_SQL, tenant_id, interaction_id, list(FINISHED_STATUSES))

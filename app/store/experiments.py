"""A/B tests of agents: which are due to be looked at, and what came of the leads of each side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain import ids
from app.domain.experiments import Side, SideCount
from app.store import core
from app.store.engine import ReadTx, Tx
from app.store.schema import Experiment

LOOK_SECONDS, CLAIM_SECONDS = 5, 60
"""It is looked at again after so long; and if a look was not recorded."""
LOOK_PER_COUNT = 20
"""It is looked at so much later as the last count took: counting takes a twentieth of a connection."""


@dataclass(frozen=True, slots=True)
class DueExperiment:
    tenant_id: str
    experiment_id: str
    share: float
    created_at: datetime


CLAIM_DUE_SQL = f"""
UPDATE experiments x SET due_at = clock_timestamp() + interval '{CLAIM_SECONDS} s'
FROM (
    SELECT tenant_id, experiment_id FROM experiments
    WHERE kept_side IS NULL AND due_at <= clock_timestamp()
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
) due
WHERE x.tenant_id = due.tenant_id AND x.experiment_id = due.experiment_id
RETURNING x.tenant_id, x.experiment_id, x.share, x.created_at
"""


async def claim_due(tx: Tx) -> DueExperiment | None:
    """Takes the running experiment that has been due longest, for `CLAIM_SECONDS`."""
    return await tx.fetch_one(DueExperiment, CLAIM_DUE_SQL)


# A lead counts on the side of its first turn, also if a merge brought it a thread of the other side.
COUNT_SIDES_SQL = """
WITH begun AS (
    SELECT t.lead_id, u.interaction_id, min(u.turn_id) AS first_turn,
           (array_agg(u.side ORDER BY u.turn_id))[1] AS side, min(u.handed_over_at) AS begun_at,
           min(u.closed_at) FILTER (WHERE u.state = 'replied') AS answered_at
    FROM turns u
    JOIN interactions t ON t.tenant_id = u.tenant_id AND t.interaction_id = u.interaction_id
    JOIN leads l ON l.tenant_id = t.tenant_id AND l.lead_id = t.lead_id AND NOT l.is_test
    WHERE u.tenant_id = $1 AND u.experiment_id = $2 AND u.kind = 'live'
    GROUP BY t.lead_id, u.interaction_id
), opt_out_texts AS (
    SELECT e.message_id FROM consent_events e
    WHERE e.tenant_id = $1 AND e.event_id >= $3 AND e.event = 'opted_out' AND e.message_id IS NOT NULL
), threads AS (
    SELECT b.lead_id, b.first_turn, b.side,
           EXISTS (SELECT FROM messages m
                   WHERE m.tenant_id = $1 AND m.interaction_id = b.interaction_id AND m.role = 'user'
                     AND m.status = 'received' AND m.created_at > b.answered_at
                     AND m.message_id NOT IN (SELECT o.message_id FROM opt_out_texts o)) AS has_replied,
           EXISTS (SELECT FROM status_changes c
                   WHERE c.tenant_id = $1 AND c.interaction_id = b.interaction_id AND c.status = 'qualified'
                     AND c.at > b.begun_at) AS is_qualified,
           EXISTS (SELECT FROM status_changes c
                   WHERE c.tenant_id = $1 AND c.interaction_id = b.interaction_id AND c.status = 'dnc'
                     AND c.at > b.begun_at) AS has_opted_out
    FROM begun b
), seen AS (
    SELECT (array_agg(t.side ORDER BY t.first_turn))[1] AS side, bool_or(t.has_replied) AS has_replied,
           bool_or(t.is_qualified) AS is_qualified, bool_or(t.has_opted_out) AS has_opted_out
    FROM threads t GROUP BY t.lead_id
)
SELECT s.side, count(*)::int AS leads, count(*) FILTER (WHERE s.has_replied)::int AS replied,
       count(*) FILTER (WHERE s.is_qualified)::int AS qualified,
       count(*) FILTER (WHERE s.has_opted_out)::int AS opted_out
FROM seen s GROUP BY s.side
"""


async def count_sides(read: ReadTx, experiment: DueExperiment) -> dict[Side, SideCount]:
    """Counts the leads that got a turn, and what they did after it. Test leads do not count."""
    first_event = ids.first_since("evt", experiment.created_at)
    counts = await read.fetch(SideCount, COUNT_SIDES_SQL, experiment.tenant_id, experiment.experiment_id, first_event)
    return _fill_sides(counts)


def read_counts(experiment: Experiment) -> dict[Side, SideCount]:
    """What was counted at the last look."""
    return _fill_sides([SideCount(**count) for count in experiment.counts])


def _fill_sides(found_counts: Sequence[SideCount]) -> dict[Side, SideCount]:
    """By side; one without a lead has a count, too."""
    counts: dict[Side, SideCount] = {"a": SideCount("a"), "b": SideCount("b")}
    return counts | {count.side: count for count in found_counts}


RECORD_LOOK_SQL = f"""
UPDATE experiments SET counts = $3, kept_side = $4, reason = $5,
    stopped_at = CASE WHEN $4::text IS NULL THEN NULL ELSE clock_timestamp() END,
    due_at = clock_timestamp() + greatest(
        interval '{LOOK_SECONDS} s', (clock_timestamp() - transaction_timestamp()) * {LOOK_PER_COUNT})
WHERE tenant_id = $1 AND experiment_id = $2 AND kept_side IS NULL RETURNING true
"""
STOP_SQL = """
UPDATE experiments SET kept_side = $3, reason = CASE WHEN kept_side = $3 THEN reason ELSE $4 END,
    stopped_at = coalesce(stopped_at, clock_timestamp())
WHERE tenant_id = $1 AND experiment_id = $2 RETURNING *
"""


async def record_look(
    tx: Tx, experiment: DueExperiment, counts: list[dict[str, Any]], kept_side: Side | None, reason: str | None
) -> bool:
    """Keeps what was counted; with `kept_side` the experiment stops. False: it was stopped meanwhile."""
    key = experiment.tenant_id, experiment.experiment_id
    return bool(await tx.fetch_value(RECORD_LOOK_SQL, *key, counts, kept_side, reason))


async def stop(tx: Tx, tenant_id: str, experiment_id: str, kept_side: Side, reason: str) -> Experiment | None:
    """`reason` is why leads go to `kept_side`, unless they do already."""
    return await core.fetch_first(tx, Experiment, STOP_SQL, tenant_id, experiment_id, kept_side, reason)


GET_OF_AGENT_SQL = """
SELECT * FROM experiments WHERE tenant_id = $1 AND sms_agent_id = $2
ORDER BY kept_side IS DISTINCT FROM 'a' DESC, experiment_id DESC LIMIT 1
"""


async def get_of_agent(read: ReadTx, tenant_id: str, sms_agent_id: str) -> Experiment | None:
    """The agent's experiment that is in force: it runs, or sends all leads to side B. If there is none, the newest."""
    return await core.fetch_first(read, Experiment, GET_OF_AGENT_SQL, tenant_id, sms_agent_id)

"""Trials: a worker claims one, posts some of its turns, and judges what was answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.domain.turns import StoredReply, TurnState
from app.store.engine import ReadTx, Tx
from app.store.rows import columns_of, unnest_sql


@dataclass(frozen=True, slots=True)
class ClaimedTrial:
    """A trial that is this worker's for a while, with its agent's webhook."""

    tenant_id: str
    trial_id: str
    corpus_id: str
    sms_agent_id: str
    url: str
    secret: bytes
    of_shadow: bool
    checks: dict[str, Any]
    judge_url: str | None
    per_minute: int
    max_seconds: int


CLAIM_TRIAL_SQL = """
UPDATE trials t SET lease = $1, leased_until = clock_timestamp() + $2::interval
FROM (
    SELECT tenant_id, trial_id FROM trials
    WHERE state = 'running' AND leased_until < clock_timestamp()
    ORDER BY leased_until LIMIT 1 FOR UPDATE SKIP LOCKED
) due, sms_agents g
WHERE t.tenant_id = due.tenant_id AND t.trial_id = due.trial_id
  AND g.tenant_id = t.tenant_id AND g.sms_agent_id = t.sms_agent_id
RETURNING t.tenant_id, t.trial_id, t.corpus_id, t.sms_agent_id, coalesce(t.webhook_url, g.webhook_url) AS url,
          g.secret, t.of_shadow, t.checks, t.judge_url, t.per_minute, t.max_seconds
"""


async def claim_next(tx: Tx, lease: str, lasts: timedelta) -> ClaimedTrial | None:
    """Takes the trial that has been due longest, for a while."""
    return await tx.fetch_one(ClaimedTrial, CLAIM_TRIAL_SQL, lease, lasts)


@dataclass(frozen=True, slots=True)
class NextTurn:
    """A turn of the corpus that was not begun yet."""

    corpus_turn_id: str
    interaction_id: str | None
    payload: bytes
    shadow_turn_id: str | None


NEXT_TURNS_SQL = """
SELECT c.corpus_turn_id, c.interaction_id, c.payload, s.turn_id AS shadow_turn_id
FROM corpus_turns c
LEFT JOIN LATERAL (
    SELECT s.turn_id FROM turns s
    WHERE $5 AND s.tenant_id = c.tenant_id AND s.of_turn = c.corpus_turn_id AND s.kind = 'shadow'
      AND s.sms_agent_id = $6
    ORDER BY s.turn_id DESC LIMIT 1
) s ON true
WHERE c.tenant_id = $1 AND c.corpus_id = $2 AND (NOT $5 OR s.turn_id IS NOT NULL) AND NOT EXISTS (
    SELECT FROM trial_results r
    WHERE r.tenant_id = c.tenant_id AND r.trial_id = $3 AND r.corpus_turn_id = c.corpus_turn_id)
ORDER BY c.corpus_turn_id LIMIT $4
"""


async def list_next_turns(read: ReadTx, trial: ClaimedTrial, limit: int) -> list[NextTurn]:
    """In the order of the corpus. Of a trial of shadows, only those that the agent's shadow got."""
    key = (trial.tenant_id, trial.corpus_id, trial.trial_id)
    return await read.fetch(NextTurn, NEXT_TURNS_SQL, *key, limit, trial.of_shadow, trial.sms_agent_id)


@dataclass(frozen=True, slots=True)
class BegunResult:
    corpus_turn_id: str
    turn_id: str


BEGIN_RESULTS_SQL = f"""
INSERT INTO trial_results (tenant_id, trial_id, corpus_id, corpus_turn_id, turn_id)
SELECT $1, $2, $3, corpus_turn_id, turn_id FROM {unnest_sql(BegunResult, first=4)}
ON CONFLICT DO NOTHING
"""


async def begin_results(tx: Tx, trial: ClaimedTrial, begun_results: Sequence[BegunResult]) -> None:
    if begun_results:
        key = (trial.tenant_id, trial.trial_id, trial.corpus_id)
        await tx.execute(BEGIN_RESULTS_SQL, *key, *columns_of(begun_results))


@dataclass(frozen=True, slots=True)
class OpenResult:
    """A result that is not settled, with its turn as it is now; a turn that is gone has no state."""

    corpus_turn_id: str
    wait_time: timedelta
    """Since the candidate took the turn, or before that, since its batch began."""
    state: TurnState | None
    reason: str | None
    reply: StoredReply | None
    outcome: dict[str, Any] | None
    refusals: list[dict[str, Any]]
    is_closed: bool
    closed_after: timedelta | None
    """Since the turn was handed over."""
    http_status: int | None
    duration_ms: int | None
    payload: bytes
    recorded_answer: dict[str, Any] | None
    checks: dict[str, Any]


LIST_OPEN_SQL = """
SELECT r.corpus_turn_id, clock_timestamp() - coalesce(u.accepted_at, r.begun_at) AS wait_time,
       u.state, u.reason, u.reply, u.outcome, coalesce(u.refused, '[]') AS refusals,
       u.turn_id IS NULL OR u.closed_at IS NOT NULL AS is_closed,
       u.closed_at - u.handed_over_at AS closed_after, a.http_status::int AS http_status, a.duration_ms,
       c.payload, c.recorded_answer, c.checks
FROM trial_results r
JOIN corpus_turns c ON c.tenant_id = r.tenant_id AND c.corpus_id = r.corpus_id
    AND c.corpus_turn_id = r.corpus_turn_id
LEFT JOIN turns u ON u.tenant_id = r.tenant_id AND u.turn_id = r.turn_id
LEFT JOIN turn_attempts a ON a.tenant_id = r.tenant_id AND a.turn_id = r.turn_id AND a.attempt = 1
WHERE r.tenant_id = $1 AND r.trial_id = $2 AND r.settled_at IS NULL
ORDER BY r.corpus_turn_id LIMIT $3
"""


async def list_open(read: ReadTx, trial: ClaimedTrial, limit: int) -> list[OpenResult]:
    return await read.fetch(OpenResult, LIST_OPEN_SQL, trial.tenant_id, trial.trial_id, limit)


@dataclass(frozen=True, slots=True)
class SettledResult:
    """`answer` and `checks` are JSON."""

    corpus_turn_id: str
    kind: str
    answer: str
    http_status: int | None
    duration_ms: int | None
    segments: int
    is_same: bool | None
    has_passed: bool
    checks: str


SETTLE_RESULTS_SQL = f"""
UPDATE trial_results r SET settled_at = clock_timestamp(), kind = a.kind, answer = a.answer::jsonb,
    http_status = a.http_status, duration_ms = a.duration_ms, segments = a.segments, is_same = a.is_same,
    has_passed = a.has_passed, checks = a.checks::jsonb
FROM {unnest_sql(SettledResult, first=3)}
WHERE r.tenant_id = $1 AND r.trial_id = $2 AND r.corpus_turn_id = a.corpus_turn_id AND r.settled_at IS NULL
"""


async def settle_results(tx: Tx, trial: ClaimedTrial, settled_results: Sequence[SettledResult]) -> None:
    if settled_results:
        await tx.execute(SETTLE_RESULTS_SQL, trial.tenant_id, trial.trial_id, *columns_of(settled_results))


RENEW_LEASE_SQL = """
UPDATE trials SET leased_until = clock_timestamp() + $4::interval
WHERE tenant_id = $1 AND trial_id = $2 AND lease = $3 AND state = 'running' RETURNING true
"""


async def renew_lease(tx: Tx, trial: ClaimedTrial, lease: str, lasts: timedelta) -> bool:
    """Whether the trial still runs and is this worker's. Until the end of the transaction nobody stops it."""
    return bool(await tx.fetch_value(RENEW_LEASE_SQL, trial.tenant_id, trial.trial_id, lease, lasts))


RELEASE_TRIAL_SQL = """
UPDATE trials SET lease = NULL, leased_until = clock_timestamp() + $4::interval,
    state = CASE WHEN $5 AND state = 'running' THEN 'done' ELSE state END,
    finished_at = CASE WHEN $5 THEN coalesce(finished_at, clock_timestamp()) ELSE finished_at END
WHERE tenant_id = $1 AND trial_id = $2 AND lease = $3
"""


async def release(tx: Tx, trial: ClaimedTrial, lease: str, rests: timedelta, is_done: bool) -> None:
    """Gives the trial back: it is due again after its rest, or done."""
    await tx.execute(RELEASE_TRIAL_SQL, trial.tenant_id, trial.trial_id, lease, rests, is_done)


FAIL_TRIAL_SQL = """
UPDATE trials SET lease = NULL, finished_at = coalesce(finished_at, clock_timestamp()),
    fault = CASE WHEN state = 'running' THEN $4 ELSE fault END,
    state = CASE WHEN state = 'running' THEN 'failed' ELSE state END
WHERE tenant_id = $1 AND trial_id = $2 AND lease = $3 RETURNING true
"""


async def fail(tx: Tx, trial: ClaimedTrial, lease: str, fault: str) -> bool:
    """Ends a trial that cannot go on. Whether it was still this worker's."""
    return bool(await tx.fetch_value(FAIL_TRIAL_SQL, trial.tenant_id, trial.trial_id, lease, fault))


STOP_TRIAL_SQL = """
UPDATE trials SET state = CASE WHEN state = 'running' THEN 'stopped' ELSE state END,
    finished_at = coalesce(finished_at, clock_timestamp())
WHERE tenant_id = $1 AND trial_id = $2 RETURNING true
"""


async def stop(tx: Tx, tenant_id: str, trial_id: str) -> bool:
    """Ends a running trial. Whether there is such a trial."""
    return bool(await tx.fetch_value(STOP_TRIAL_SQL, tenant_id, trial_id))


FAIL_OPEN_RESULTS_SQL = """
UPDATE trial_results SET settled_at = clock_timestamp(), kind = 'failed', segments = 0, has_passed = false,
    answer = jsonb_build_object('kind', 'failed', 'texts', '[]'::jsonb, 'outcome', NULL, 'reason', $3::text),
    checks = jsonb_build_array(jsonb_build_object('check', 'answer', 'passed', false, 'detail', $3::text))
WHERE tenant_id = $1 AND trial_id = $2 AND settled_at IS NULL
"""


async def fail_open_results(tx: Tx, tenant_id: str, trial_id: str, reason: str) -> None:
    """Of a trial that has ended: nothing of it stays open. A statement after the one that ended it, which
    waited for whoever was beginning results."""
    await tx.execute(FAIL_OPEN_RESULTS_SQL, tenant_id, trial_id, reason)

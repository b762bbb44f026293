"""Trials: start and stop; judge what a candidate answered. Nothing of an answer is ever sent."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from pydantic_core import to_json

from app.commands.corpora import build_answer, read_answer
from app.commands.directory import Fields, add_row, lock_row, require_found, require_known
from app.domain.callers import Caller
from app.domain.checks import AgentAnswer, CheckResult, parse_checks, run_checks
from app.domain.windows import HAND_OVER_DEADLINE
from app.store import trials
from app.store.engine import Tx
from app.store.schema import Corpus, Trial
from app.store.trials import ClaimedTrial, OpenResult, SettledResult

POST_TIME = timedelta(minutes=3)
"""A batch is posted within this time, unless its worker died."""
GONE_REASON = "the turn is gone"
STOPPED_REASON = "the trial was stopped"


async def start(tx: Tx, caller: Caller, fields: Fields) -> Trial:
    """Makes the trial due. Raises `NotFound` for an unknown corpus, `Invalid` for an unknown agent."""
    await lock_row(tx, caller, Corpus, fields["corpus_id"])
    await require_known(tx, caller.tenant_id, Trial, {"sms_agent_id": fields["sms_agent_id"]})
    return await add_row(tx, caller, Trial, "trial", {**fields, "actor": caller.actor})


async def stop(tx: Tx, caller: Caller, trial_id: str) -> None:
    """Ends a running trial; what is still open has failed. Raises `NotFound`."""
    require_found(await trials.stop(tx, caller.tenant_id, trial_id) or None)
    await trials.fail_open_results(tx, caller.tenant_id, trial_id, STOPPED_REASON)


async def fail(tx: Tx, trial: ClaimedTrial, lease: str, fault: str) -> None:
    """Ends a trial that cannot go on; what is still open has failed."""
    if await trials.fail(tx, trial, lease, fault):
        await trials.fail_open_results(tx, trial.tenant_id, trial.trial_id, fault)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What came of a turn, and what was recorded."""

    result: OpenResult
    answer: AgentAnswer
    recorded_answer: AgentAnswer | None


def find_candidate(result: OpenResult, max_time: timedelta) -> Candidate | None:
    """The candidate's answer; None while it may still come."""
    time_left = max_time if result.state == "awaiting_reply" else max_time + POST_TIME
    if not result.is_closed and not result.refusals and result.wait_time <= time_left:
        return None
    return Candidate(result, _build_candidate_answer(result, max_time), read_answer(result.recorded_answer))


def _build_candidate_answer(result: OpenResult, max_time: timedelta) -> AgentAnswer:
    if result.state is None:
        return AgentAnswer("failed", reason=GONE_REASON)
    if not result.is_closed and result.refusals:
        return AgentAnswer(
            "failed", reason=f"refused: {result.refusals[0].get('detail') or result.refusals[0]['code']}"
        )
    answer = build_answer(result.state, result.reason, result.reply, result.outcome)
    took = _get_time_taken(result)
    has_no_answer = result.state == "failed" and result.http_status is None and took >= HAND_OVER_DEADLINE
    if not result.is_closed or took > max_time or has_no_answer:
        return AgentAnswer("too_slow", answer.texts, reason=f"no answer in {max_time.total_seconds():g} s")
    return answer


def _get_time_taken(result: OpenResult) -> timedelta:
    """Of the POST, or until the answer came through the API: our own work does not count."""
    post_time = timedelta(milliseconds=result.duration_ms or 0)
    given_by = {(answer or {}).get("by") for answer in (result.reply, result.outcome)}
    return max(post_time, result.closed_after or post_time) if "api" in given_by else post_time


def judge(candidate: Candidate, trial_checks: dict[str, Any]) -> list[CheckResult]:
    """The checks of the trial, and then those of the turn. An answer that cannot be used fails once."""
    results = run_checks(parse_checks(trial_checks), candidate.answer, candidate.recorded_answer)
    own_checks = parse_checks(candidate.result.checks)
    return list(dict.fromkeys([*results, *run_checks(own_checks, candidate.answer, candidate.recorded_answer)]))


def build_settled(candidate: Candidate, results: list[CheckResult]) -> SettledResult:
    """The result as it is stored."""
    answer = candidate.answer
    return SettledResult(
        corpus_turn_id=candidate.result.corpus_turn_id,
        kind=answer.kind,
        answer=to_json(asdict(answer)).decode(),
        http_status=candidate.result.http_status,
        duration_ms=candidate.result.duration_ms,
        segments=answer.segment_count,
        is_same=answer.says_same(candidate.recorded_answer) if candidate.recorded_answer else None,
        has_passed=all(result.passed for result in results),
        checks=to_json([asdict(result) for result in results]).decode(),
    )

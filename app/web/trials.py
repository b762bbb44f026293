"""Trials: a corpus against a candidate. Each answer is caught, never sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from app.commands import trials as commands
from app.commands.corpora import read_answer
from app.commands.directory import require_found, require_url
from app.domain.checks import compare_words
from app.domain.problems import Invalid
from app.store import directory, trial_results
from app.store.engine import ReadTx
from app.store.schema import Trial
from app.store.trial_results import ResultRow, TrialTally
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory.corpora import AgentAnswerShape, ChecksBody, build_checks
from app.web.envelope import Answer, AnyId, Body, Out
from app.web.idempotency import Idempotent
from app.web.paging import PageParams, page_of

router = APIRouter(prefix="/api/v1/trials", tags=["Trials"])
MAX_PER_MINUTE = 600
Url = Annotated[str, Field(min_length=1, max_length=2048)]


class NewTrial(Body):
    corpus_id: AnyId
    sms_agent_id: AnyId
    """Its secret signs the requests."""
    webhook_url: Url | None = None
    """The candidate. Null: the agent's own webhook."""
    of_shadow: bool = False
    """Nothing is posted: what the agent's shadow answered to the turns is judged. Turns without a shadow
    are left out."""
    checks: ChecksBody | None = None
    """For every turn; those of a turn count too."""
    judge_url: Url | None = None
    """Gets each answer beside what was recorded, and answers `{"passed": true}` or
    `{"passed": false, "reason": "…"}`."""
    per_minute: Annotated[int, Field(ge=1, le=MAX_PER_MINUTE)] = 120
    """How many turns are posted in a minute."""
    max_seconds: Annotated[int, Field(ge=1, le=600)] = 20
    """A later answer is too slow."""


class TrialCounts(Out):
    turns: int
    """In the corpus."""
    settled: int
    passed: int
    same: int
    """They say the same as was recorded."""
    answered: int
    declined: int
    handed_off: int
    failed: int
    too_slow: int


class TrialShape(Out):
    trial_id: str
    corpus_id: str
    sms_agent_id: str
    webhook_url: str | None
    of_shadow: bool
    checks: dict[str, Any]
    judge_url: str | None
    per_minute: int
    max_seconds: int
    state: Literal["running", "done", "stopped", "failed"]
    fault: str | None
    """Why it failed."""
    tally: TrialCounts
    created_at: datetime
    finished_at: datetime | None


class Trials(Out):
    trials: list[TrialShape]
    next_cursor: str | None
    has_more: bool


def _show_trial(trial: Trial, tally: TrialTally) -> TrialShape:
    counts = TrialCounts(
        turns=tally.turn_count,
        settled=tally.settled_count,
        passed=tally.passed_count,
        same=tally.same_count,
        answered=tally.answered_count,
        declined=tally.declined_count,
        handed_off=tally.handed_off_count,
        failed=tally.failed_count,
        too_slow=tally.too_slow_count,
    )
    return TrialShape.of(trial, tally=counts)


async def show_trials(read: ReadTx, tenant_id: str, rows: Sequence[Trial]) -> list[TrialShape]:
    """The trials with what came of them."""
    tallies = await trial_results.tally(read, tenant_id, [row.trial_id for row in rows])
    return [_show_trial(row, tallies[row.trial_id]) for row in rows]


@router.post("", status_code=201, summary="Run a corpus against a candidate")
async def start_trial(body: NewTrial, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent) -> Answer[TrialShape]:
    """Every turn of the corpus is posted once, signed, with the header `webhook-kind: trial` and a turn id of
    its own. The answer is judged and kept; nothing is sent. A reply through the API counts too."""
    trial = await commands.start(tx, caller, build_fields(body))
    [shape] = await show_trials(tx, caller.tenant_id, [trial])
    return await idempotency.store_answer(Answer(data=shape))


def build_fields(body: NewTrial) -> dict[str, Any]:
    """The trial's columns. Raises `Invalid`."""
    for url, field in ((body.webhook_url, "webhookUrl"), (body.judge_url, "judgeUrl")):
        if url:
            require_url(url, field)
    if body.of_shadow and body.webhook_url:
        raise Invalid(details=["webhookUrl: nothing is posted with ofShadow"])
    return {**body.model_dump(by_alias=False), "checks": build_checks(body.checks)}


@router.get("", summary="Trials, newest first")
async def list_trials(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Trials]:
    rows = await directory.list_page(read, Trial, caller.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    shapes = await show_trials(read, caller.tenant_id, rows)
    return page_of(Trials, page_query, shapes, key=lambda shape: [shape.trial_id], show=lambda shape: shape)


@router.get("/{trial_id}", summary="One trial, how far it is, and what came of it")
async def get_trial(trial_id: str, caller: ReadCaller, read: TenantRead) -> Answer[TrialShape]:
    trial = require_found(await directory.get(read, Trial, caller.tenant_id, trial_id))
    [shape] = await show_trials(read, caller.tenant_id, [trial])
    return Answer(data=shape)


@router.post("/{trial_id}/stop", summary="Stop a trial; what is under way is still settled")
async def stop_trial(trial_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[TrialShape]:
    await commands.stop(tx, caller, trial_id)
    trial = require_found(await directory.get(tx, Trial, caller.tenant_id, trial_id))
    [shape] = await show_trials(tx, caller.tenant_id, [trial])
    return Answer(data=shape)


class PieceShape(Out):
    kind: Literal["same", "removed", "added"]
    text: str


class CheckShape(Out):
    check: str
    passed: bool
    detail: str | None


class TrialResultShape(Out):
    corpus_turn_id: str
    interaction_id: str | None
    name: str | None
    turn_id: str
    """The dry turn that was posted, or the shadow's."""
    recorded: AgentAnswerShape | None
    candidate: AgentAnswerShape
    diff: list[PieceShape]
    """From the recorded texts to the candidate's, in words. Empty: they are the same, or none was recorded."""
    recorded_segments: int | None
    segments: int
    http_status: int | None
    duration_ms: int | None
    same: bool | None
    passed: bool
    checks: list[CheckShape]


class TrialResults(Out):
    results: list[TrialResultShape]
    next_cursor: str | None
    has_more: bool


def show_result(row: ResultRow) -> TrialResultShape:
    recorded_answer, candidate = read_answer(row.recorded_answer), read_answer(row.answer)
    assert candidate
    is_changed = recorded_answer is not None and recorded_answer.text != candidate.text
    pieces = compare_words(recorded_answer.text, candidate.text) if recorded_answer and is_changed else []
    return TrialResultShape(
        corpus_turn_id=row.corpus_turn_id,
        interaction_id=row.interaction_id,
        name=row.name,
        turn_id=row.turn_id,
        recorded=row.recorded_answer and AgentAnswerShape.model_validate(row.recorded_answer),
        candidate=AgentAnswerShape.model_validate(row.answer),
        diff=[PieceShape.model_validate(piece) for piece in pieces],
        recorded_segments=recorded_answer and recorded_answer.segment_count,
        segments=row.segments,
        http_status=row.http_status,
        duration_ms=row.duration_ms,
        same=row.is_same,
        passed=row.has_passed,
        checks=[CheckShape.model_validate(check) for check in row.checks],
    )


@router.get("/{trial_id}/results", summary="What the candidate answered, beside what was recorded")
async def list_trial_results(
    trial_id: str,
    caller: ReadCaller,
    read: TenantRead,
    page_query: PageParams,
    passed: Annotated[bool | None, Query()] = None,
) -> Answer[TrialResults]:
    """In the order of the corpus."""
    require_found(await directory.get(read, Trial, caller.tenant_id, trial_id))
    rows = await trial_results.list_results(
        read, caller.tenant_id, trial_id, passed, page_query.get_id_below(), page_query.fetch_limit
    )
    return page_of(TrialResults, page_query, rows, key=lambda row: [row.corpus_turn_id], show=show_result)

"""Turns that people and backends begin or call off: openings, enrolments, planned turns."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from app.commands import openings, planned_turns
from app.commands.directory import require_found
from app.commands.openings import Opening
from app.domain.problems import Invalid, Problem
from app.store import directory, lead_lists
from app.store.lead_lists import LeadFilter
from app.store.planned_turns import PlannedTurn
from app.store.schema import Campaign
from app.web.dependencies import ApiCaller, TenantTx
from app.web.envelope import Answer, AnyId, Body, Error, Moment, Out
from app.web.idempotency import Idempotent
from app.web.paging import MAX_CURSOR_LENGTH, get_page_query
from app.web.turns import TurnShape, get_shape

router = APIRouter(prefix="/api/v1", tags=["Turns"])
MAX_ENROLLED = 1_000
MAX_PER_MINUTE = 6_000


class PlannedShape(Out):
    turn_id: str
    interaction_id: str
    trigger: str
    due_at: datetime


class OpeningBody(Body):
    at: Moment | None = None
    """When the agent gets the turn, up to 35 days ahead. Null: now."""
    campaign_id: AnyId | None = None
    """Null: the lead's own."""
    from_: Annotated[str | None, Field(alias="from", min_length=1, max_length=64)] = None
    """Which of your numbers. Null: as for a text to the lead."""
    interaction_id: AnyId | None = None
    """The thread to begin in. Null: as for a text to the lead."""
    agent_mode: bool | None = None
    """True: switch agent mode on where it is off. A new thread has it on."""


@router.post("/leads/{lead_id}/turns", status_code=202, summary="Let the agent write first")
async def open_turn(
    lead_id: str, body: OpeningBody, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[PlannedShape]:
    """Plans a turn with the trigger `opening`: the agent gets it without a text of the lead, and answers as
    always. Its answer is a first contact and passes every gate. A text of the lead or of a person before
    that calls it off. A thread has one planned opening: the newest replaces an earlier one."""
    opening = Opening(
        lead_id=lead_id,
        at=body.at,
        campaign_id=body.campaign_id,
        sender=body.from_,
        interaction_id=body.interaction_id,
        agent_mode=body.agent_mode,
    )
    [result] = await openings.plan_openings(tx, caller, [opening])
    if isinstance(result, Problem):
        raise result
    return await idempotency.store_answer(Answer(data=PlannedShape.model_validate(result)), 202)


class LeadChoice(Body):
    """Leads of the campaign that have all of this."""

    status: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=100)] | None = None
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=100)] | None = None


class Enrolment(Body):
    lead_ids: Annotated[list[AnyId], Field(min_length=1, max_length=MAX_ENROLLED)] | None = None
    filter: LeadChoice | None = None
    """Instead of `leadIds`: at most 1,000 leads of the campaign, newest ids first; `nextCursor` tells where the
    next request goes on."""
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_LENGTH)] | None = None
    at: Moment | None = None
    """When the first opening comes. Null: now."""
    per_minute: Annotated[int, Field(ge=1, le=MAX_PER_MINUTE)] | None = None
    """The pace. Null: 60."""
    agent_mode: bool | None = None
    """True: switch agent mode on where it is off."""


class EnrolledLead(Out):
    lead_id: str
    turn_id: str | None = None
    interaction_id: str | None = None
    due_at: datetime | None = None
    error: Error | None = None


class Enrolled(Out):
    enrolled: int
    refused: int
    results: list[EnrolledLead]
    next_cursor: str | None = None
    """With `filter`: pass it as `cursor` to enrol the next leads. Without it there are no more."""


@router.post(
    "/campaigns/{campaign_id}/enrol",
    status_code=202,
    summary="Let the agent write first to many leads",
    response_model_exclude_none=True,
)
async def enrol_leads(
    campaign_id: str, body: Enrolment, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[Enrolled]:
    """Plans an opening for each lead, at the given pace. A refused lead does not concern the others."""
    require_found(await directory.get(tx, Campaign, caller.tenant_id, campaign_id))
    lead_ids, next_cursor = await _find_leads(tx, caller.tenant_id, campaign_id, body)
    results = await openings.plan_openings(
        tx,
        caller,
        [
            Opening(lead_id=lead_id, at=body.at, campaign_id=campaign_id, agent_mode=body.agent_mode)
            for lead_id in lead_ids
        ],
        timedelta(minutes=1) / (body.per_minute or 60),
    )
    answer = Answer[Enrolled](data=_build_enrolled(lead_ids, results, next_cursor))
    return await idempotency.store_answer(answer, 202, exclude_none=True)


async def _find_leads(
    tx: TenantTx, tenant_id: str, campaign_id: str, body: Enrolment
) -> tuple[Sequence[str], str | None]:
    match body.lead_ids, body.filter:
        case list(lead_ids), None:
            if body.cursor:
                raise Invalid(details=["cursor: belongs to filter"])
            return list(dict.fromkeys(lead_ids)), None
        case None, LeadChoice(status=statuses, tags=tags):
            filters = LeadFilter(campaign_ids=[campaign_id], statuses=statuses, tags=tags)
            page_query = await get_page_query(MAX_ENROLLED, body.cursor)
            below, limit = page_query.get_id_below(), page_query.fetch_limit
            rows = await lead_lists.list_page(tx, tenant_id, filters, below, limit)
            leads, next_cursor = page_query.cut_page(rows, key=lambda lead: [lead.lead_id])
            return [lead.lead_id for lead in leads], next_cursor
        case _:
            raise Invalid(details=["leadIds: give either them or filter"])


def _build_enrolled(
    lead_ids: Sequence[str], results: Sequence[PlannedTurn | Problem], next_cursor: str | None
) -> Enrolled:
    shown_results = [
        EnrolledLead(lead_id=lead_id, error=Error.of(result))
        if isinstance(result, Problem)
        else EnrolledLead(
            lead_id=lead_id, turn_id=result.turn_id, interaction_id=result.interaction_id, due_at=result.due_at
        )
        for lead_id, result in zip(lead_ids, results, strict=True)
    ]
    refused_count = sum(isinstance(result, Problem) for result in results)
    return Enrolled(
        enrolled=len(results) - refused_count, refused=refused_count, results=shown_results, next_cursor=next_cursor
    )


@router.post("/turns/{turn_id}/skip", summary="Call a planned turn off")
async def skip_turn(turn_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[TurnShape]:
    """After silence, the agent's next step may still come. Any other turn is `cancelled`."""
    await planned_turns.skip_turn(tx, caller, turn_id)
    return Answer(data=await get_shape(tx, caller.tenant_id, turn_id))


class Postponement(Body):
    until: Moment
    """Up to 35 days ahead."""


@router.post("/turns/{turn_id}/postpone", summary="Let a planned turn come later")
async def postpone_turn(turn_id: str, body: Postponement, caller: ApiCaller, tx: TenantTx) -> Answer[TurnShape]:
    """What would call it off still does."""
    await planned_turns.postpone_turn(tx, caller, turn_id, body.until)
    return Answer(data=await get_shape(tx, caller.tenant_id, turn_id))

"""Turns: what was handed over to an agent, and what came of it. See docs/contract.md."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query
from pydantic import Field

from app.commands import held_replies
from app.commands.directory import require_found
from app.domain.experiments import Side
from app.domain.problems import NotFound
from app.domain.turns import MAX_TEXTS_PER_REPLY, TURN_STATES, TurnKind
from app.store import turns
from app.store.engine import ReadTx
from app.store.turns import TurnAttempt, TurnFilter, TurnRecord
from app.web.dependencies import ApiCaller, AppResources, TenantRead, TurnsCaller
from app.web.envelope import Answer, Body, Out, SendableText
from app.web.filters import CommonParams, LeadId, Value, Values, require_known, split_values
from app.web.interaction_shapes import FollowUpShape
from app.web.interactions import find_interaction
from app.web.paging import PageParams, page_of

router = APIRouter(prefix="/api/v1", tags=["Turns"])


class Text(Out):
    message_id: str
    seq: int


class Reply(Out):
    texts: list[str]
    message_ids: list[str]
    by: str


class HandOver(Out):
    at: datetime
    http_status: int | None
    duration_ms: int | None
    outcome: str | None
    answer: str | None
    request_body: str


class OutcomeAnswer(Out):
    key: str
    answer: str
    message_id: str | None = None


class OutcomeShape(Out):
    status: str | None = None
    summary: str | None = None
    answers: Annotated[list[OutcomeAnswer], Field(default_factory=list)]
    lead_status: str | None = None
    note: str | None = None
    by: str
    at: datetime


class TurnSide(Out):
    experiment_id: str
    side: Side


class ListedTurn(Out):
    turn_id: str
    interaction_id: str | None
    agent_id: str | None
    kind: str
    trigger: str
    """`texts`: the lead wrote. Else nobody did: `opening`, `silence`, `scheduled` or `failed_delivery`."""
    follow_up: FollowUpShape | None
    """With the trigger `silence`: which of the agent's follow-ups."""
    state: str
    reason: str | None
    messages: list[Text]
    opened_at: datetime
    due_at: datetime
    handed_over_at: datetime | None
    closed_at: datetime | None
    moved_to: str | None
    of_turn: str | None
    held: dict[str, Any] | None
    protected: bool
    reply: Reply | None
    refused: list[dict[str, Any]]
    outcome: OutcomeShape | None
    """What the agent says the conversation came to."""
    experiment: TurnSide | None
    """The A/B test under which it was last handed over, and the webhook that got it: `a` or `b`."""


class TurnShape(ListedTurn):
    attempts: list[HandOver]


class ListedTurns(Out):
    turns: list[ListedTurn]
    next_cursor: str | None
    has_more: bool


class TurnPage(Out):
    turns: list[TurnShape]
    next_cursor: str | None
    has_more: bool


def build_shape(turn: TurnRecord, attempts: Sequence[TurnAttempt]) -> TurnShape:
    return TurnShape(**_list_fields(turn), attempts=[HandOver.model_validate(attempt) for attempt in attempts])


def _list_fields(turn: TurnRecord) -> dict[str, Any]:
    return dict(
        turn_id=turn.turn_id,
        interaction_id=turn.interaction_id,
        agent_id=turn.sms_agent_id,
        kind=turn.kind,
        trigger=turn.trigger,
        follow_up=FollowUpShape.of_step(turn.step),
        state=turn.state,
        reason=turn.reason,
        messages=[Text.model_validate(text) for text in turn.texts],
        opened_at=turn.opened_at,
        due_at=turn.window_due_at,
        handed_over_at=turn.handed_over_at,
        closed_at=turn.closed_at,
        moved_to=turn.moved_to,
        of_turn=turn.of_turn,
        held=turn.held,
        protected=turn.protected,
        reply=turn.reply and Reply.model_validate(turn.reply),
        refused=turn.refused,
        outcome=turn.outcome and OutcomeShape.model_validate(turn.outcome),
        experiment=turn.experiment_id and TurnSide(experiment_id=turn.experiment_id, side=turn.side or "a"),
    )


@router.get("/turns", summary="Turns of all threads, newest first")
async def list_turns(
    caller: TurnsCaller,
    read: TenantRead,
    page_query: PageParams,
    common: CommonParams,
    state: Values = None,
    kind: Values = None,
    agent_id: Annotated[Value | None, Query(alias="agentId", max_length=64)] = None,
    lead_id: LeadId = None,
) -> Answer[ListedTurns]:
    """Lists may be repeated or comma-separated. Dates are half-open and compare `openedAt`. Without the
    attempts, which `GET /turns/{turnId}` shows. An agent's key sees the turns of its agent."""
    filters = TurnFilter(
        **common,
        statuses=require_known("state", split_values(state), TURN_STATES),
        kinds=require_known("kind", split_values(kind), get_args(TurnKind)),
        agent_ids={an_id for an_id in (caller.agent_id, agent_id) if an_id},
        lead_id=lead_id,
    )
    records = await turns.list_filtered(
        read, caller.tenant_id, filters, page_query.get_id_below(), page_query.fetch_limit
    )
    return page_of(
        ListedTurns,
        page_query,
        records,
        key=lambda turn: [turn.turn_id],
        show=lambda turn: ListedTurn(**_list_fields(turn)),
    )


@router.get("/interactions/{interaction_id}/turns", summary="The turns of a thread")
async def list_thread_turns(
    interaction_id: str, caller: TurnsCaller, read: TenantRead, page_query: PageParams
) -> Answer[TurnPage]:
    """Newest first."""
    await find_interaction(read, caller, interaction_id)
    records, attempts = await turns.list_of_thread(
        read,
        caller.tenant_id,
        interaction_id,
        caller.agent_id,
        page_query.get_key(datetime, str),
        page_query.fetch_limit,
    )
    page, cursor = page_query.cut_page(records, lambda turn: (turn.opened_at, turn.turn_id))
    shapes = [build_shape(turn, attempts.get(turn.turn_id, [])) for turn in page]
    return Answer(data=TurnPage(turns=shapes, next_cursor=cursor, has_more=cursor is not None))


@router.get("/turns/{turn_id}", summary="One turn, its attempts and their bytes")
async def get_turn(turn_id: str, caller: TurnsCaller, read: TenantRead) -> Answer[TurnShape]:
    shape = await get_shape(read, caller.tenant_id, turn_id)
    if caller.agent_id not in (None, shape.agent_id):
        raise NotFound
    return Answer(data=shape)


async def get_shape(read: ReadTx, tenant_id: str, turn_id: str) -> TurnShape:
    """Raises `NotFound`."""
    turn = require_found(await turns.find_record(read, tenant_id, turn_id))
    return build_shape(turn, await turns.list_attempts(read, tenant_id, turn_id))


class HeldBody(Body):
    action: Literal["send", "discard"]
    texts: Annotated[list[SendableText], Field(min_length=1, max_length=MAX_TEXTS_PER_REPLY)] | None = None
    """With `send`: these texts instead of the held ones."""


class HeldDone(Out):
    turn_id: str
    action: str
    message_id: str | None


@router.post("/turns/{turn_id}/held", summary="Send, edit or discard a stale reply that was held")
async def settle_held_reply(
    turn_id: str, body: HeldBody, caller: ApiCaller, resources: AppResources
) -> Answer[HeldDone]:
    """A sent reply keeps the agent as its source, names the person, and counts as a text by hand."""
    async with resources.database.system_tx() as tx:
        if body.action == "discard":
            await held_replies.discard_held_reply(tx, caller, turn_id)
            message_id = None
        else:
            answer = await held_replies.release_held_reply(tx, caller, turn_id, body.texts)
            message_id = answer["messageId"]
    return Answer(data=HeldDone(turn_id=turn_id, action=body.action, message_id=message_id))

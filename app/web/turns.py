"""Turns: what was handed to an agent, and what came of it (contract 6)."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from app.agents import webhook
from app.commands import reply, twins
from app.commands.directory import found, require_url
from app.domain.problems import Invalid, NotFound
from app.domain.turns import MOST_TEXTS
from app.domain.windows import HAND_OVER_DEADLINE
from app.resources import Resources
from app.store import sms_agents, turns
from app.store.engine import Row
from app.store.turns import Twin
from app.web.doors import ApiCaller, Held, TenantRead, TurnsCaller
from app.web.envelope import Answer, Body, Out, Outgoing
from app.web.interactions import find
from app.web.paging import Paged
from app.wire.client import Lost, NotSent

router = APIRouter(prefix="/api/v1", tags=["Turns"])


class Text(Out):
    message_id: str
    seq: int


class Reply(Out):
    texts: list[str]
    message_ids: list[str]
    by: str


class Try(Out):
    at: datetime
    http_status: int | None
    duration_ms: int | None
    outcome: str | None
    answer: str | None
    request_body: str


class TurnShape(Out):
    turn_id: str
    interaction_id: str | None
    agent_id: str | None
    kind: str
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
    attempts: list[Try]


class TurnPage(Out):
    turns: list[TurnShape]
    next_cursor: str | None
    has_more: bool


def shape(row: Row, attempts: list[Row]) -> TurnShape:
    return TurnShape.model_validate(
        {
            **dict(row),
            "agent_id": row["sms_agent_id"],
            "due_at": row["window_due_at"],
            "messages": row["texts"],
            "attempts": [{**dict(attempt), "request_body": attempt["request_body"].decode()} for attempt in attempts],
        }
    )


@router.get("/interactions/{interaction_id}/turns", summary="The turns of a thread")
async def of_thread(
    interaction_id: str,
    caller: TurnsCaller,
    read: TenantRead,
    paged: Paged,
) -> Answer[TurnPage]:
    """Newest first."""
    await find(read, caller, interaction_id)
    rows, attempts = await turns.listed(
        read,
        caller.tenant_id,
        interaction_id,
        None,
        caller.agent_id,
        paged.key(datetime, str),
        paged.fetch,
    )
    page, cursor = paged.cut(rows, lambda row: (row["opened_at"], row["turn_id"]))
    shapes = [shape(row, attempts.get(row["turn_id"], [])) for row in page]
    return Answer(data=TurnPage(turns=shapes, next_cursor=cursor, has_more=cursor is not None))


@router.get("/turns/{turn_id}", summary="One turn, its attempts and their bytes")
async def one(turn_id: str, caller: TurnsCaller, read: TenantRead) -> Answer[TurnShape]:
    rows, attempts = await turns.listed(read, caller.tenant_id, None, turn_id, caller.agent_id, None, 1)
    if not rows:
        raise NotFound
    return Answer(data=shape(rows[0], attempts.get(turn_id, [])))


class HeldBody(Body):
    action: Literal["send", "discard"]
    texts: Annotated[list[Outgoing], Field(min_length=1, max_length=MOST_TEXTS)] | None = None
    """With `send`: in place of the held ones."""


class HeldDone(Out):
    turn_id: str
    action: str
    message_id: str | None


@router.post("/turns/{turn_id}/held", summary="Send, edit or discard a stale reply that was held")
async def settle_held(turn_id: str, body: HeldBody, caller: ApiCaller, held: Held) -> Answer[HeldDone]:
    """A sent one leaves as the agent's, names the person, and counts as a text by hand."""
    async with held.database.system() as tx:
        if body.action == "discard":
            await reply.discard_held(tx, caller, turn_id)
            message_id = None
        else:
            sent = await reply.release_held(tx, caller, turn_id, body.texts)
            message_id = sent["messageId"]
    return Answer(data=HeldDone(turn_id=turn_id, action=body.action, message_id=message_id))


class ReplayBody(Body):
    webhook_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """Null: the agent's own."""


@router.post("/turns/{turn_id}/replay", status_code=201, summary="Hand a turn over once more")
async def replay(turn_id: str, body: ReplayBody, caller: ApiCaller, held: Held) -> Answer[TurnShape]:
    """The answer is kept beside the live one; nothing of it is sent."""
    if body.webhook_url:
        require_url(body.webhook_url, "webhookUrl")
    async with held.database.tenant(caller.tenant_id) as tx:
        live = found(await turns.get(tx, caller.tenant_id, turn_id))
        _, attempts = await turns.listed(tx, caller.tenant_id, None, turn_id, None, None, 1)
        sent = [one["request_body"] for one in attempts.get(turn_id, []) if one["request_body"]]
        if live["kind"] != "live" or not sent:
            raise Invalid(details=["turnId: was never handed over, or too long ago"])
        agent = found(await sms_agents.get(tx, caller.tenant_id, live["sms_agent_id"]))
        addressed = json.loads(sent[-1])
        twin = twins.of(
            caller.tenant_id,
            "replay",
            addressed,
            live["interaction_id"],
            live["sms_agent_id"],
            turn_id,
        )
        await twins.begin(tx, [twin])
    return Answer(data=await post_twin(held, agent, body.webhook_url, twin))


async def post_twin(held: Resources, agent: Row, url: str | None, twin: Twin) -> TurnShape:
    """POSTs a replay or a test with no transaction open, and tells what came of it."""
    tenant_id, turn_id, began = twin.tenant_id, twin.turn_id, time.monotonic()
    request = webhook.request(
        url or agent["webhook_url"],
        [held.seal.open(agent["secret"]).decode()],
        turn_id,
        datetime.now(UTC),
        twin.body,
        twin.kind,
    )
    status: int | None = None
    kept: str | None = None
    answer: webhook.Answer
    try:
        response = await held.wire.exchange(request, HAND_OVER_DEADLINE.total_seconds())
        status, kept, answer = response.status_code, webhook.kept(response), webhook.read(response)
    except NotSent:
        answer = webhook.Failed("the agent's webhook could not be reached")
    except Lost:
        answer = webhook.Failed("the agent's webhook did not answer in time")
    meant = webhook.meaning(answer)
    duration = int((time.monotonic() - began) * 1000)
    async with held.database.tenant(tenant_id) as tx:
        heard = twins.Heard(*meant, status, duration, kept)
        await twins.settle(tx, tenant_id, turn_id, heard)
        rows, attempts = await turns.listed(tx, tenant_id, None, turn_id, None, None, 1)
    return shape(rows[0], attempts.get(turn_id, []))

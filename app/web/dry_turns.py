"""Turns that are handed over although nobody waits for an answer: replays and tests."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from pydantic_core import to_json

from app.agents import webhook
from app.agents.payload import build_sample
from app.calls import agents
from app.commands import dry_turns
from app.commands.directory import require_found, require_url
from app.domain.idempotency import IdempotencyKey, ReplayedAnswer
from app.domain.problems import IdempotencyInProgress, Invalid
from app.domain.windows import HAND_OVER_LEASE
from app.resources import Resources
from app.store import directory, turns
from app.store.dry_turns import DryTurn
from app.store.engine import Tx
from app.store.schema import SmsAgent
from app.web.dependencies import ApiCaller, AppResources
from app.web.envelope import Answer, Body
from app.web.idempotency import RouteKey, claim_key
from app.web.turns import TurnShape, get_shape

router = APIRouter(prefix="/api/v1", tags=["Turns"])
TurnBuilder = Callable[[Tx], Awaitable[tuple[SmsAgent, DryTurn]]]
"""The agent, and the turn that it gets."""


class ReplayBody(Body):
    webhook_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """Null: the agent's own."""


@router.post("/turns/{turn_id}/replay", status_code=201, summary="Hand a turn over once more")
async def replay_turn(
    turn_id: str, body: ReplayBody, caller: ApiCaller, resources: AppResources, key: RouteKey
) -> Answer[TurnShape]:
    """The answer is stored beside the live turn; nothing of it is sent."""
    return Answer(data=await replay(resources, caller.tenant_id, turn_id, body.webhook_url, key))


async def replay(
    resources: Resources, tenant_id: str, turn_id: str, url: str | None, key: IdempotencyKey | None
) -> TurnShape:
    """Hands a live turn over once more. `url` None: to its agent. Raises `NotFound`, `Invalid`."""
    if url:
        require_url(url, "webhookUrl")

    async def build_turn(tx: Tx) -> tuple[SmsAgent, DryTurn]:
        live_turn = require_found(await turns.get(tx, tenant_id, turn_id))
        attempts = await turns.list_attempts(tx, tenant_id, turn_id)
        request_bodies = [attempt.request_body for attempt in attempts if attempt.request_body]
        if live_turn.kind != "live" or not request_bodies:
            raise Invalid(details=["turnId: was never handed over, or too long ago"])
        agent_id = require_found(live_turn.sms_agent_id)
        agent = require_found(await directory.get(tx, SmsAgent, tenant_id, agent_id))
        return agent, dry_turns.build_dry_turn(
            tenant_id, "replay", request_bodies[-1], live_turn.interaction_id, agent_id, turn_id
        )

    return await _hand_over_once(resources, tenant_id, url, key, build_turn)


async def try_agent(
    resources: Resources, tenant_id: str, agent_id: str, key: IdempotencyKey | None = None
) -> TurnShape:
    """Hands a made-up turn over to the agent. Raises `NotFound`."""

    async def build_turn(tx: Tx) -> tuple[SmsAgent, DryTurn]:
        agent = require_found(await directory.get(tx, SmsAgent, tenant_id, agent_id))
        body = to_json(build_sample(tenant_id, agent_id, datetime.now(UTC)))
        return agent, dry_turns.build_dry_turn(tenant_id, "test", body, None, agent_id, None)

    return await _hand_over_once(resources, tenant_id, None, key, build_turn)


async def _hand_over_once(
    resources: Resources, tenant_id: str, url: str | None, key: IdempotencyKey | None, build_turn: TurnBuilder
) -> TurnShape:
    """The turn that was handed over. A repeat with the same key gets the turn of the first request as it is now:
    no transaction is open while its agent is asked, so no answer can be stored with the key. While the agent is
    asked, a repeat raises `IdempotencyInProgress`; a process that died then is waited for as long as a lease."""
    try:
        async with resources.database.tenant_tx(tenant_id) as tx:
            idempotency = await claim_key(tx, tenant_id, key)
            agent, dry_turn = await build_turn(tx)
            await dry_turns.begin_dry_turns(tx, [dry_turn])
            await idempotency.store_data({"turnId": dry_turn.turn_id}, 201)
    except ReplayedAnswer as first_answer:
        async with resources.database.read_tx(tenant_id) as read:
            turn = await get_shape(read, tenant_id, first_answer.data["turnId"])
        has_ended = all(attempt.outcome for attempt in turn.attempts)
        if has_ended or datetime.now(UTC) - turn.opened_at > HAND_OVER_LEASE:
            return turn
        raise IdempotencyInProgress(retry_after=1) from None
    return await _post_dry_turn(resources, agent, url, dry_turn)


async def _post_dry_turn(resources: Resources, agent: SmsAgent, url: str | None, dry_turn: DryTurn) -> TurnShape:
    """POSTs a replay or a test with no transaction open, and settles it. `url` None: the agent's."""
    tenant_id, turn_id = dry_turn.tenant_id, dry_turn.turn_id
    result = await agents.post_turn(
        resources.wire,
        turn_id,
        url or agent.webhook_url,
        [resources.seal.open(agent.secret).decode()],
        datetime.now(UTC),
        dry_turn.body,
        dry_turn.kind,
    )
    turn_outcome = webhook.to_turn_outcome(result.answer)
    dry_turn_result = dry_turns.DryTurnResult(
        *turn_outcome, result.http_status, result.duration_ms, result.recorded_answer
    )
    async with resources.database.tenant_tx(tenant_id) as tx:
        await dry_turns.settle_dry_turn(tx, tenant_id, turn_id, dry_turn_result)
        return await get_shape(tx, tenant_id, turn_id)

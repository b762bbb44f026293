"""Which turn a reply of an agent answers, and what goes on when it is answered."""

from collections.abc import Sequence
from dataclasses import replace

from app.domain.orders import Order
from app.domain.problems import DncBlocked, NoOpenTurn, NotFound
from app.store import interactions, replies, turns
from app.store.clock import turn_hint
from app.store.engine import ReadTx, Tx
from app.store.replies import FoundTurn
from app.store.turns import Turn, TurnKey


async def get_own_turn(read: ReadTx, tenant_id: str, turn_id: str, agent_id: str | None) -> Turn:
    """The turn. `agent_id`: the agent whose it must be; None: any. Raises `NotFound`."""
    turn = await turns.get(read, tenant_id, turn_id)
    if turn is None or (agent_id is not None and turn.sms_agent_id != agent_id):
        raise NotFound("There is no turn by that id.")
    return turn


async def find_turn(tx: Tx, order: Order, agent_id: str | None) -> Turn | FoundTurn:
    """The turn that the reply answers. `agent_id` limits it to one agent's turns. Raises `NotFound`,
    `DncBlocked`, `NoOpenTurn`."""
    tenant = order.tenant_id
    if order.turn_id:
        turn = await get_own_turn(tx, tenant, order.turn_id, agent_id)
        if turn.interaction_id is None:
            return turn  # a test, or a trial with a turn that was made up
        if not await interactions.belongs_to_lead(tx, *turn.thread, order.lead_id):
            raise NotFound("There is no such turn of this lead.")
        if turn.kind == "live" and order.interaction_id not in (None, turn.interaction_id):
            raise NotFound("There is no such turn in this interaction.")
        return turn
    if not await interactions.has_lead(tx, tenant, order.lead_id):
        raise NotFound("There is no lead by that id.")
    if order.interaction_id:
        if not await interactions.belongs_to_lead(tx, tenant, order.interaction_id, order.lead_id):
            raise NotFound("There is no such interaction of this lead.")
    else:
        open_turns = await replies.find_open_of_lead(tx, tenant, order.lead_id, agent_id)
        if len(open_turns) > 1:
            raise NoOpenTurn(details=["turnId: is needed, several turns of this lead are open"])
        if open_turns:
            return open_turns[0]
    lead_id = None if order.interaction_id else order.lead_id
    newest = await replies.find_newest_handed_over(tx, tenant, order.interaction_id, lead_id, agent_id)
    if newest is None:
        raise DncBlocked if await _is_suppressed(tx, order) else NoOpenTurn
    return newest


async def place_in_thread(tx: Tx, order: Order, agent_id: str) -> Order:
    """The order in the thread of the turn that it answers. Raises as `find_turn` does."""
    turn = await find_turn(tx, order, agent_id)
    if turn.interaction_id is None:
        raise NotFound("There is no such turn of this lead.")
    return replace(order, interaction_id=turn.interaction_id)


async def _is_suppressed(tx: Tx, order: Order) -> bool:
    """Whether the phone is suppressed; this refusal comes before those about turns."""
    if order.interaction_id:
        return bool(await interactions.find_suppressed(tx, [(order.tenant_id, order.interaction_id)]))
    return await interactions.is_lead_suppressed(tx, order.tenant_id, order.lead_id)


async def reload_turn(tx: Tx, key: TurnKey) -> Turn:
    """The turn as it is under its thread's lock."""
    turn = await turns.get(tx, *key)
    assert turn is not None
    return turn


async def end_waits(tx: Tx, answered_turns: Sequence[Turn]) -> None:
    """These turns were answered without a text. The turns that waited for protected ones among them wait
    only for their windows now."""
    waited_for = [turn.thread for turn in answered_turns if turn.protected and turn.next_due_at]
    if waited_for:
        for thread, due_at in (await replies.end_waits(tx, waited_for)).items():
            tx.hints[turn_hint(*thread)] = due_at

"""Dispatches an order to send: an agent's reply is judged by its turn, any other is sent."""

from app.commands import reply, send
from app.domain.callers import Caller
from app.domain.orders import AcceptedText, Order, RefusedOrder, build_answer
from app.domain.problems import Invalid
from app.store.engine import Tx

AnswerData = reply.AnswerData
NO_TURN_DETAIL = "turnId: only a reply with source sms_agent names a turn"


async def dispatch_text(tx: Tx, caller: Caller, order: Order) -> AnswerData | RefusedOrder:
    """The `data` of the answer to the order, or its refusal. A refusal may have recorded something:
    commit before you raise it."""
    if order.source == "sms_agent":
        return await reply.accept_api_reply(tx, order, caller.agent_id)
    if order.turn_id:
        return RefusedOrder(Invalid(details=[NO_TURN_DETAIL]))
    [result] = await send.accept_texts(tx, [order])
    return to_answer(result)


def to_answer(result: AcceptedText | RefusedOrder) -> AnswerData | RefusedOrder:
    """The `data` of the answer for an accepted text; a refusal stays as it is."""
    return build_answer(result) if isinstance(result, AcceptedText) else result


def unwrap_answer(result: AnswerData | RefusedOrder) -> AnswerData:
    """Returns the answer; raises the problem of a refusal."""
    if isinstance(result, RefusedOrder):
        raise result.problem
    return result

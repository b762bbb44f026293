"""Dispatches orders to send: an agent's reply is judged by its turn, all others are sent."""

from collections.abc import Sequence

from app.commands import reply, send
from app.domain.callers import Caller
from app.domain.orders import AcceptedText, Order, RefusedOrder, build_answer
from app.domain.problems import Invalid
from app.store.engine import Tx

AnswerData = reply.AnswerData
NO_TURN_DETAIL = "turnId: only a reply with source sms_agent names a turn"


async def dispatch_texts(tx: Tx, caller: Caller, orders: Sequence[Order]) -> list[AnswerData | RefusedOrder]:
    """The `data` of the answer to each order, or its refusal, in order. A refusal may have recorded
    something: commit before you raise it."""
    plain_orders = [order for order in orders if order.source != "sms_agent" and not order.turn_id]
    outcomes = iter(await send.accept_texts(tx, plain_orders) if plain_orders else [])
    results: list[AnswerData | RefusedOrder] = []
    for order in orders:
        if order.source == "sms_agent":
            results.append(await reply.accept_api_reply(tx, order, caller.agent_id))
        elif order.turn_id:
            results.append(RefusedOrder(Invalid(details=[NO_TURN_DETAIL])))
        else:
            results.append(to_answer(next(outcomes)))
    return results


def to_answer(result: AcceptedText | RefusedOrder) -> AnswerData | RefusedOrder:
    """The `data` of the answer for an accepted text; a refusal stays as it is."""
    return build_answer(result) if isinstance(result, AcceptedText) else result


def unwrap_answer(result: AnswerData | RefusedOrder) -> AnswerData:
    """Returns the answer; raises the problem of a refusal."""
    if isinstance(result, RefusedOrder):
        raise result.problem
    return result

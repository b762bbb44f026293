"""The door of the way out: an agent's reply is judged by its turn, all else is sent."""

from collections.abc import Sequence

from app.commands import reply, send
from app.domain.callers import Caller
from app.domain.orders import Order, Refused, Sent, answer
from app.domain.problems import Invalid
from app.store.engine import Tx

Answered = reply.Answered
NO_TURN = "turnId: only a reply with source sms_agent names a turn"


async def texts(tx: Tx, caller: Caller, orders: Sequence[Order]) -> list[Answered | Refused]:
    """The `data` of each answer, or the refusal, in order. Refusals may have been recorded:
    commit before raising them."""
    plain = [order for order in orders if order.source != "sms_agent" and not order.turn_id]
    sent = iter(await send.texts(tx, plain) if plain else [])
    results: list[Answered | Refused] = []
    for order in orders:
        if order.source == "sms_agent":
            results.append(await reply.by_api(tx, order, caller.agent_id))
        elif order.turn_id:
            results.append(Refused(Invalid(details=[NO_TURN])))
        else:
            results.append(answered(next(sent)))
    return results


def answered(result: Sent | Refused) -> Answered | Refused:
    return answer(result) if isinstance(result, Sent) else result


def accepted(result: Answered | Refused) -> Answered:
    """The answer; raises the problem of a refusal."""
    if isinstance(result, Refused):
        raise result.problem
    return result

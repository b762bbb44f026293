"""Held replies: stale replies of agents that wait for a person."""

from collections.abc import Sequence

from app.commands import modes, send
from app.commands.answered_turns import reload_turn
from app.commands.reply import AnswerData, build_orders
from app.domain.callers import Caller
from app.domain.orders import AcceptedText, RefusedOrder, build_answer
from app.domain.problems import NotFound, NotHeld
from app.domain.turns import HeldReply
from app.store import threads, turns
from app.store.engine import Tx
from app.store.turns import Turn


async def release_held_reply(tx: Tx, caller: Caller, turn_id: str, texts: Sequence[str] | None) -> AnswerData:
    """A person sends a held reply, as it is or with other `texts`. It is judged as every text, and
    takes the thread over from the agent, as a person's text does. Raises `NotFound`, `NotHeld`, or
    the problem of the first refused text."""
    turn, held_reply = await _lock_held_turn(tx, caller, turn_id)
    await threads.withdraw_held_replies(tx, [turn.thread], "a person sent it")
    await modes.take_over(tx, {turn.thread: caller.author})
    media = held_reply.get("mediaUrls", ())
    orders = build_orders(turn, texts or held_reply["texts"], caller.actor, media)
    results = await send.accept_texts(tx, orders)
    accepted_texts = [result for result in results if isinstance(result, AcceptedText)]
    if len(accepted_texts) < len(results):
        raise next(r.problem for r in results if isinstance(r, RefusedOrder))
    return build_answer(accepted_texts[0])


async def discard_held_reply(tx: Tx, caller: Caller, turn_id: str) -> None:
    """A person discards a held reply: it is never sent. Raises `NotFound`, `NotHeld`."""
    turn, _ = await _lock_held_turn(tx, caller, turn_id)
    await threads.withdraw_held_replies(tx, [turn.thread], "withdrawn: a person discarded it")


async def _lock_held_turn(tx: Tx, caller: Caller, turn_id: str) -> tuple[Turn, HeldReply]:
    """The turn, its thread locked, and its held reply."""
    turn = await turns.get(tx, caller.tenant_id, turn_id)
    if turn is None or turn.interaction_id is None:
        raise NotFound("There is no turn by that id.")
    await threads.lock(tx, [turn.thread])
    turn = await reload_turn(tx, turn.key)
    if turn.held is None:
        raise NotHeld
    return turn, turn.held

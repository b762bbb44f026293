"""Judges and sends the replies of agents: one reply, or one list, for each turn (docs/contract.md,
section 6)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from app.commands import dry_turns, modes, outcomes, refusals, send
from app.commands.answered_turns import end_waits, find_turn, reload_turn
from app.commands.outcomes import AcceptedByTurn, AcceptedOutcome
from app.domain import ids
from app.domain.orders import AcceptedText, Order, RefusedOrder, build_answer
from app.domain.problems import Problem, StaleTurn
from app.domain.turns import MAX_ALIKE_IN_A_ROW, ClosedState, StoredReply, check_reply, is_looping
from app.store import interactions, replies, threads
from app.store.clock import turn_hint
from app.store.engine import Tx
from app.store.turns import Turn, TurnEnd, TurnKey

REPEAT_TIME = timedelta(hours=24)
"""For this time after a turn was closed, the same reply gets the same answer."""
REPEAT_TIME_WITHOUT_TURN = timedelta(minutes=10)
"""The same, for a reply that does not name its turn."""

NO_OUTCOMES: AcceptedByTurn = MappingProxyType({})
AnswerData = dict[str, Any]
"""The `data` of the answer to a send. It is stored with the turn, so that a repeat gets it too."""
TurnReply = tuple[Turn, Sequence[str], Sequence[str]]
"""(turn, texts of the reply, media of its first text). No texts: the agent declined."""


async def accept_api_reply(tx: Tx, order: Order, agent_id: str | None) -> AnswerData | RefusedOrder:
    """Accepts an agent's reply through the API. `agent_id` limits a key with scope `agent` to its
    agent's turns.

    A refusal is returned, not raised, because it records something that must be committed."""
    try:
        found_turn = await find_turn(tx, order, agent_id)
    except Problem as not_found:
        return RefusedOrder(not_found)
    if isinstance(found_turn, Turn) and found_turn.kind != "live":
        return await dry_turns.accept_reply(tx, found_turn, [order.text], "api")
    await threads.lock(tx, [found_turn.thread])
    turn = await reload_turn(tx, found_turn.key)
    earlier_answers = await _find_same_reply(tx, turn, [order.text], names_turn=order.turn_id is not None)
    if earlier_answers is not None:
        return earlier_answers[0]
    names_turn = order.turn_id is not None
    [problem] = await _judge_turns(tx, [turn], names_turn)
    if problem is None:
        [result] = await _send_replies(tx, [(turn, [order])], names_turn)
        if isinstance(result, list):
            await _close_turns(tx, [(turn, [order.text], result)], "api")
            return result[0]
        problem = result.problem
    await refusals.record_refusal(tx, turn, [order.text], problem, "api", order.media)
    return RefusedOrder(problem)


async def accept_inline_replies(
    tx: Tx, turn_replies: Sequence[TurnReply], accepted_outcomes: AcceptedByTurn
) -> set[TurnKey]:
    """Accepts the replies in the answers of agents' webhooks, each for another thread, and returns the
    turns that they close. `accepted_outcomes`: the outcomes beside them, which are stored with the
    closed turns. The caller has locked the threads."""
    problems = [
        problem if texts or not isinstance(problem, StaleTurn) else None  # a decline cannot be stale
        for problem, (_, texts, _) in zip(
            await _judge_turns(tx, [turn for turn, _, _ in turn_replies], names_turn=True),
            turn_replies,
            strict=True,
        )
    ]
    good_replies = [turn_reply for turn_reply, problem in zip(turn_replies, problems, strict=True) if problem is None]
    refused_replies = [
        (*turn_reply, problem) for turn_reply, problem in zip(turn_replies, problems, strict=True) if problem
    ]
    declined_turns = [turn for turn, texts, _ in good_replies if not texts]
    declined_ends = [
        _build_turn_end(turn, "declined", "the agent declined", None, accepted_outcomes) for turn in declined_turns
    ]
    await outcomes.settle(tx, declined_ends, _find_outcomes(declined_turns, accepted_outcomes))
    await end_waits(tx, declined_turns)
    replies_to_send = [turn_reply for turn_reply in good_replies if turn_reply[1]]
    results = await _send_replies(
        tx,
        [(turn, build_orders(turn, texts, turn.sms_agent_id, media)) for turn, texts, media in replies_to_send],
        names_turn=True,
    )
    answered_turns: list[tuple[Turn, Sequence[str], list[AnswerData]]] = []
    for (turn, texts, media), result in zip(replies_to_send, results, strict=True):
        if isinstance(result, RefusedOrder):
            refused_replies.append((turn, texts, media, result.problem))
        else:
            answered_turns.append((turn, texts, result))
    await _close_turns(tx, answered_turns, "inline", accepted_outcomes)
    for turn, texts, media, problem in refused_replies:
        await refusals.record_refusal(tx, turn, texts, problem, "inline", media)
    return {turn.key for turn in declined_turns} | {turn.key for turn, _, _ in answered_turns}


async def _find_same_reply(tx: Tx, turn: Turn, texts: Sequence[str], names_turn: bool) -> list[AnswerData] | None:
    """The answers to the turn's first reply, if this reply repeats it; else None."""
    reply = turn.reply
    repeat_time = REPEAT_TIME if names_turn else REPEAT_TIME_WITHOUT_TURN
    if not reply or reply["texts"] != list(texts) or not turn.closed_at:
        return None
    is_recent = await refusals.get_now(tx) - turn.closed_at < repeat_time
    return reply["answers"] if is_recent else None


async def _judge_turns(tx: Tx, judged_turns: Sequence[Turn], names_turn: bool) -> list[Problem | None]:
    """For each turn, why a reply to it may not be sent; None: it may."""
    if not judged_turns:
        return []
    suppressed_threads = await interactions.find_suppressed(tx, [turn.thread for turn in judged_turns])
    guarded_threads = [turn.thread for turn in judged_turns if _is_guarded(turn, names_turn)]
    collecting_threads = await replies.find_collecting(tx, guarded_threads) if guarded_threads else set()
    return [
        check_reply(
            turn.state,
            turn.reason,
            is_suppressed=turn.thread in suppressed_threads,
            is_guarded=_is_guarded(turn, names_turn),
            has_lead_written=turn.thread in collecting_threads,
        )
        for turn in judged_turns
    ]


def _is_guarded(turn: Turn, names_turn: bool) -> bool:
    """Whether a stale reply is refused. A reply that does not name its turn is never stale, unless nobody
    asked for it: the lead's text was the answer that it wants."""
    if turn.trigger != "texts":
        return True
    return names_turn and not turn.protected and turn.stale_reply != "send"


def build_orders(turn: Turn, texts: Sequence[str], actor: str | None, media: Sequence[str] = ()) -> list[Order]:
    """The texts as orders of the turn's agent, in the turn's thread. The media go with the first text."""
    assert turn.lead_id is not None
    assert actor is not None
    return [
        Order(
            tenant_id=turn.tenant_id,
            message_id=ids.make("msg"),
            thread_id=ids.make("int"),
            lead_id=turn.lead_id,
            interaction_id=turn.interaction_id,
            text=text,
            source="sms_agent",
            actor=actor,
            turn_id=turn.turn_id,
            media=() if i else tuple(media),
        )
        for i, text in enumerate(texts)
    ]


async def _send_replies(
    tx: Tx, turn_orders: Sequence[tuple[Turn, Sequence[Order]]], names_turn: bool
) -> list[list[AnswerData] | RefusedOrder]:
    """Sends all texts of each reply, in order, in its turn's thread. Returns the answers of each
    reply, or its first refusal."""
    placed_orders = [
        replace(
            order,
            delay=timedelta(milliseconds=turn.reply_delay_ms or 0) * (i + 1),
            is_guarded=_is_guarded(turn, names_turn),
            interaction_id=turn.interaction_id,
            turn_id=turn.turn_id,
            agent_id=turn.sms_agent_id,
            source="sms_agent",
        )
        for turn, orders in turn_orders
        for i, order in enumerate(orders)
    ]
    outcomes = iter(await send.accept_texts(tx, placed_orders) if placed_orders else [])
    results: list[list[AnswerData] | RefusedOrder] = []
    for _, orders in turn_orders:
        reply_outcomes = [next(outcomes) for _ in orders]
        first_refusal = next((result for result in reply_outcomes if isinstance(result, RefusedOrder)), None)
        results.append(
            first_refusal or [build_answer(result) for result in reply_outcomes if isinstance(result, AcceptedText)]
        )
    return results


async def _close_turns(
    tx: Tx,
    answered_turns: Sequence[tuple[Turn, Sequence[str], list[AnswerData]]],
    by: str,
    accepted_outcomes: AcceptedByTurn = NO_OUTCOMES,
) -> None:
    if not answered_turns:
        return
    turn_ends = [
        _build_turn_end(turn, "replied", "answered", _build_reply(texts, answers, by), accepted_outcomes)
        for turn, texts, answers in answered_turns
    ]
    await outcomes.settle(tx, turn_ends, _find_outcomes([turn for turn, _, _ in answered_turns], accepted_outcomes))
    thread_keys = [turn.thread for turn, _, _ in answered_turns]
    for thread, due_at in (await replies.end_reply_wait(tx, thread_keys)).items():
        tx.hints[turn_hint(*thread)] = due_at
    for thread, last_replies in (await replies.get_last_replies(tx, thread_keys, MAX_ALIKE_IN_A_ROW)).items():
        if is_looping(last_replies):
            why = f"the agent said nearly the same {MAX_ALIKE_IN_A_ROW} times"
            await modes.pause_agent(tx, thread, why)


def _build_reply(texts: Sequence[str], answers: list[AnswerData], by: str) -> str:
    """The reply as JSON."""
    message_ids = [answer["messageId"] for answer in answers]
    reply: StoredReply = {"texts": list(texts), "messageIds": message_ids, "by": by, "answers": answers}
    return json.dumps(reply)


def _build_turn_end(
    turn: Turn, state: ClosedState, reason: str, reply: str | None, accepted_outcomes: AcceptedByTurn
) -> TurnEnd:
    outcome = accepted_outcomes.get(turn.key)
    return outcome.build_end(state, reason, reply) if outcome else TurnEnd(*turn.key, state, reason, reply)


def _find_outcomes(closed_turns: Sequence[Turn], accepted_outcomes: AcceptedByTurn) -> list[AcceptedOutcome]:
    return [accepted_outcomes[turn.key] for turn in closed_turns if turn.key in accepted_outcomes]

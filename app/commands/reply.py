"""Judges and sends the replies of agents: one reply, or one list, for each turn (docs/contract.md,
section 6)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.commands import modes, send
from app.domain import ids
from app.domain.callers import Caller
from app.domain.orders import AcceptedText, Order, RefusedOrder, build_answer
from app.domain.problems import (
    DncBlocked,
    Invalid,
    NoOpenTurn,
    NotFound,
    NotHeld,
    Problem,
    StaleTurn,
    TurnClosed,
)
from app.domain.transcripts import format_time
from app.domain.turns import (
    MAX_ALIKE_IN_A_ROW,
    UNFINISHED_STATES,
    check_handoff,
    check_reply,
    is_looping,
    is_outdated,
)
from app.store import interactions, threads, turns
from app.store.clock import turn_hint
from app.store.engine import Row, Tx

HANDED_OFF_PREFIX = "the agent handed off: "
REPEAT_TIME = timedelta(hours=24)
"""For this time after a turn was closed, the same reply gets the same answer."""
REPEAT_TIME_WITHOUT_TURN = timedelta(minutes=10)
"""The same, for a reply that does not name its turn."""

AnswerData = dict[str, Any]
"""The `data` of the answer to a send. It is stored with the turn, so that a repeat gets it too."""
TurnReply = tuple[Row, Sequence[str]]
"""(turn, texts of the reply). No texts: the agent declined."""


async def accept_api_reply(tx: Tx, order: Order, agent_id: str | None) -> AnswerData | RefusedOrder:
    """Accepts an agent's reply through the API. `agent_id` limits a key with scope `agent` to its
    agent's turns.

    A refusal is returned, not raised, because it records something that must be committed."""
    try:
        turn = await _find_turn(tx, order, agent_id)
    except Problem as not_found:
        return RefusedOrder(not_found)
    if turn["kind"] != "live":
        return await _accept_dry_turn_reply(tx, turn, [order.text], "api")
    thread = (order.tenant_id, turn["interaction_id"])
    await threads.lock(tx, [thread])
    turn = await _reload_turn(tx, order.tenant_id, turn["turn_id"])
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
    await _record_refusal(tx, turn, [order.text], problem, "api")
    return RefusedOrder(problem)


async def accept_inline_replies(tx: Tx, replies: Sequence[TurnReply]) -> None:
    """Accepts the replies in the answers of agents' webhooks, each for another thread. The caller has
    locked the threads."""
    problems = [
        problem if texts or not isinstance(problem, StaleTurn) else None  # a decline cannot be stale
        for problem, (_, texts) in zip(
            await _judge_turns(tx, [turn for turn, _ in replies], names_turn=True),
            replies,
            strict=True,
        )
    ]
    good_replies = [turn_reply for turn_reply, problem in zip(replies, problems, strict=True) if problem is None]
    refused_replies = [(*turn_reply, problem) for turn_reply, problem in zip(replies, problems, strict=True) if problem]
    declined_turns = [turn for turn, texts in good_replies if not texts]
    await turns.close_answered(
        tx, [(*_turn_key(turn), "declined", "the agent declined", None) for turn in declined_turns]
    )
    replies_to_send = [(turn, texts) for turn, texts in good_replies if texts]
    results = await _send_replies(
        tx, [(turn, _build_orders(turn, texts)) for turn, texts in replies_to_send], names_turn=True
    )
    answered_turns: list[tuple[Row, Sequence[str], list[AnswerData]]] = []
    for (turn, texts), result in zip(replies_to_send, results, strict=True):
        if isinstance(result, RefusedOrder):
            refused_replies.append((turn, texts, result.problem))
        else:
            answered_turns.append((turn, texts, result))
    await _close_turns(tx, answered_turns, "inline")
    for turn, texts, problem in refused_replies:
        await _record_refusal(tx, turn, texts, problem, "inline")


async def hand_off(tx: Tx, turn: Row, reason: str) -> None:
    """The agent hands the thread off to a person. `turn` is the row from before the agent's present
    answer was recorded. The caller has locked the thread."""
    if HANDED_OFF_PREFIX in (turn["reason"] or ""):
        return  # each turn hands off once
    key, thread = _turn_key(turn), _thread_key(turn)
    later_events = await turns.get_later_events(tx, *key)
    problem = check_handoff(
        is_suppressed=bool(await interactions.find_suppressed(tx, [thread])),
        person_wrote=later_events["person_wrote"],
        agent_mode=later_events["agent_mode"],
    )
    if problem:
        refused_handoff = {"handoff": reason, "detail": problem.details[0]}
        await _refuse(tx, key, [], problem.code, "inline", **refused_handoff)
        return
    if turn["state"] in UNFINISHED_STATES:
        await turns.hand_off(tx, *key, f"{HANDED_OFF_PREFIX}{reason}")
    else:
        await turns.add_reason(tx, *key, f"{HANDED_OFF_PREFIX}{reason}")
    await modes.hand_over(tx, thread, reason)


async def refuse_inline(tx: Tx, turn: turns.TurnKey, texts: Sequence[str], why: str) -> None:
    """Records an invalid answer of a webhook. The turn stays open for a reply by the API."""
    await _refuse(tx, turn, texts, Invalid.code, "inline", detail=why)


async def _find_turn(tx: Tx, order: Order, agent_id: str | None) -> Row:
    """The turn that the reply answers. Raises `NotFound`, `DncBlocked`, `NoOpenTurn`."""
    tenant = order.tenant_id
    if order.turn_id:
        turn = await turns.get(tx, tenant, order.turn_id)
        is_foreign = turn is None or (agent_id is not None and turn["sms_agent_id"] != agent_id)
        if turn is None or is_foreign:
            raise NotFound("There is no turn by that id.")
        if turn["kind"] == "test":
            return turn
        if not await interactions.belongs_to_lead(tx, tenant, turn["interaction_id"], order.lead_id):
            raise NotFound("There is no such turn of this lead.")
        return turn
    if not await interactions.has_lead(tx, tenant, order.lead_id):
        raise NotFound("There is no lead by that id.")
    if order.interaction_id:
        if not await interactions.belongs_to_lead(tx, tenant, order.interaction_id, order.lead_id):
            raise NotFound("There is no such interaction of this lead.")
    else:
        open_turns = await turns.find_open_of_lead(tx, tenant, order.lead_id, agent_id)
        if len(open_turns) > 1:
            raise NoOpenTurn(details=["turnId: is needed, several turns of this lead are open"])
        if open_turns:
            return open_turns[0]
    lead_id = None if order.interaction_id else order.lead_id
    newest = await turns.find_newest_handed_over(tx, tenant, order.interaction_id, lead_id, agent_id)
    if newest is None:
        raise DncBlocked if await _is_suppressed(tx, order) else NoOpenTurn
    return newest


async def _is_suppressed(tx: Tx, order: Order) -> bool:
    """Whether the phone is suppressed; this refusal comes before those about turns."""
    if order.interaction_id:
        return bool(await interactions.find_suppressed(tx, [(order.tenant_id, order.interaction_id)]))
    return await interactions.is_lead_suppressed(tx, order.tenant_id, order.lead_id)


async def _reload_turn(tx: Tx, tenant_id: str, turn_id: str) -> Row:
    turn = await turns.get(tx, tenant_id, turn_id)
    assert turn is not None
    return turn


async def _find_same_reply(tx: Tx, turn: Row, texts: Sequence[str], names_turn: bool) -> list[AnswerData] | None:
    """The answers to the turn's first reply, if this reply repeats it; else None."""
    reply = turn["reply"]
    repeat_time = REPEAT_TIME if names_turn else REPEAT_TIME_WITHOUT_TURN
    if not reply or reply["texts"] != list(texts) or not turn["closed_at"]:
        return None
    is_recent = await _get_now(tx) - turn["closed_at"] < repeat_time
    answers: list[AnswerData] = reply["answers"]
    return answers if is_recent else None


async def _judge_turns(tx: Tx, judged_turns: Sequence[Row], names_turn: bool) -> list[Problem | None]:
    """For each turn, why a reply to it may not be sent; None: it may."""
    if not judged_turns:
        return []
    suppressed_threads = await interactions.find_suppressed(tx, [_thread_key(turn) for turn in judged_turns])
    guarded_threads = [_thread_key(turn) for turn in judged_turns if _is_guarded(turn, names_turn)]
    collecting_threads = await turns.find_collecting(tx, guarded_threads) if guarded_threads else set()
    return [
        check_reply(
            turn["state"],
            turn["reason"],
            is_suppressed=_thread_key(turn) in suppressed_threads,
            is_guarded=_is_guarded(turn, names_turn),
            has_lead_written=_thread_key(turn) in collecting_threads,
        )
        for turn in judged_turns
    ]


def _is_guarded(turn: Row, names_turn: bool) -> bool:
    """Whether a stale reply is refused. A reply that does not name its turn is never stale."""
    return names_turn and not turn["protected"] and turn["stale_reply"] != "send"


def _build_orders(turn: Row, texts: Sequence[str]) -> list[Order]:
    return [
        Order(
            tenant_id=turn["tenant_id"],
            message_id=ids.make("msg"),
            thread_id=ids.make("int"),
            lead_id=turn["lead_id"],
            interaction_id=turn["interaction_id"],
            text=text,
            source="sms_agent",
            actor=turn["sms_agent_id"],
            turn_id=turn["turn_id"],
        )
        for text in texts
    ]


async def _send_replies(
    tx: Tx, replies: Sequence[tuple[Row, Sequence[Order]]], names_turn: bool
) -> list[list[AnswerData] | RefusedOrder]:
    """Sends all texts of each reply, in order, in its turn's thread. Returns the answers of each
    reply, or its first refusal."""
    placed_orders = [
        replace(
            order,
            delay=timedelta(milliseconds=turn["reply_delay_ms"] or 0) * (i + 1),
            is_guarded=_is_guarded(turn, names_turn),
            interaction_id=turn["interaction_id"],
            turn_id=turn["turn_id"],
            agent_id=turn["sms_agent_id"],
            source="sms_agent",
        )
        for turn, orders in replies
        for i, order in enumerate(orders)
    ]
    outcomes = iter(await send.accept_texts(tx, placed_orders) if placed_orders else [])
    results: list[list[AnswerData] | RefusedOrder] = []
    for _, orders in replies:
        reply_outcomes = [next(outcomes) for _ in orders]
        first_refusal = next((result for result in reply_outcomes if isinstance(result, RefusedOrder)), None)
        results.append(
            first_refusal or [build_answer(result) for result in reply_outcomes if isinstance(result, AcceptedText)]
        )
    return results


async def _close_turns(tx: Tx, answered_turns: Sequence[tuple[Row, Sequence[str], list[AnswerData]]], by: str) -> None:
    if not answered_turns:
        return
    await turns.close_answered(
        tx,
        [
            (
                *_turn_key(turn),
                "replied",
                "answered",
                {
                    "texts": list(texts),
                    "messageIds": [answer["messageId"] for answer in answers],
                    "by": by,
                    "answers": answers,
                },
            )
            for turn, texts, answers in answered_turns
        ],
    )
    thread_keys = [_thread_key(turn) for turn, _, _ in answered_turns]
    for thread, due_at in (await turns.end_reply_wait(tx, thread_keys)).items():
        tx.hints[turn_hint(*thread)] = due_at
    for thread, replies in (await turns.get_last_replies(tx, thread_keys, MAX_ALIKE_IN_A_ROW)).items():
        if is_looping(replies):
            why = f"the agent said nearly the same {MAX_ALIKE_IN_A_ROW} times"
            await modes.pause_agent(tx, thread, why)


async def _accept_dry_turn_reply(tx: Tx, turn: Row, texts: Sequence[str], by: str) -> AnswerData | RefusedOrder:
    """Records an agent's reply to a dry turn; it is never sent."""
    if turn["closed_at"]:
        return RefusedOrder(TurnClosed(details=[f"turnId: {turn['reason']}"]))
    await record_dry_turn_reply(tx, _turn_key(turn), texts, by, "replied")
    return {"status": "caught", "turnId": turn["turn_id"]}


async def record_dry_turn_reply(
    tx: Tx,
    turn: turns.TurnKey,
    texts: Sequence[str],
    by: str,
    state: str,
    reason: str | None = None,
) -> None:
    """Records the reply to a dry turn, and closes the turn with `state`."""
    reply = {"texts": list(texts), "messageIds": [], "by": by}
    await turns.end_dry_turn(tx, *turn, state, reason or "caught", reply)


async def release_held_reply(tx: Tx, caller: Caller, turn_id: str, texts: Sequence[str] | None) -> AnswerData:
    """A person sends a held reply, as it is or with other `texts`. It is judged as every text, and
    takes the thread over from the agent, as a person's text does. Raises `NotFound`, `NotHeld`, or
    the problem of the first refused text."""
    turn = await _lock_held_turn(tx, caller, turn_id)
    thread = (turn["tenant_id"], turn["interaction_id"])
    texts_to_send = list(texts or turn["held"]["texts"])
    await threads.withdraw_held_replies(tx, [thread], "a person sent it")
    await modes.take_over(tx, [thread])
    orders = [
        Order(
            tenant_id=caller.tenant_id,
            message_id=ids.make("msg"),
            thread_id=ids.make("int"),
            lead_id=turn["lead_id"],
            interaction_id=turn["interaction_id"],
            text=text,
            source="sms_agent",
            actor=caller.actor,
            turn_id=turn_id,
        )
        for text in texts_to_send
    ]
    results = await send.accept_texts(tx, orders)
    accepted_texts = [result for result in results if isinstance(result, AcceptedText)]
    if len(accepted_texts) < len(results):
        raise next(r.problem for r in results if isinstance(r, RefusedOrder))
    return build_answer(accepted_texts[0])


async def discard_held_reply(tx: Tx, caller: Caller, turn_id: str) -> None:
    """A person discards a held reply: it is never sent. Raises `NotFound`, `NotHeld`."""
    turn = await _lock_held_turn(tx, caller, turn_id)
    await threads.withdraw_held_replies(tx, [_thread_key(turn)], "withdrawn: a person discarded it")


async def _lock_held_turn(tx: Tx, caller: Caller, turn_id: str) -> Row:
    turn = await turns.get(tx, caller.tenant_id, turn_id)
    if turn is None or turn["interaction_id"] is None:
        raise NotFound("There is no turn by that id.")
    await threads.lock(tx, [(turn["tenant_id"], turn["interaction_id"])])
    turn = await _reload_turn(tx, caller.tenant_id, turn_id)
    if turn["held"] is None:
        raise NotHeld
    return turn


async def _record_refusal(tx: Tx, turn: Row, texts: Sequence[str], problem: Problem, by: str) -> None:
    at = await _refuse(tx, _turn_key(turn), texts, problem.code, by)
    if not isinstance(problem, StaleTurn):
        return
    thread = (turn["tenant_id"], turn["interaction_id"])
    unsent_reply = {"turnId": turn["turn_id"], "texts": list(texts), "refusedAt": at}
    await turns.record_stale_reply(tx, *thread, unsent_reply)
    if turn["stale_reply"] == "hold" and not is_outdated(**await turns.get_later_events(tx, *_turn_key(turn))):
        problem.details.append("turnId: held")
        await threads.withdraw_held_replies(tx, [thread], "withdrawn: a later one is held")
        await turns.hold_reply(tx, *_turn_key(turn), {"texts": list(texts), "heldAt": at, "by": by})


async def _refuse(tx: Tx, turn: turns.TurnKey, texts: Sequence[str], code: str, by: str, **more: str) -> str:
    """Records a refused reply of an agent; returns the time of the refusal."""
    at = format_time(await _get_now(tx))
    await turns.record_refusal(tx, *turn, {"texts": list(texts), "code": code, "at": at, "by": by} | more)
    return at


async def _get_now(tx: Tx) -> datetime:
    """The database's time, by which turns are timed too."""
    return datetime.fromtimestamp(await turns.get_database_time(tx), UTC)


def _turn_key(turn: Row) -> tuple[str, str]:
    return turn["tenant_id"], turn["turn_id"]


def _thread_key(turn: Row) -> tuple[str, str]:
    return turn["tenant_id"], turn["interaction_id"]

"""Judge and send an agent's replies: one reply, or one list, per turn (contract 6)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.commands import modes, send
from app.domain import ids
from app.domain.callers import Caller
from app.domain.orders import Order, Refused, Sent, answer
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
from app.domain.transcripts import instant
from app.domain.turns import ALIKE_IN_A_ROW, UNFINISHED, loops, outdated, refusal, unwanted
from app.store import interactions, threads, turns
from app.store.clock import turn_hint
from app.store.engine import Row, Tx

HANDED_OFF = "the agent handed off: "
SAME_REPLY = timedelta(hours=24)
SAME_REPLY_WITHOUT_TURN = timedelta(minutes=10)

Answered = dict[str, Any]
"""The `data` of a send's answer, kept with the turn so that a repeat gets the same."""
Reply = tuple[Row, Sequence[str]]
"""A turn, and the texts that answer it; none at all: the agent declined."""


async def by_api(tx: Tx, order: Order, agent_id: str | None) -> Answered | Refused:
    """An agent's reply through the API. `agent_id` binds an agent-scoped key to its turns.

    Refusals are values, so that what they record is committed."""
    try:
        turn = await _find(tx, order, agent_id)
    except Problem as unknown:
        return Refused(unknown)
    if turn["kind"] != "live":
        return await _catch(tx, turn, [order.text], "api")
    thread = (order.tenant_id, turn["interaction_id"])
    await threads.lock(tx, [thread])
    turn = await _current(tx, order.tenant_id, turn["turn_id"])
    earlier = await _same_reply(tx, turn, [order.text], named=order.turn_id is not None)
    if earlier is not None:
        return earlier[0]
    named = order.turn_id is not None
    [problem] = await _judge(tx, [turn], named)
    if problem is None:
        [sent] = await _send(tx, [(turn, [order])], named)
        if isinstance(sent, list):
            await _close(tx, [(turn, [order.text], sent)], "api")
            return sent[0]
        problem = sent.problem
    await _record_refusal(tx, turn, [order.text], problem, "api")
    return Refused(problem)


async def inline(tx: Tx, replies: Sequence[Reply]) -> None:
    """The replies in webhooks' own answers, of as many threads, whose locks are held."""
    problems = [
        problem if texts or not isinstance(problem, StaleTurn) else None  # nothing would leave
        for problem, (_, texts) in zip(
            await _judge(tx, [turn for turn, _ in replies], named=True), replies, strict=True
        )
    ]
    good = [one for one, problem in zip(replies, problems, strict=True) if problem is None]
    refused = [(*one, problem) for one, problem in zip(replies, problems, strict=True) if problem]
    declined = [turn for turn, texts in good if not texts]
    await turns.replied(tx, [(*_key(turn), "declined", "the agent declined", None) for turn in declined])
    going = [(turn, texts) for turn, texts in good if texts]
    results = await _send(tx, [(turn, _orders(turn, texts)) for turn, texts in going], named=True)
    answered: list[tuple[Row, Sequence[str], list[Answered]]] = []
    for (turn, texts), result in zip(going, results, strict=True):
        if isinstance(result, Refused):
            refused.append((turn, texts, result.problem))
        else:
            answered.append((turn, texts, result))
    await _close(tx, answered, "inline")
    for turn, texts, problem in refused:
        await _record_refusal(tx, turn, texts, problem, "inline")


async def hand_off(tx: Tx, turn: Row, reason: str) -> None:
    """The agent asks for a person. `turn`, whose thread's lock is held: as it was before this
    answer of the agent was taken."""
    if HANDED_OFF in (turn["reason"] or ""):
        return  # the wish of one turn is told once
    key, thread = _key(turn), _thread(turn)
    since = await turns.since(tx, *key)
    problem = unwanted(
        suppressed=bool(await interactions.suppressed(tx, [thread])),
        person_wrote=since["person_wrote"],
        agent_mode=since["agent_mode"],
    )
    if problem:
        wish = {"handoff": reason, "detail": problem.details[0]}
        await _refuse(tx, key, [], problem.code, "inline", **wish)
        return
    if turn["state"] in UNFINISHED:
        await turns.hand_off(tx, *key, f"{HANDED_OFF}{reason}")
    else:
        await turns.add_reason(tx, *key, f"{HANDED_OFF}{reason}")
    await modes.hand_over(tx, thread, reason)


async def refuse_inline(tx: Tx, turn: turns.Key, texts: Sequence[str], why: str) -> None:
    """The webhook's own answer is no good; the turn stays open for the API."""
    await _refuse(tx, turn, texts, Invalid.code, "inline", detail=why)


async def _find(tx: Tx, order: Order, agent_id: str | None) -> Row:
    """The turn that the reply is for; raises `NotFound`, `DncBlocked`, `NoOpenTurn`."""
    tenant = order.tenant_id
    if order.turn_id:
        turn = await turns.get(tx, tenant, order.turn_id)
        foreign = turn is None or (agent_id is not None and turn["sms_agent_id"] != agent_id)
        if turn is None or foreign:
            raise NotFound("There is no turn by that id.")
        if turn["kind"] == "test":
            return turn
        if not await interactions.shares(tx, tenant, turn["interaction_id"], order.lead_id):
            raise NotFound("There is no such turn of this lead.")
        return turn
    if not await interactions.knows_lead(tx, tenant, order.lead_id):
        raise NotFound("There is no lead by that id.")
    if order.interaction_id:
        if not await interactions.shares(tx, tenant, order.interaction_id, order.lead_id):
            raise NotFound("There is no such interaction of this lead.")
    else:
        waiting = await turns.open_of_lead(tx, tenant, order.lead_id, agent_id)
        if len(waiting) > 1:
            raise NoOpenTurn(details=["turnId: is needed, several turns of this lead are open"])
        if waiting:
            return waiting[0]
    lead_id = None if order.interaction_id else order.lead_id
    newest = await turns.newest_handed_over(tx, tenant, order.interaction_id, lead_id, agent_id)
    if newest is None:
        raise DncBlocked if await _suppressed(tx, order) else NoOpenTurn
    return newest


async def _suppressed(tx: Tx, order: Order) -> bool:
    """Whether the text may not go out, whichever turn it is for: that is judged before turns."""
    if order.interaction_id:
        return bool(await interactions.suppressed(tx, [(order.tenant_id, order.interaction_id)]))
    return await interactions.lead_suppressed(tx, order.tenant_id, order.lead_id)


async def _current(tx: Tx, tenant_id: str, turn_id: str) -> Row:
    turn = await turns.get(tx, tenant_id, turn_id)
    assert turn is not None
    return turn


async def _same_reply(tx: Tx, turn: Row, texts: Sequence[str], named: bool) -> list[Answered] | None:
    """The first result, when this very reply was given to the turn before."""
    reply = turn["reply"]
    within = SAME_REPLY if named else SAME_REPLY_WITHOUT_TURN
    if not reply or reply["texts"] != list(texts) or not turn["closed_at"]:
        return None
    recent = await _now(tx) - turn["closed_at"] < within
    answers: list[Answered] = reply["answers"]
    return answers if recent else None


async def _judge(tx: Tx, judged: Sequence[Row], named: bool) -> list[Problem | None]:
    """Why a reply to each of the turns may not go out; None: it may."""
    if not judged:
        return []
    suppressed = await interactions.suppressed(tx, [_thread(turn) for turn in judged])
    guarded = [_thread(turn) for turn in judged if _guarded(turn, named)]
    wrote_on = await turns.collecting(tx, guarded) if guarded else set()
    return [
        refusal(
            turn["state"],
            turn["reason"],
            suppressed=_thread(turn) in suppressed,
            guarded=_guarded(turn, named),
            lead_wrote_on=_thread(turn) in wrote_on,
        )
        for turn in judged
    ]


def _guarded(turn: Row, named: bool) -> bool:
    """Whether the reply must not be stale: only naming the turn carries that promise."""
    return named and not turn["protected"] and turn["stale_reply"] != "send"


def _orders(turn: Row, texts: Sequence[str]) -> list[Order]:
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


async def _send(tx: Tx, replies: Sequence[tuple[Row, Sequence[Order]]], named: bool) -> list[list[Answered] | Refused]:
    """All texts of each reply, in order, into its turn's thread; or its first refusal."""
    placed = [
        replace(
            order,
            delay=timedelta(milliseconds=turn["reply_delay_ms"] or 0) * (i + 1),
            guarded=_guarded(turn, named),
            interaction_id=turn["interaction_id"],
            turn_id=turn["turn_id"],
            agent_id=turn["sms_agent_id"],
            source="sms_agent",
        )
        for turn, orders in replies
        for i, order in enumerate(orders)
    ]
    sent = iter(await send.texts(tx, placed) if placed else [])
    results: list[list[Answered] | Refused] = []
    for _, orders in replies:
        mine = [next(sent) for _ in orders]
        first = next((result for result in mine if isinstance(result, Refused)), None)
        results.append(first or [answer(result) for result in mine if isinstance(result, Sent)])
    return results


async def _close(tx: Tx, answered: Sequence[tuple[Row, Sequence[str], list[Answered]]], by: str) -> None:
    if not answered:
        return
    await turns.replied(
        tx,
        [
            (
                *_key(turn),
                "replied",
                "answered",
                {
                    "texts": list(texts),
                    "messageIds": [sent["messageId"] for sent in answers],
                    "by": by,
                    "answers": answers,
                },
            )
            for turn, texts, answers in answered
        ],
    )
    threads_of = [_thread(turn) for turn, _, _ in answered]
    for thread, due_at in (await turns.answered(tx, threads_of)).items():
        tx.hints[turn_hint(*thread)] = due_at
    for thread, said in (await turns.last_replies(tx, threads_of, ALIKE_IN_A_ROW)).items():
        if loops(said):
            why = f"the agent said nearly the same {ALIKE_IN_A_ROW} times"
            await modes.brake(tx, thread, why)


async def _catch(tx: Tx, turn: Row, texts: Sequence[str], by: str) -> Answered | Refused:
    """The answer to a replay, shadow or test is kept beside the live one, and never sent."""
    if turn["closed_at"]:
        return Refused(TurnClosed(details=[f"turnId: {turn['reason']}"]))
    await catch(tx, _key(turn), texts, by, "replied")
    return {"status": "caught", "turnId": turn["turn_id"]}


async def catch(tx: Tx, turn: turns.Key, texts: Sequence[str], by: str, state: str, reason: str | None = None) -> None:
    """Keeps what was answered to a replay, shadow or test."""
    reply = {"texts": list(texts), "messageIds": [], "by": by}
    await turns.end_twin(tx, *turn, state, reason or "caught", reply)


async def release_held(tx: Tx, caller: Caller, turn_id: str, texts: Sequence[str] | None) -> Answered:
    """A person lets a held reply go, as it is or with other `texts`. It passes the gate as the
    agent's, and counts as a text by hand. Raises `NotFound`, `NotHeld`, and what the gate says."""
    turn = await _held(tx, caller, turn_id)
    thread = (turn["tenant_id"], turn["interaction_id"])
    going = list(texts or turn["held"]["texts"])
    await threads.withdraw(tx, [thread], "a person sent it")
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
        for text in going
    ]
    results = await send.texts(tx, orders)
    sent = [result for result in results if isinstance(result, Sent)]
    if len(sent) < len(results):
        raise next(r.problem for r in results if isinstance(r, Refused))
    return answer(sent[0])


async def discard_held(tx: Tx, caller: Caller, turn_id: str) -> None:
    """The held reply never leaves. Raises `NotFound`, `NotHeld`."""
    turn = await _held(tx, caller, turn_id)
    await threads.withdraw(tx, [_thread(turn)], "withdrawn: a person discarded it")


async def _held(tx: Tx, caller: Caller, turn_id: str) -> Row:
    turn = await turns.get(tx, caller.tenant_id, turn_id)
    if turn is None or turn["interaction_id"] is None:
        raise NotFound("There is no turn by that id.")
    await threads.lock(tx, [(turn["tenant_id"], turn["interaction_id"])])
    turn = await _current(tx, caller.tenant_id, turn_id)
    if turn["held"] is None:
        raise NotHeld
    return turn


async def _record_refusal(tx: Tx, turn: Row, texts: Sequence[str], problem: Problem, by: str) -> None:
    at = await _refuse(tx, _key(turn), texts, problem.code, by)
    if not isinstance(problem, StaleTurn):
        return
    thread = (turn["tenant_id"], turn["interaction_id"])
    unsent = {"turnId": turn["turn_id"], "texts": list(texts), "refusedAt": at}
    await turns.carry(tx, *thread, unsent)
    if turn["stale_reply"] == "hold" and not outdated(**await turns.since(tx, *_key(turn))):
        problem.details.append("turnId: held")
        await threads.withdraw(tx, [thread], "withdrawn: a later one is held")
        await turns.hold(tx, *_key(turn), {"texts": list(texts), "heldAt": at, "by": by})


async def _refuse(tx: Tx, turn: turns.Key, texts: Sequence[str], code: str, by: str, **more: str) -> str:
    """Records what an agent said in vain; returns when."""
    at = instant(await _now(tx))
    await turns.refuse(tx, *turn, {"texts": list(texts), "code": code, "at": at, "by": by} | more)
    return at


async def _now(tx: Tx) -> datetime:
    """By the database's clock, as the times of turns are."""
    return datetime.fromtimestamp(await turns.now(tx), UTC)


def _key(turn: Row) -> tuple[str, str]:
    return turn["tenant_id"], turn["turn_id"]


def _thread(turn: Row) -> tuple[str, str]:
    return turn["tenant_id"], turn["interaction_id"]

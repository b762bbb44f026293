"""Judge and send an agent's replies: one reply, or one list, per turn (contract 6)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.commands import modes, send
from app.domain import ids
from app.domain.orders import Order, Refused, Sent, answer
from app.domain.problems import (
    DncBlocked,
    NoOpenTurn,
    NotFound,
    Problem,
    StaleTurn,
    TurnCancelled,
    TurnClosed,
)
from app.domain.transcripts import instant
from app.store import interactions, notes, threads, turns
from app.store.engine import Row, Tx

SAME_REPLY = timedelta(hours=24)
SAME_REPLY_WITHOUT_TURN = timedelta(minutes=10)
CLOSED = frozenset({"replied", "declined", "handed_off", "expired", "failed"})

Answered = dict[str, Any]
"""The `data` of a send's answer, kept with the turn so that a repeat gets the same."""


async def by_api(tx: Tx, order: Order, agent_id: str | None) -> Answered | Refused:
    """An agent's reply through the API. `agent_id` binds an agent-scoped key to its turns.

    Refusals are values, so that what they record is committed."""
    try:
        turn = await _find(tx, order, agent_id)
    except Problem as unknown:
        return Refused(unknown)
    thread = (order.tenant_id, turn["interaction_id"])
    await threads.lock(tx, [thread])
    turn = await _current(tx, order.tenant_id, turn["turn_id"])
    earlier = _same_reply(turn, [order.text], named=order.turn_id is not None)
    if earlier is not None:
        return earlier[0]
    problem = await _judge(tx, turn, named=order.turn_id is not None)
    if problem is None:
        sent = await _send(tx, turn, [order])
        if isinstance(sent, list):
            await _close(tx, turn, [order.text], sent, "api")
            return sent[0]
        problem = sent.problem
    await _record_refusal(tx, turn, [order.text], problem, "api")
    return Refused(problem)


async def inline(tx: Tx, turn: Row, texts: Sequence[str], lead_id: str) -> None:
    """The reply in the webhook's own answer. The thread's lock is held."""
    problem = await _judge(tx, turn, named=True)
    if problem is None:
        if not texts:
            await turns.replied(
                tx,
                turn["tenant_id"],
                turn["turn_id"],
                "declined",
                "the agent declined",
                None,
            )
            return
        orders = [
            Order(
                tenant_id=turn["tenant_id"],
                message_id=ids.make("msg"),
                thread_id=ids.make("int"),
                lead_id=lead_id,
                interaction_id=turn["interaction_id"],
                text=text,
                source="sms_agent",
                actor=turn["sms_agent_id"],
                turn_id=turn["turn_id"],
            )
            for text in texts
        ]
        sent = await _send(tx, turn, orders)
        if isinstance(sent, list):
            await _close(tx, turn, texts, sent, "inline")
            return
        problem = sent.problem
    await _record_refusal(tx, turn, texts, problem, "inline")


async def hand_off(tx: Tx, turn: Row, reason: str) -> None:
    """The agent asks for a person: agent mode off, `follow_up`, a note. The lock is held."""
    if await _judge(tx, turn, named=True):
        return
    thread = (turn["tenant_id"], turn["interaction_id"])
    await turns.replied(tx, *_key(turn), "handed_off", f"the agent handed off: {reason}", None)
    await modes.switch(tx, {thread: "agent"}, False)
    await threads.set_status(tx, [thread], "follow_up", only_from=modes.NOT_DNC)
    await notes.add(tx, {thread: f"The agent handed over to a person: {reason}"})


async def _find(tx: Tx, order: Order, agent_id: str | None) -> Row:
    """The turn that the reply is for; raises `NotFound` or `NoOpenTurn`."""
    tenant = order.tenant_id
    if order.turn_id:
        turn = await turns.get(tx, tenant, order.turn_id)
        foreign = turn is None or (agent_id is not None and turn["sms_agent_id"] != agent_id)
        if turn is None or foreign or turn["kind"] != "live":
            raise NotFound("There is no turn by that id.")
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
        raise NoOpenTurn
    return newest


async def _current(tx: Tx, tenant_id: str, turn_id: str) -> Row:
    turn = await turns.get(tx, tenant_id, turn_id)
    assert turn is not None
    return turn


def _same_reply(turn: Row, texts: Sequence[str], named: bool) -> list[Answered] | None:
    """The first result, when this very reply was given to the turn before."""
    reply = turn["reply"]
    within = SAME_REPLY if named else SAME_REPLY_WITHOUT_TURN
    if not reply or reply["texts"] != list(texts) or not turn["closed_at"]:
        return None
    recent = datetime.now(UTC) - turn["closed_at"] < within
    answers: list[Answered] = reply["answers"]
    return answers if recent else None


async def _judge(tx: Tx, turn: Row, named: bool) -> Problem | None:
    """Why a reply to the turn may not go out, in the contract's order; None: it may."""
    if await interactions.suppressed(tx, turn["tenant_id"], turn["interaction_id"]):
        return DncBlocked()
    if turn["state"] in CLOSED:
        return TurnClosed(details=[f"turnId: {turn['reason']}"])
    if turn["state"] == "cancelled":
        return TurnCancelled(details=[f"turnId: {turn['reason']}"])
    if turn["state"] == "superseded":
        return StaleTurn()
    if turn["state"] == "collecting":
        return NoOpenTurn(details=["turnId: was not handed over yet"])
    if named and await _lead_wrote_on(tx, turn):
        return StaleTurn()
    return None


async def _lead_wrote_on(tx: Tx, turn: Row) -> bool:
    live = await turns.unfinished(tx, turn["tenant_id"], turn["interaction_id"])
    return any(other["state"] == "collecting" for other in live)


async def _send(tx: Tx, turn: Row, orders: Sequence[Order]) -> list[Answered] | Refused:
    """All of the texts, in order, into the turn's thread; or the first refusal."""
    placed = [
        replace(
            order,
            interaction_id=turn["interaction_id"],
            turn_id=turn["turn_id"],
            source="sms_agent",
        )
        for order in orders
    ]
    sent = await send.texts(tx, placed)
    answers: list[Answered] = []
    for result in sent:
        if isinstance(result, Refused):
            return result
        assert isinstance(result, Sent)
        answers.append(answer(result))
    return answers


async def _close(tx: Tx, turn: Row, texts: Sequence[str], answers: list[Answered], by: str) -> None:
    reply = {
        "texts": list(texts),
        "messageIds": [sent["messageId"] for sent in answers],
        "by": by,
        "answers": answers,
    }
    await turns.replied(tx, *_key(turn), "replied", "answered", reply)


async def _record_refusal(
    tx: Tx, turn: Row, texts: Sequence[str], problem: Problem, by: str
) -> None:
    at = instant(datetime.now(UTC))
    refused = {"texts": list(texts), "code": problem.code, "at": at, "by": by}
    await turns.refuse(tx, *_key(turn), refused)
    if isinstance(problem, StaleTurn):
        unsent = {"turnId": turn["turn_id"], "texts": list(texts), "refusedAt": at}
        await turns.carry(tx, turn["tenant_id"], turn["interaction_id"], unsent)


def _key(turn: Row) -> tuple[str, str]:
    return turn["tenant_id"], turn["turn_id"]

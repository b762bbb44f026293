"""Dry turns (replays, shadows, tests and trials): they POST a turn's payload to an endpoint and record its
answer. Nothing of the answer is ever sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from app.commands import refusals
from app.commands.hand_offs import HANDED_OFF_PREFIX
from app.domain import ids
from app.domain.orders import RefusedOrder
from app.domain.outcomes import By, Outcome, find_unknown, is_same, store_outcome
from app.domain.problems import Invalid, Problem, TurnClosed
from app.domain.turns import HANDED_OVER_STATES, StoredReply, TurnState
from app.domain.windows import REPLY_WITHIN
from app.store import dry_turns, hand_overs, outcomes, replies, turns
from app.store.dry_turns import DryTurn
from app.store.engine import Tx
from app.store.hand_overs import PostEnd
from app.store.turns import Turn, TurnKey

CAUGHT_REASON = "caught"


def build_dry_turn(
    tenant_id: str,
    kind: str,
    body: bytes,
    interaction_id: str | None,
    agent_id: str | None,
    of_turn: str | None,
) -> DryTurn:
    """A new turn with the payload of `body`. Its bytes differ only in the turn id."""
    turn_id = ids.make("turn")
    payload = json.loads(body)
    payload["turn"]["turnId"] = turn_id
    return DryTurn(
        tenant_id=tenant_id,
        turn_id=turn_id,
        interaction_id=interaction_id,
        agent_id=agent_id,
        kind=kind,
        through_seq=payload["turn"]["throughSeq"],
        of_turn=of_turn,
        body=to_json(payload),
    )


async def begin_dry_turns(tx: Tx, new_turns: Sequence[DryTurn]) -> None:
    """Stores the turns that are about to be POSTed."""
    await dry_turns.add(tx, new_turns, REPLY_WITHIN)


@dataclass(frozen=True, slots=True)
class DryTurnResult:
    """The result of a dry turn's only POST. `texts`: the reply (None: there was none); `refused`:
    texts that could not be sent; `wrong`: what is wrong with the answer; `wrong_outcome`: an outcome
    that cannot be understood, and why."""

    state: TurnState
    reason: str | None
    texts: Sequence[str] | None
    refused: Sequence[str]
    wrong: str | None
    outcome: Outcome | None
    wrong_outcome: tuple[dict[str, Any], str] | None
    http_status: int | None
    duration_ms: int
    recorded_answer: str | None


async def settle_dry_turn(tx: Tx, tenant_id: str, turn_id: str, result: DryTurnResult) -> None:
    """Records the endpoint's answer. An empty answer leaves the turn open for a reply by the API."""
    post_end = PostEnd(
        tenant_id=tenant_id,
        turn_id=turn_id,
        attempt=1,
        lease="",
        outcome="failed" if result.state == "failed" else "accepted",
        http_status=result.http_status,
        duration_ms=result.duration_ms,
        answer=result.recorded_answer or result.reason,
    )
    await hand_overs.end_posts(tx, [post_end])
    key = tenant_id, turn_id
    if result.wrong:
        await refusals.refuse_inline(tx, key, result.refused, result.wrong)
    if result.wrong_outcome:
        outcome, fault = result.wrong_outcome
        await refusals.refuse_outcome(tx, key, outcome, Invalid.code, fault, "inline")
    await _record_answer(tx, key, result)
    if result.outcome and (turn := await turns.get(tx, *key)):
        await accept_outcome(tx, turn, result.outcome, "inline")


async def _record_answer(tx: Tx, key: TurnKey, result: DryTurnResult) -> None:
    if result.state == "handed_off":
        reason = f"{HANDED_OFF_PREFIX}{result.reason}"
        if await replies.add_reason(tx, *key, reason):
            return  # already answered by the API
    if result.texts is None:
        await dry_turns.end(tx, *key, result.state, result.reason, None)
    else:
        await _record_reply(tx, key, result.texts, "inline", result.state, result.reason)


async def accept_reply(tx: Tx, turn: Turn, texts: Sequence[str], by: str) -> dict[str, Any] | RefusedOrder:
    """Records an agent's reply to a dry turn; it is never sent. The same reply again is answered as the first
    time."""
    if turn.closed_at:
        if not turn.reply or turn.reply["texts"] != list(texts):
            return RefusedOrder(TurnClosed(details=[f"turnId: {turn.reason}"]))
    else:
        await _record_reply(tx, turn.key, texts, by, "replied")
    return {"status": "caught", "turnId": turn.turn_id}


async def accept_outcome(tx: Tx, turn: Turn, outcome: Outcome, by: By) -> Problem | None:
    """Keeps an agent's outcome of a dry turn, which has no effect. Without a reply it closes the turn.
    Returns why it cannot be kept."""
    problem = await _check_outcome(tx, turn, outcome)
    if problem:
        detail = "; ".join(problem.details)
        await refusals.refuse_outcome(tx, turn.key, store_outcome(outcome), problem.code, detail, by)
        return problem
    stored_outcome = {**store_outcome(outcome), "by": by}
    await outcomes.keep(tx, turn.key, stored_outcome, turn.state in HANDED_OVER_STATES, CAUGHT_REASON)
    return None


async def _check_outcome(tx: Tx, turn: Turn, outcome: Outcome) -> Problem | None:
    if is_same(turn.outcome, outcome):
        return None
    if turn.outcome is not None:
        return TurnClosed(details=["outcome: this turn has another one"])
    message_ids = [answer.message_id for answer in outcome.answers if answer.message_id]
    facts = (await outcomes.get_facts(tx, [turn.key], message_ids)).get(turn.key)
    if facts is None:
        return None  # a test of the agent has no thread, and so no questionnaire
    faults = find_unknown(outcome, facts.question_keys, facts.known_message_ids)
    return Invalid(details=faults) if faults else None


async def _record_reply(
    tx: Tx,
    key: TurnKey,
    texts: Sequence[str],
    by: str,
    state: TurnState,
    reason: str | None = None,
) -> None:
    """Records the reply to a dry turn, and closes the turn with `state`."""
    reply: StoredReply = {"texts": list(texts), "messageIds": [], "by": by}
    await dry_turns.end(tx, *key, state, reason or CAUGHT_REASON, reply)

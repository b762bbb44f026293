"""Settle hand-overs: one transaction for a set of answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app import traces
from app.agents.webhook import Answer, Failed, Taken
from app.commands import modes, reply
from app.domain.turns import UNFINISHED
from app.domain.windows import next_hand_over
from app.jobs.turn_claims import HandOver
from app.store import threads, turns
from app.store.clock import turn_hint
from app.store.engine import Row, Tx
from app.store.turns import Ending


@dataclass(frozen=True, slots=True)
class Said:
    """What came of the POST."""

    answer: Answer
    http_status: int | None
    duration_ms: int
    kept: str | None


Heard = tuple[HandOver, Said]


async def settle(tx: Tx, heard: Sequence[Heard]) -> None:
    """Records the answers, and takes those whose turns are still ours. A lease that ended
    changes nothing but what the agent is known to have heard; a wish for a person counts all
    the same."""
    first = {(handed.tenant_id, handed.turn_id): (handed, said) for handed, said in reversed(heard)}
    await _settle(tx, list(first.values()))
    if len(first) < len(heard):  # a turn whose lease ended, and the same turn again
        await settle(tx, [one for one in heard if one not in first.values()])


async def _settle(tx: Tx, heard: Sequence[Heard]) -> None:
    locked = {(handed.tenant_id, handed.interaction_id) for handed, _ in heard}
    await threads.lock(tx, locked)
    known = await turns.some(tx, [(h.tenant_id, h.turn_id) for h, _ in heard])
    there = [(known[key], h, said) for h, said in heard if (key := (h.tenant_id, h.turn_id)) in known]
    news = await turns.end(tx, [_ending(turn, handed, said) for turn, handed, said in there])
    for turn, _, _ in there:
        if turn["next_due_at"]:  # what collected meanwhile: nobody else looks at once
            tx.hints[turn_hint(turn["tenant_id"], turn["interaction_id"])] = turn["next_due_at"]
    await _take(tx, [(turn, said.answer) for turn, h, said in there if _mine(turn, h)])
    await _take_late(
        tx, [(turn, said.answer) for turn, h, said in there if not _mine(turn, h) and (*_key(turn), h.attempt) in news]
    )


def _mine(turn: Row, handed: HandOver) -> bool:
    return bool(turn["state"] == "delivering" and turn["lease"] == handed.lease)


def _ending(turn: Row, handed: HandOver, said: Said) -> Ending:
    failed = said.answer if isinstance(said.answer, Failed) else None
    mine = _mine(turn, handed)
    return Ending(
        tenant_id=handed.tenant_id,
        turn_id=handed.turn_id,
        attempt=handed.attempt,
        lease=handed.lease,
        outcome="failed" if failed else "accepted",
        http_status=said.http_status,
        duration_ms=said.duration_ms,
        answer=said.kept if said.kept is not None else getattr(said.answer, "why", None),
        heard=not failed and (mine or turn["accepted_at"] is None),
        # No hint: the poll finds it, and a retry is never a matter of milliseconds.
        again=next_hand_over(handed.attempt, failed.retry_after) if failed and mine else None,
    )


async def _take(tx: Tx, answers: Sequence[tuple[Row, Answer]]) -> None:
    failed: list[tuple[Row, str]] = []
    taken: list[tuple[Row, Taken]] = []
    for turn, answer in answers:
        if isinstance(answer, Taken):
            taken.append((turn, answer))
        elif next_hand_over(turn["attempt"], answer.retry_after) is None:
            why = f"the agent's webhook failed {turn['attempt']} times: {answer.why}"
            failed.append((turn, why))
    await modes.fail(tx, failed)
    await _obey(tx, taken)


async def _take_late(tx: Tx, answers: Sequence[tuple[Row, Answer]]) -> None:
    """Of turns that were closed, or are handed over anew: the latter's texts come once more."""
    taken = [(turn, answer) for turn, answer in answers if isinstance(answer, Taken)]
    await _obey(
        tx, [(turn, answer if _is_refusal(turn, answer) else replace(answer, texts=None)) for turn, answer in taken]
    )


def _is_refusal(turn: Row, answer: Taken) -> bool:
    """Whether a closed turn was given texts that it was not answered with."""
    if not answer.texts or turn["state"] in UNFINISHED:
        return False
    return not turn["reply"] or turn["reply"]["texts"] != list(answer.texts)


async def _obey(tx: Tx, taken: Sequence[tuple[Row, Taken]]) -> None:
    """Texts go out before the thread is handed to a person."""
    replies = [(turn, answer.texts) for turn, answer in taken if answer.texts is not None]
    for turn, texts in replies:
        traces.point("reply", turn["turn_id"], texts=len(texts))
    if replies:
        await reply.inline(tx, replies)
    for turn, answer in taken:
        if answer.why:
            await reply.refuse_inline(tx, _key(turn), answer.refused, answer.why)
        if answer.handoff:
            await reply.hand_off(tx, turn, answer.handoff)


def _key(turn: Row) -> turns.Key:
    return turn["tenant_id"], turn["turn_id"]

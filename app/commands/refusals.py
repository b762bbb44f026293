"""Refused replies and outcomes of agents: each is recorded with its turn, and a stale one is shown to the agent
again or held for a person."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.domain.outcomes import RefusedOutcome
from app.domain.problems import Invalid, Problem, StaleTurn
from app.domain.transcripts import format_time
from app.domain.turns import HeldReply, Unsent, is_outdated
from app.store import outcomes, replies, threads, turns
from app.store.engine import Tx
from app.store.turns import Turn, TurnKey


async def record_refusal(
    tx: Tx, turn: Turn, texts: Sequence[str], problem: Problem, by: str, media: Sequence[str] = ()
) -> None:
    """Records why the texts may not be sent. If stale replies are held, with the `media` of the first
    text, adds a detail to `problem`."""
    at = await refuse(tx, turn.key, texts, problem.code, by)
    if not isinstance(problem, StaleTurn):
        return
    unsent_reply: Unsent = {"turnId": turn.turn_id, "texts": list(texts), "refusedAt": at}
    await turns.record_stale_reply(tx, *turn.thread, unsent_reply)
    if turn.stale_reply == "hold" and not is_outdated(await replies.get_later_events(tx, *turn.key)):
        problem.details.append("turnId: held")
        await threads.withdraw_held_replies(tx, [turn.thread], "withdrawn: a later one is held")
        held_reply: HeldReply = {"texts": list(texts), "heldAt": at, "by": by}
        if media:
            held_reply["mediaUrls"] = list(media)
        await replies.hold_reply(tx, *turn.key, held_reply)


async def refuse_inline(tx: Tx, turn: TurnKey, texts: Sequence[str], why: str) -> None:
    """Records an invalid answer of a webhook. The turn stays open for a reply by the API."""
    await refuse(tx, turn, texts, Invalid.code, "inline", detail=why)


async def refuse(tx: Tx, turn: TurnKey, texts: Sequence[str], code: str, by: str, **more: str) -> str:
    """Records a refused reply of an agent; returns the time of the refusal."""
    at = format_time(await get_now(tx))
    await replies.record_refusal(tx, *turn, {"texts": list(texts), "code": code, "at": at, "by": by} | more)
    return at


async def refuse_outcome(tx: Tx, turn: TurnKey, outcome: Mapping[str, Any], code: str, detail: str, by: str) -> None:
    """Records an outcome, or a part of one, that has no effect. The next payload shows it to the agent."""
    at = format_time(await get_now(tx))
    refused_outcome: RefusedOutcome = {
        "turnId": turn[1],
        "outcome": dict(outcome),
        "code": code,
        "detail": detail,
        "refusedAt": at,
    }
    entry = {"texts": [], "outcome": outcome, "code": code, "detail": detail, "at": at, "by": by}
    await outcomes.record_refused(tx, turn, refused_outcome, entry)


async def get_now(tx: Tx) -> datetime:
    """The database's time, by which turns are timed too."""
    return datetime.fromtimestamp(await turns.get_database_time(tx), UTC)

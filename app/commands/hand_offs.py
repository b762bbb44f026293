"""Hand-offs: an agent wants a person to take a thread over."""

from app.commands import modes, refusals
from app.domain.turns import UNFINISHED_STATES, check_handoff
from app.store import interactions, replies
from app.store.engine import Tx
from app.store.turns import Turn

HANDED_OFF_PREFIX = "the agent handed off: "


def build_reason(reason: str) -> str:
    """The reason of a turn that was handed off."""
    return f"{HANDED_OFF_PREFIX}{reason}"


async def hand_off(tx: Tx, turn: Turn, reason: str, has_status: bool = False) -> None:
    """Hands the turn's thread off to a person. `turn` is the row from before the agent's present
    answer was recorded. `has_status`: the answer's outcome set the thread's status. The caller has
    locked the thread."""
    if HANDED_OFF_PREFIX in (turn.reason or ""):
        return  # each turn hands off once
    problem = check_handoff(
        await replies.get_later_events(tx, *turn.key),
        is_suppressed=bool(await interactions.find_suppressed(tx, [turn.thread])),
    )
    if problem:
        refused_handoff = {"handoff": reason, "detail": problem.details[0]}
        await refusals.refuse(tx, turn.key, [], problem.code, "inline", **refused_handoff)
        return
    if turn.state in UNFINISHED_STATES:
        await replies.hand_off(tx, *turn.key, build_reason(reason))
    else:
        await replies.add_reason(tx, *turn.key, build_reason(reason))
    await modes.hand_over(tx, turn, reason, has_status)

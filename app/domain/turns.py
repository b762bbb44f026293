"""The states of a turn, and the rules for its next step and its replies.

    a text comes ──► collecting ──due──► delivering ──2xx──► awaiting_reply
                         │                │  ▲   │               │
                         │        no 2xx ─┘  └───┤ retries       │
                         │                       │               │
           a person writes, mode off, STOP ──► cancelled ◄───────┤
                                                 │               ├─ reply ──► replied, declined
                                 last attempt ─► failed          ├─ handoff ► handed_off
                 the next turn is handed over ─► superseded ◄────┤ (with a reply or none)
                                                                 └─ 10 min ─► expired

A thread has at most one turn in `collecting` and one in `delivering` or `awaiting_reply`; partial
unique indexes enforce it. Every step is made under the thread's row lock. A closed turn has a
reason and never opens again. The agent may reply as soon as the turn is handed over, even before
its webhook answered.

A hand-off concerns the whole thread: it is obeyed in every state of its turn (`check_handoff` says
when not). A turn that is already closed keeps its state, and the hand-off is added to its reason.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from typing import Any

from app.domain.problems import (
    DncBlocked,
    NoOpenTurn,
    Problem,
    StaleTurn,
    TurnCancelled,
    TurnClosed,
)

TurnFacts = Mapping[str, Any]
"""The columns of a turn by name."""
UNFINISHED_STATES = frozenset({"collecting", "delivering", "awaiting_reply"})
CLOSED_STATES = frozenset({"replied", "declined", "handed_off", "expired", "failed"})
STALE_REPLIES_TO_PROTECT = 2
"""After this many stale replies in a row, the next turn is protected."""
PROTECTION_TIME = timedelta(seconds=60)
"""How long the next turn waits for the reply to a protected turn."""
MOST_TEXTS = 10
"""Texts of one reply, at most."""
MAX_ALIKE_IN_A_ROW = 5
ALIKE_RATIO = 0.92
NON_WORD_PATTERN = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class TurnStep:
    """What to do now with the turns of one thread. None of the fields: nothing."""

    due_turn: TurnFacts | None = None
    """The turn to hand over."""
    superseded_turn: TurnFacts | None = None
    """The previous turn, still open, which `due_turn` replaces."""
    waiting_turn: TurnFacts | None = None
    """A turn that is due, but waits for the reply to a protected turn."""
    expired_turn: TurnFacts | None = None
    """A turn that waited too long for its reply."""
    look_at: datetime | None = None
    """When the collecting turn is due, if it is not due yet."""


def decide_step(live: Sequence[TurnFacts]) -> TurnStep:
    """Decides the next step from the thread's unfinished turns, and closed turns whose POST may still
    run (`live`). Besides its columns each turn has `is_due`, and `patient`: it has not yet waited
    for a protected turn."""
    is_posting = any(turn["posting"] and not turn["is_due"] for turn in live)
    collecting_turn = next((turn for turn in live if turn["state"] == "collecting"), None)
    open_turn = next((t for t in live if t["state"] in ("delivering", "awaiting_reply")), None)
    if collecting_turn and collecting_turn["is_due"]:
        if is_posting:
            return TurnStep()  # settling that POST looks at the thread again
        if open_turn and open_turn["protected"] and collecting_turn["patient"]:
            return TurnStep(waiting_turn=collecting_turn)
        return TurnStep(due_turn=collecting_turn, superseded_turn=open_turn)
    look_at = collecting_turn["due_at"] if collecting_turn else None
    if open_turn and open_turn["is_due"]:
        if open_turn["state"] == "awaiting_reply":
            return TurnStep(expired_turn=open_turn, look_at=look_at)
        return TurnStep(due_turn=open_turn, look_at=look_at)
    return TurnStep(look_at=look_at)


def check_reply(
    state: str,
    reason: str | None,
    *,
    is_suppressed: bool,
    is_guarded: bool,
    has_lead_written: bool,
) -> Problem | None:
    """Why a reply to a turn in `state` may not be sent, in the order of docs/contract.md, section 6;
    None: it may.

    `is_guarded`: a stale reply is refused (the reply named its turn, the turn is not protected, and
    the agent does not want stale replies to be sent)."""
    if is_suppressed:
        return DncBlocked()
    if state in CLOSED_STATES:
        return TurnClosed(details=[f"turnId: {reason}"])
    if state == "cancelled":
        return TurnCancelled(details=[f"turnId: {reason}"])
    if state == "collecting":
        return NoOpenTurn(details=["turnId: was not handed over yet"])
    if is_guarded and (state == "superseded" or has_lead_written):
        return StaleTurn()
    return None


def check_handoff(*, is_suppressed: bool, person_wrote: bool, agent_mode: bool) -> Problem | None:
    """Why a hand-off to a person is refused; None: it is obeyed."""
    if is_suppressed:
        return DncBlocked(details=["handoff: the phone may not be texted"])
    if person_wrote:
        return TurnCancelled(details=["handoff: a person wrote"])
    if not agent_mode:
        return TurnCancelled(details=["handoff: agent mode is off"])
    return None


def is_outdated(*, answered: bool, person_wrote: bool, agent_mode: bool) -> bool:
    """Whether a stale reply is of no more use, so that no person is asked about it. The arguments
    are what `store.turns.get_later_events` returns."""
    return answered or person_wrote or not agent_mode


def is_looping(replies: Sequence[str]) -> bool:
    """Whether the five newest replies are nearly the same: two machines may be talking to each
    other."""
    if len(replies) < MAX_ALIKE_IN_A_ROW:
        return False
    first_text, *later_texts = (_bare_text(text)[:400] for text in replies[-MAX_ALIKE_IN_A_ROW:])
    return all(SequenceMatcher(None, first_text, text).ratio() >= ALIKE_RATIO for text in later_texts)


def _bare_text(text: str) -> str:
    return NON_WORD_PATTERN.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()

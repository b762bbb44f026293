"""What may become of a turn (contract 6).

    a text comes ──► collecting ──due──► delivering ──2xx──► awaiting_reply
                         │                │  ▲   │               │
                         │        no 2xx ─┘  └───┤ retries       │
                         │                       │               │
           a person writes, mode off, STOP ──► cancelled ◄───────┤
                                                 │               ├─ reply ──► replied, declined
                                 last attempt ─► failed          ├─ handoff ► handed_off
                 the next turn is handed over ─► superseded ◄────┤ (with a reply or none)
                                                                 └─ 10 min ─► expired

One collecting and one of delivering or awaiting_reply stand in a thread at most; partial unique
indexes hold to it, and every step is made under the thread's row lock. A closed turn has a
reason and never opens again. A turn may be answered from the moment it is handed over, also
before its webhook answered.

A hand-off is a wish about the thread: it is obeyed whatever state its turn is in (`unwanted` says
when not). A turn that is closed already keeps its state, and its reason tells of the wish.
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
"""A turn's columns by name."""
UNFINISHED_STATES = frozenset({"collecting", "delivering", "awaiting_reply"})
CLOSED_STATES = frozenset({"replied", "declined", "handed_off", "expired", "failed"})
STALE_REPLIES_TO_PROTECT = 2
"""So many stale refusals in a row make the next turn protected."""
PROTECTION_TIME = timedelta(seconds=60)
"""So long the successor of a protected turn waits for its reply."""
MOST_TEXTS = 10
"""Of one reply."""
MAX_ALIKE_IN_A_ROW = 5
ALIKE_RATIO = 0.92
NON_WORD_PATTERN = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class TurnStep:
    """What the turns of one thread want now."""

    due_turn: TurnFacts | None = None
    superseded_turn: TurnFacts | None = None
    """The turn before the one that is handed over, still open."""
    waiting_turn: TurnFacts | None = None
    """Due, but first the turn before, which is protected, may be answered."""
    expired_turn: TurnFacts | None = None
    look_at: datetime | None = None
    """When the collecting turn is due, if it is not yet."""


def decide_step(live: Sequence[TurnFacts]) -> TurnStep:
    """`live`: the thread's unfinished turns, and closed ones of which a POST may still be on its
    way. Each says beside its columns whether it `is_due`, and whether it is `patient`: it has not
    yet waited for a protected one."""
    is_posting = any(turn["posting"] and not turn["is_due"] for turn in live)
    collecting_turn = next((turn for turn in live if turn["state"] == "collecting"), None)
    open_turn = next((t for t in live if t["state"] in ("delivering", "awaiting_reply")), None)
    if collecting_turn and collecting_turn["is_due"]:
        if is_posting:
            return TurnStep()  # its settling looks here again
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
    """Why a reply to a turn in `state` may not go out, in the contract's order; None: it may.

    `is_guarded`: a stale reply is refused (it named its turn, the turn is not protected, and the
    agent does not want stale replies sent)."""
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


def unwanted(*, suppressed: bool, person_wrote: bool, agent_mode: bool) -> Problem | None:
    """Why an agent's wish to hand the thread to a person is not obeyed; None: it is."""
    if suppressed:
        return DncBlocked(details=["handoff: the phone is not to be texted"])
    if person_wrote:
        return TurnCancelled(details=["handoff: a person wrote"])
    if not agent_mode:
        return TurnCancelled(details=["handoff: agent mode is off"])
    return None


def outdated(*, answered: bool, person_wrote: bool, agent_mode: bool) -> bool:
    """Whether a stale reply is so for good: nobody is asked any more whether it shall go."""
    return answered or person_wrote or not agent_mode


def is_looping(replies: Sequence[str]) -> bool:
    """Whether the newest replies say nearly the same, five in a row: two machines may be
    talking to each other."""
    if len(replies) < MAX_ALIKE_IN_A_ROW:
        return False
    first_text, *later_texts = (_bare_text(text)[:400] for text in replies[-MAX_ALIKE_IN_A_ROW:])
    return all(SequenceMatcher(None, first_text, text).ratio() >= ALIKE_RATIO for text in later_texts)


def _bare_text(text: str) -> str:
    return NON_WORD_PATTERN.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()

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

Facts = Mapping[str, Any]
"""A turn's columns by name."""
UNFINISHED = frozenset({"collecting", "delivering", "awaiting_reply"})
CLOSED = frozenset({"replied", "declined", "handed_off", "expired", "failed"})
PROTECTS = 2
"""So many stale refusals in a row make the next turn protected."""
PROTECTED_FOR = timedelta(seconds=60)
"""So long the successor of a protected turn waits for its reply."""
MOST_TEXTS = 10
"""Of one reply."""
ALIKE_IN_A_ROW = 5
ALIKE = 0.92
NOT_WORDS = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class Step:
    """What the turns of one thread want now."""

    hand_over: Facts | None = None
    supersedes: Facts | None = None
    """The turn before the one that is handed over, still open."""
    waits: Facts | None = None
    """Due, but first the turn before, which is protected, may be answered."""
    expires: Facts | None = None
    look_at: datetime | None = None
    """When the collecting turn is due, if it is not yet."""


def step(live: Sequence[Facts]) -> Step:
    """`live`: the thread's unfinished turns, and closed ones of which a POST may still be on its
    way. Each says beside its columns whether it `is_due`, and whether it is `patient`: it has not
    yet waited for a protected one."""
    posting = any(turn["posting"] and not turn["is_due"] for turn in live)
    collecting = next((turn for turn in live if turn["state"] == "collecting"), None)
    waiting = next((t for t in live if t["state"] in ("delivering", "awaiting_reply")), None)
    if collecting and collecting["is_due"]:
        if posting:
            return Step()  # its settling looks here again
        if waiting and waiting["protected"] and collecting["patient"]:
            return Step(waits=collecting)
        return Step(hand_over=collecting, supersedes=waiting)
    look_at = collecting["due_at"] if collecting else None
    if waiting and waiting["is_due"]:
        if waiting["state"] == "awaiting_reply":
            return Step(expires=waiting, look_at=look_at)
        return Step(hand_over=waiting, look_at=look_at)
    return Step(look_at=look_at)


def refusal(
    state: str,
    reason: str | None,
    *,
    suppressed: bool,
    guarded: bool,
    lead_wrote_on: bool,
) -> Problem | None:
    """Why a reply to a turn in `state` may not go out, in the contract's order; None: it may.

    `guarded`: a stale reply is refused (it named its turn, the turn is not protected, and the
    agent does not want stale replies sent)."""
    if suppressed:
        return DncBlocked()
    if state in CLOSED:
        return TurnClosed(details=[f"turnId: {reason}"])
    if state == "cancelled":
        return TurnCancelled(details=[f"turnId: {reason}"])
    if state == "collecting":
        return NoOpenTurn(details=["turnId: was not handed over yet"])
    if guarded and (state == "superseded" or lead_wrote_on):
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


def loops(replies: Sequence[str]) -> bool:
    """Whether the newest replies say nearly the same, five in a row: two machines may be
    talking to each other."""
    if len(replies) < ALIKE_IN_A_ROW:
        return False
    first, *others = (_bare(text)[:400] for text in replies[-ALIKE_IN_A_ROW:])
    return all(SequenceMatcher(None, first, other).ratio() >= ALIKE for other in others)


def _bare(text: str) -> str:
    return NOT_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()

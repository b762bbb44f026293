"""What may become of a turn (contract 6).

    a text comes ──► collecting ──due──► delivering ──2xx──► awaiting_reply
                         │                │  ▲   │               │
                         │        no 2xx ─┘  └───┤ retries       │
                         │                       │               │
           a person writes, mode off, STOP ──► cancelled ◄───────┤
                                                 │               ├─ reply ──► replied, declined
                                 last attempt ─► failed          ├─ handoff ► handed_off
                 the next turn is handed over ─► superseded ◄────┤
                                                                 └─ 10 min ─► expired

One collecting and one of delivering or awaiting_reply stand in a thread at most; partial unique
indexes hold to it, and every step is made under the thread's row lock. A closed turn has a
reason and never opens again. A turn may be answered from the moment it is handed over, also
before its webhook answered.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from difflib import SequenceMatcher

from app.domain.problems import (
    DncBlocked,
    NoOpenTurn,
    Problem,
    StaleTurn,
    TurnCancelled,
    TurnClosed,
)

CLOSED = frozenset({"replied", "declined", "handed_off", "expired", "failed"})
PROTECTS = 2
"""So many stale refusals in a row make the next turn protected."""
PROTECTED_FOR = timedelta(seconds=60)
"""So long the successor of a protected turn waits for its reply."""
ALIKE_IN_A_ROW = 5
ALIKE = 0.92
NOT_WORDS = re.compile(r"[\W\d_]+")


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


def loops(replies: Sequence[str]) -> bool:
    """Whether the newest replies say nearly the same, five in a row: two machines may be
    talking to each other."""
    if len(replies) < ALIKE_IN_A_ROW:
        return False
    first, *others = (_bare(text)[:400] for text in replies[-ALIKE_IN_A_ROW:])
    return all(SequenceMatcher(None, first, other).ratio() >= ALIKE for other in others)


def _bare(text: str) -> str:
    return NOT_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()

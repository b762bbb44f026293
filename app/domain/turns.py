"""The states of a turn, and the rules for its next step and its replies.

    a text comes ──► collecting ──due──► delivering ──2xx──► awaiting_reply
                         │                │  ▲   │               │
                         │        no 2xx ─┘  └───┤ retries       │
                         │                       │               │
           a person writes, mode off, STOP ──► cancelled ◄───────┤
                                                 │               ├─ reply ──► replied, declined
                                                 │               ├─ outcome ► concluded
                                 last attempt ─► failed          ├─ handoff ► handed_off
                 the next turn is handed over ─► superseded ◄────┤ (with a reply or none)
                                                                 └─ 10 min ─► expired

A thread has at most one turn in `collecting` and one in `delivering` or `awaiting_reply`; partial
unique indexes enforce it. Every step is made under the thread's row lock. A closed turn has a
reason and never opens again. The agent may reply as soon as the turn is handed over, even before
its webhook answered.

A turn that no text of the lead began (`Trigger`) is `planned` until its moment, and then `delivering`
at once: a text of the lead that comes meanwhile begins a turn of its own, which supersedes it. Its reply
is never sent after the lead wrote.

A hand-off concerns the whole thread: it is obeyed in every state of its turn (`check_handoff` says
when not). A turn that is already closed keeps its state, and the hand-off is added to its reason.

An outcome closes an open turn that gets no reply and no hand-off (`app.domain.outcomes`). A closed turn
keeps its state and gets the outcome beside it.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from typing import Annotated, Any, Literal, NotRequired, get_args

from pydantic import Field
from typing_extensions import TypedDict

from app.domain.problems import (
    DncBlocked,
    NoOpenTurn,
    Problem,
    StaleTurn,
    TurnCancelled,
    TurnClosed,
)
from app.domain.words import InteractionStatus

Trigger = Literal["texts", "opening", "silence", "scheduled", "failed_delivery"]
"""Why there is a turn: the lead wrote, or one of the reasons in `domain.follow_ups`."""
HandedOverState = Literal["delivering", "awaiting_reply"]
UnfinishedState = Literal["collecting", HandedOverState]
ClosedState = Literal["replied", "declined", "concluded", "handed_off", "superseded", "cancelled", "expired", "failed"]
TurnState = Literal["planned", UnfinishedState, ClosedState]
TurnKind = Literal["live", "replay", "shadow", "test", "trial"]
TURN_STATES: tuple[TurnState, ...] = ("planned", *get_args(UnfinishedState), *get_args(ClosedState))
HANDED_OVER_STATES: tuple[HandedOverState, ...] = get_args(HandedOverState)
UNFINISHED_STATES: tuple[UnfinishedState, ...] = get_args(UnfinishedState)
NOT_HANDED_OVER_STATES: tuple[TurnState, ...] = ("planned", "collecting")
"""No agent has been told of such a turn, so none can answer it."""
UNHEARD_STATES: tuple[ClosedState, ...] = ("failed", "superseded")
"""States of a closed turn whose texts may never have reached an agent."""
STALE_REPLIES_TO_PROTECT = 2
"""After this many stale replies in a row, the next turn is protected."""
PROTECTION_TIME = timedelta(seconds=60)
"""How long the next turn waits for the reply to a protected turn."""
MAX_TEXTS_PER_REPLY = 10
MAX_ALIKE_IN_A_ROW = 5
ALIKE_RATIO = 0.92
NON_WORD_PATTERN = re.compile(r"[\W\d_]+")


class Asked(TypedDict):
    key: str
    question: str


class Known(Asked):
    answer: str


class StoredReply(TypedDict):
    """The reply that closed a turn."""

    texts: list[str]
    messageIds: list[str]
    by: str
    """`api` or `inline`."""
    answers: NotRequired[list[dict[str, Any]]]
    """The `data` of the answer for each text; a repeat gets the same. A dry turn has none."""


class HeldReply(TypedDict):
    """A stale reply that waits for a person."""

    texts: list[str]
    mediaUrls: NotRequired[list[str]]
    """Addresses of files that go with the first text."""
    heldAt: str
    by: str


class Unsent(TypedDict):
    """A reply that came too late: the lead had written again."""

    turnId: str
    texts: list[str]
    refusedAt: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class AgentNote(TypedDict):
    """What a person wrote for the agent."""

    messageId: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TurnContext:
    """The thread of a turn, its lead, its campaign and its agent: what a payload says besides the
    texts."""

    tenant_id: str
    turn_id: str
    interaction_id: str
    status: InteractionStatus
    lead_phone: str
    our_number: str
    last_seq: int
    lead_id: str
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    lead_status: str
    tags: list[str]
    custom_fields: dict[str, Any]
    answers: list[Known]
    campaign_id: str | None
    campaign_name: str | None
    client_name: str | None
    offer_name: str | None
    questions: list[Asked]
    sms_agent_id: str
    notes: Annotated[list[AgentNote] | None, "jsonb"]
    """The newest, oldest first; None: there are none."""


@dataclass(frozen=True, slots=True)
class LiveTurn:
    """A live turn that still matters for the next step of its thread."""

    tenant_id: str
    interaction_id: str
    turn_id: str
    state: TurnState
    due_at: datetime
    posting: bool
    protected: bool
    attempt: int
    accepted_at: datetime | None
    unsent_reply: Unsent | None
    is_due: bool
    is_patient: bool
    """It has not yet waited for the reply to a protected turn."""
    trigger: Trigger = "texts"
    step: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.tenant_id, self.turn_id

    @property
    def thread(self) -> tuple[str, str]:
        return self.tenant_id, self.interaction_id


@dataclass(frozen=True, slots=True)
class TurnStep:
    """What to do now with the turns of one thread. None of the fields: nothing."""

    due_turn: LiveTurn | None = None
    """The turn to hand over."""
    superseded_turn: LiveTurn | None = None
    """The previous turn, still open, which `due_turn` replaces."""
    waiting_turn: LiveTurn | None = None
    """A turn that is due, but waits for the reply to a protected turn."""
    expired_turn: LiveTurn | None = None
    """A turn that waited too long for its reply."""
    look_at: datetime | None = None
    """When the collecting turn is due, if it is not due yet."""


def decide_step(live: Sequence[LiveTurn]) -> TurnStep:
    """Decides the next step from the thread's unfinished turns, and closed turns whose POST may still
    run (`live`)."""
    is_posting = any(turn.posting and not turn.is_due for turn in live)
    collecting_turn = next((turn for turn in live if turn.state == "collecting"), None)
    open_turn = next((turn for turn in live if turn.state in HANDED_OVER_STATES), None)
    if collecting_turn and collecting_turn.is_due:
        if is_posting:
            return TurnStep()  # settling that POST looks at the thread again
        if open_turn and open_turn.protected and collecting_turn.is_patient:
            return TurnStep(waiting_turn=collecting_turn)
        return TurnStep(due_turn=collecting_turn, superseded_turn=open_turn)
    look_at = collecting_turn.due_at if collecting_turn else None
    if open_turn and open_turn.is_due:
        if collecting_turn and open_turn.trigger != "texts" and open_turn.state == "delivering":
            return TurnStep(superseded_turn=open_turn, look_at=look_at)  # what it asks about is over
        if open_turn.state == "awaiting_reply":
            return TurnStep(expired_turn=open_turn, look_at=look_at)
        return TurnStep(due_turn=open_turn, look_at=look_at)
    return TurnStep(look_at=look_at)


def check_reply(
    state: TurnState,
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
    if state == "cancelled":
        return TurnCancelled(details=[f"turnId: {reason}"])
    if state in NOT_HANDED_OVER_STATES:
        return NoOpenTurn(details=["turnId: was not handed over yet"])
    if state != "superseded" and state not in HANDED_OVER_STATES:
        return TurnClosed(details=[f"turnId: {reason}"])
    if is_guarded and (state == "superseded" or has_lead_written):
        return StaleTurn()
    return None


@dataclass(frozen=True, slots=True)
class LaterEvents:
    """What happened in a thread after one of its turns was handed over."""

    agent_mode: bool
    """As of now."""
    person_wrote: bool
    """A person wrote, or sent a held reply of the agent."""
    answered: bool
    """A later turn was answered."""
    handed_over: bool
    """A later turn was handed over."""


def check_handoff(later_events: LaterEvents, *, is_suppressed: bool) -> Problem | None:
    """Why a hand-off to a person is refused; None: it is obeyed."""
    if is_suppressed:
        return DncBlocked(details=["handoff: the phone may not be texted"])
    if later_events.person_wrote:
        return TurnCancelled(details=["handoff: a person wrote"])
    if not later_events.agent_mode:
        return TurnCancelled(details=["handoff: agent mode is off"])
    return None


def is_outdated(later_events: LaterEvents) -> bool:
    """Whether a stale reply is of no more use, so that no person is asked about it."""
    return later_events.answered or later_events.person_wrote or not later_events.agent_mode


def is_looping(replies: Sequence[str]) -> bool:
    """Whether the five newest replies are nearly the same: two machines may be talking to each
    other."""
    if len(replies) < MAX_ALIKE_IN_A_ROW:
        return False
    first_text, *later_texts = (_bare_text(text)[:400] for text in replies[-MAX_ALIKE_IN_A_ROW:])
    return all(SequenceMatcher(None, first_text, text).ratio() >= ALIKE_RATIO for text in later_texts)


def _bare_text(text: str) -> str:
    return NON_WORD_PATTERN.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()

"""Turns that no text of the lead begins: when one comes, waits, or comes never.

A thread has at most one planned turn of each trigger:

* `opening`: somebody asked that the agent writes first, now or at a time.
* `silence`: the lead has not answered for so long as a step of the agent's `followUps` says.
* `scheduled`: the agent itself asked to be woken, by `followUpAt`.
* `failed_delivery`: a text of ours did not arrive.

What is planned is judged anew under the thread's lock when its moment comes. The thread as it is then
decides, not what was true when it was planned: so a text of the lead needs to cancel nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from app.domain.turns import Trigger
from app.domain.windows import find_opening

Condition = Literal["no_reply", "replied", "unanswered_question"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
MAX_STEPS = 5
STEP_MINUTES = (1, 43_200)
MAX_AHEAD = timedelta(days=35)
MAX_SCHEDULED_IN_A_ROW = 5
"""How often an agent may wake itself until the lead writes."""
OPENING_PATIENCE = timedelta(hours=24)
"""How late an opening may be."""
FAILURE_PATIENCE = timedelta(hours=1)
"""How late a turn about a text that did not arrive may be."""
BUSY_WAIT = timedelta(minutes=1)
"""How long a turn waits for an unfinished one, or for a text of ours that has not left yet."""
FOLLOWED_STATUSES = ("in_progress", "incomplete")
"""Silence is followed up in these. In others a person is needed, or the conversation has ended."""
FINISHED_STATUSES = ("completed", "qualified", "disqualified", "dnc")
UNDELIVERED_STATUSES = ("failed", "undelivered", "cancelled")
UNSENT_STATUSES = ("queued", "sending")
FOLLOWED_SOURCES = ("api", "sms_agent")
"""After a person's text the person goes on; the service's own texts answer the lead."""
QUESTION_MARKS = frozenset("?\u00bf\uff1f\u061f\u055e\u1367\u2047\u2048\u2049")
WROTE_REASON = "somebody wrote meanwhile"
LATE_REASON = "its moment had passed while the service was away"


@dataclass(frozen=True, slots=True)
class ThreadFacts:
    """A thread as a turn that nobody asked for finds it, and one of its planned turns (None: it has
    none)."""

    tenant_id: str
    interaction_id: str
    now: datetime
    status: str
    agent_mode: bool
    is_suppressed: bool
    is_number_on: bool
    """Neither the number nor the tenant is paused, and the number is active."""
    is_resting: bool
    """The loop breaker has paused the agent in this thread."""
    awaits_person: bool
    """A text may be an opt-out, or a stale reply of the agent waits."""
    has_open_turn: bool
    sms_agent_id: str | None
    is_agent_paused: bool | None
    follow_ups: list[Any] | None
    """The steps, each as `{after_minutes, only_if}`."""
    wants_failures: bool | None
    """The agent gets a turn when a text of ours does not arrive."""
    business_hours: dict[str, Any] | None
    has_lead_written: bool
    newest_seq: int | None
    """The newest text of the thread, and what is known of it; None: there is none."""
    newest_role: str | None
    newest_source: str | None
    newest_status: str | None
    newest_text: str | None
    newest_at: datetime
    """When the newest text was sent or came."""
    unreleased_at: datetime | None
    """When the last text of ours that is scheduled or held will leave; None: there is none."""
    steps_done: int
    """The highest step that was handed over since the lead last wrote."""
    last_step_at: datetime | None
    stopped_seq: int | None
    """The newest seq of a turn after silence that was called off before it was handed over."""
    has_heard_of_failure: bool
    """A turn about a text that did not arrive is planned, or was handed over since the lead last wrote."""
    wakes_at: datetime | None
    """When a turn is planned that the agent asked for."""
    wakes_done: int
    """How many turns that the agent asked for were handed over since the lead last wrote."""
    turn_id: str | None
    trigger: Trigger | None
    step: int | None
    through_seq: int | None
    asked_at: datetime | None
    moment: datetime | None
    has_news: bool
    """The lead or a person wrote after the turn was planned."""

    @property
    def thread(self) -> tuple[str, str]:
        return self.tenant_id, self.interaction_id


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The next turn after silence."""

    step: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Wait:
    """The planned turn is not due yet, or not any more."""

    until: datetime
    step: int | None
    is_moved: bool
    """Its moment is another one; else it only waits for something that ends soon."""


@dataclass(frozen=True, slots=True)
class Void:
    """The planned turn never comes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """The planned turn begins now."""

    step: int | None


Verdict = Wait | Void | Start


def parse_moment(value: object) -> datetime | str:
    """The time at which an agent wants to be woken; or what is wrong with it. Whether it is ahead is judged
    when it is planned."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        return "followUpAt: must be a time such as 2026-02-16T09:00:00Z, with an offset"
    return moment


def find_moment_fault(moment: datetime, now: datetime) -> str | None:
    """Why no turn may be planned for this moment; None: one may."""
    if moment <= now:
        return "is in the past"
    if moment > now + MAX_AHEAD:
        return f"is more than {MAX_AHEAD.days} days ahead"
    return None


def judge_planned(facts: ThreadFacts) -> Verdict:
    """What becomes of the planned turn now."""
    if facts.trigger == "silence":
        follow_up = decide_follow_up(facts)
        if isinstance(follow_up, str):
            return Void(follow_up)
        if follow_up.due_at > facts.now:
            return Wait(follow_up.due_at, follow_up.step, is_moved=True)
        verdict: Verdict = Start(follow_up.step)
    else:
        verdict = _judge_asked(facts)
    if isinstance(verdict, Start) and facts.has_open_turn:
        return Wait(facts.now + BUSY_WAIT, verdict.step, is_moved=False)
    return verdict


def _judge_asked(facts: ThreadFacts) -> Verdict:
    """The same for a turn that somebody, or the agent, asked for."""
    assert facts.moment is not None
    assert facts.asked_at is not None
    if obstacle := find_obstacle(facts):
        return Void(obstacle)
    if facts.has_news:
        return Void(WROTE_REASON)
    moment = _in_business_hours(facts.moment, facts.business_hours)
    if moment > facts.now:
        return Wait(moment, None, is_moved=False)
    if facts.now > moment + _get_patience(facts, facts.moment - facts.asked_at):
        return Void(LATE_REASON)
    return Start(None)


def _get_patience(facts: ThreadFacts, interval: timedelta) -> timedelta:
    """How late the turn may be. `interval`: how long before it was asked for."""
    if facts.trigger == "opening":
        return OPENING_PATIENCE
    return FAILURE_PATIENCE if facts.trigger == "failed_delivery" else interval


def needs_failure_turn(facts: ThreadFacts) -> bool:
    """Whether the agent gets a turn because our newest text did not arrive: once until the lead writes, because
    the answer may not arrive either."""
    return (
        bool(facts.wants_failures)
        and facts.newest_role == "agent"
        and facts.newest_source in FOLLOWED_SOURCES
        and facts.newest_status in ("failed", "undelivered")
        and not facts.has_heard_of_failure
        and find_obstacle(facts) is None
    )


def decide_follow_up(facts: ThreadFacts) -> FollowUp | str:
    """The next turn after silence; or why there is none.

    A step comes at most once until the lead writes, and never when its moment has passed by more than
    its own interval: then the next step is looked at. Every interval counts from our newest text and
    from the step before, so two steps never come together."""
    if obstacle := _find_end_of_silence(facts):
        return obstacle
    last_at = max(facts.newest_at, facts.last_step_at or facts.newest_at)
    planned_step = facts.step if facts.trigger == "silence" and facts.step and not facts.has_news else 1
    first_step = max(facts.steps_done + 1, planned_step)
    for number, fields in enumerate(facts.follow_ups or (), 1):
        interval = timedelta(minutes=fields["after_minutes"])
        if number < first_step or not all(_holds(condition, facts) for condition in fields["only_if"]):
            continue
        due_at = last_at + interval
        for other_at in (facts.unreleased_at, facts.wakes_at):
            if other_at:
                due_at = max(due_at, other_at + interval)
        if facts.moment and facts.step == number and facts.through_seq == facts.newest_seq:
            due_at = max(due_at, facts.moment)  # a person said: not now
        due_at = _in_business_hours(due_at, facts.business_hours)
        if facts.now > due_at + interval:
            continue
        if facts.newest_status in UNSENT_STATUSES:
            due_at = max(due_at, facts.now + BUSY_WAIT)
        return FollowUp(number, due_at)
    return "no step is left"


def _find_end_of_silence(facts: ThreadFacts) -> str | None:
    if obstacle := find_obstacle(facts):
        return obstacle
    if facts.status not in FOLLOWED_STATUSES:
        return f"the conversation is {facts.status.replace('_', ' ')}"
    if facts.newest_seq is None:
        return "nobody has written yet"
    if facts.newest_role != "agent":
        return "the lead wrote"
    if facts.newest_source not in FOLLOWED_SOURCES:
        return "a person wrote" if facts.newest_source == "manual" else "the lead wrote"
    if facts.newest_status in UNDELIVERED_STATUSES:
        return "our newest text did not arrive"
    if facts.stopped_seq is not None and facts.stopped_seq >= facts.newest_seq:
        return "it was called off"
    return None


def find_obstacle(facts: ThreadFacts) -> str | None:
    """Why the agent may begin no turn in the thread; None: it may."""
    if facts.is_suppressed:
        return "the phone may not be texted"
    if not facts.agent_mode:
        return "agent mode is off"
    if facts.status in FINISHED_STATUSES:
        return f"the conversation is {facts.status}"
    if facts.sms_agent_id is None:
        return "no active agent serves this thread"
    if facts.is_agent_paused or facts.is_resting:
        return "the agent is paused"
    if not facts.is_number_on:
        return "the number is paused or switched off"
    if facts.awaits_person:
        return "a person decides first"
    return None


def _holds(condition: Condition, facts: ThreadFacts) -> bool:
    if condition == "unanswered_question":
        return bool(QUESTION_MARKS & set(facts.newest_text or ""))
    return facts.has_lead_written == (condition == "replied")


def _in_business_hours(moment: datetime, business_hours: dict[str, Any] | None) -> datetime:
    return find_opening(moment, business_hours) if business_hours else moment

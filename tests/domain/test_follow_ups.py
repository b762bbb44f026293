"""Whatever happens in a thread, in whatever order, and however long no worker runs: silence is followed up, and
nobody is nagged. A small world plays schedules with moved time; what must hold is judged from its own record."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.follow_ups import (
    BUSY_WAIT,
    FOLLOWED_STATUSES,
    FollowUp,
    Start,
    ThreadFacts,
    Void,
    Wait,
    decide_follow_up,
    find_moment_fault,
    judge_planned,
    parse_moment,
)

BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LOOK = timedelta(seconds=5)
QUIET = timedelta(days=5)
EVENTS = (
    *["lead"] * 3, *["agent"] * 3, "api", "manual", "help", "handoff", *["off"] * 2, *["on"] * 4, "stop", "start",
    "dnc", "qualified", "follow_up", "in_progress", "in_progress", "pause", "resume", "held", "undelivered", "skip",
    "later",
)  # fmt: skip
GAPS = (0, 1, 7, 30, 59, 61, 90, 240, 600, 17 * 60)
STEPS = ([60], [30, 60], [60, 240, 1440], [5, 5, 5, 5, 5], [1440, 60], [90, 30, 720, 10, 2880])


@dataclass(slots=True)
class Text:
    at: datetime
    role: str
    source: str
    arrives: bool = True


@dataclass(slots=True)
class Plan:
    step: int
    due_at: datetime
    moment: datetime
    seq: int
    asked_at: datetime


@dataclass(slots=True)
class HandOver:
    """A turn after silence that was handed over."""

    step: int
    at: datetime
    seq: int
    due_at: datetime


@dataclass(slots=True)
class Thread:
    """A thread, as tables and a worker would keep it."""

    steps: list[int]
    random: random.Random
    hours: dict[str, Any] | None = None
    now: datetime = BEGIN
    texts: list[Text] = field(default_factory=list)
    mode: bool = True
    status: str = "in_progress"
    stopped: bool = False
    paused: bool = False
    held_until: datetime | None = None
    plan: Plan | None = None
    hand_overs: list[HandOver] = field(default_factory=list)
    stopped_seq: int | None = None
    seen_seq: int = 0
    """The newest text that a look has seen."""
    off_seq: int = 0
    """The text after which a follow-up was called off: the test's own record."""

    # What happens.

    def happen(self, event: str) -> None:
        self.now += timedelta(seconds=1)
        match event:
            case "lead" | "stop" | "start" | "help":
                self._write("user", "inbound")
                if event == "stop":
                    self.stopped, self.status = True, "dnc"
                    self._call_off()
                elif event == "start" and self.stopped:
                    self.stopped, self.status = False, "in_progress"
                elif event == "help" and not self.stopped:
                    self._write("agent", "system")
            case "agent" | "api":
                if not self.stopped:
                    self._write("agent", "api" if event == "api" else "sms_agent")
            case "undelivered":
                if self.texts and self.texts[-1].role == "agent":
                    self.texts[-1].arrives = False
            case "manual":
                if not self.stopped:
                    self._write("agent", "manual")
                    self._call_off()
            case "handoff" if self.mode:
                self.mode, self.status = False, self.status if self.stopped else "follow_up"
                self._call_off()
            case "off":
                self.mode = False
                self._call_off()
            case "on":
                self.mode = True
                self._look_at_silence()
            case "dnc":
                self.stopped, self.status = True, "dnc"
                self._call_off()
            case "qualified" | "follow_up" | "in_progress" if not self.stopped:
                self.status = event
            case "pause" | "resume":
                self.paused = event == "pause"
            case "held":
                self.held_until = self.now + 9 * 60 * MINUTE
            case "skip" if self.plan:
                facts = self._facts()
                next_step = decide_follow_up(_replace(facts, step=self.plan.step + 1, moment=None))
                if isinstance(next_step, FollowUp):
                    self.plan.step, self.plan.due_at = next_step.step, next_step.due_at
                    self.plan.moment, self.plan.seq = next_step.due_at, len(self.texts)
                else:
                    self._cancel()
            case "later" if self.plan:
                self.plan.due_at = self.plan.moment = self.now + 300 * MINUTE
                if not self._has_news():
                    self.plan.seq = len(self.texts)

    def _write(self, role: str, source: str) -> None:
        self.texts.append(Text(self.now, role, source))

    def _call_off(self) -> None:
        """A command that cancels the planned turns in its own statement."""
        if self.plan and not self.texts_since(self.plan.asked_at):
            self.off_seq = self.plan.seq
        self._cancel()

    def _cancel(self) -> None:
        if self.plan:
            if not self.texts_since(self.plan.asked_at):
                self.stopped_seq = max(self.stopped_seq or 0, self.plan.seq)
            self.plan = None

    def texts_since(self, at: datetime) -> list[Text]:
        return [text for text in self.texts if text.role == "user" and text.at > at]

    # What a worker does.

    def pass_time(self, span: timedelta, away: bool) -> None:
        """So much time passes; with a worker, unless it is away."""
        end = self.now + span
        while not away:
            self.work()
            moments = [self.plan.due_at] if self.plan else []
            moments += [self.now] if self.seen_seq < len(self.texts) else []
            moments += [self.held_until] if self.held_until else []
            at = max(min(moments, default=end), self.now + LOOK)
            if at >= end:
                break
            self.now = at
        self.now = end

    def work(self) -> None:
        """A worker looks for silence, then at what is due."""
        if self.held_until and self.held_until <= self.now:
            self.held_until = None
            self._write("agent", "sms_agent")
        last = self.texts[-1] if self.texts else None
        is_new = self.plan is None or (last and self.plan.asked_at < last.at)
        if last and last.role == "agent" and self.mode and is_new and self.seen_seq < len(self.texts):
            self._look_at_silence()
        self.seen_seq = len(self.texts)
        if self.plan is None or self.plan.due_at > self.now:
            return
        match judge_planned(self._facts()):
            case Start() as start:
                assert start.step is not None
                self._give(start.step)
            case Wait() as wait:
                assert wait.until > self.now, "a turn that waits must not be due"
                self.plan.due_at = wait.until
                if wait.is_moved:
                    self.plan.moment, self.plan.seq = wait.until, len(self.texts)
                    self.plan.step = wait.step or self.plan.step
            case Void() as void:
                assert void.reason
                self._cancel()

    def _look_at_silence(self) -> None:
        follow_up = decide_follow_up(self._facts())
        if isinstance(follow_up, FollowUp):
            self.plan = Plan(follow_up.step, follow_up.due_at, follow_up.due_at, len(self.texts), self.now)

    def _give(self, step: int) -> None:
        assert self.plan is not None
        due_at = self.plan.moment if self.plan.step == step else BEGIN
        self.hand_overs.append(HandOver(step, self.now, len(self.texts), due_at))
        self.plan = None
        self.check_given()
        next_step = decide_follow_up(self._facts())
        if isinstance(next_step, FollowUp):
            due_at = next_step.due_at
            self.plan = Plan(next_step.step, due_at, due_at, len(self.texts), self.now)
        self._answer(self.random.choice(["reply", "reply", "reply", "decline", "hold"]))

    def _answer(self, how: str) -> None:
        if how == "reply":
            self._write("agent", "sms_agent")
        elif how == "hold":
            self.held_until = self.now + 8 * 60 * MINUTE

    def _has_news(self) -> bool:
        if self.plan is None:
            return False
        return any(text.role == "user" or text.source == "manual" for text in self.texts[self.plan.seq :])

    def _facts(self) -> ThreadFacts:
        last = self.texts[-1] if self.texts else None
        wrote_at = max((text.at for text in self.texts if text.role == "user"), default=None)
        past = [one for one in self.hand_overs if wrote_at is None or one.at > wrote_at]
        return ThreadFacts(
            tenant_id="org", interaction_id="int", now=self.now, status=self.status, agent_mode=self.mode,
            is_suppressed=self.stopped, is_number_on=True, is_resting=False, awaits_person=False,
            has_open_turn=False, sms_agent_id="smsagent", is_agent_paused=self.paused,
            follow_ups=[{"after_minutes": minutes, "only_if": []} for minutes in self.steps],
            wants_failures=False, business_hours=self.hours, has_lead_written=wrote_at is not None,
            newest_seq=len(self.texts) if last else None, newest_role=last.role if last else None,
            newest_source=last.source if last else None,
            newest_status=("delivered" if last.arrives else "undelivered") if last else None,
            newest_text="Hm?" if last else None, newest_at=last.at if last else BEGIN, unreleased_at=self.held_until,
            steps_done=max((one.step for one in past), default=0),
            last_step_at=max((one.at for one in past), default=None), stopped_seq=self.stopped_seq,
            has_heard_of_failure=False, wakes_at=None, wakes_done=0, turn_id="turn" if self.plan else None,
            trigger="silence" if self.plan else None, step=self.plan.step if self.plan else None,
            through_seq=self.plan.seq if self.plan else None,
            asked_at=self.plan.asked_at if self.plan else None,
            moment=self.plan.moment if self.plan else None, has_news=self._has_news(),
        )  # fmt: skip

    # What must hold, by the record alone.

    def check_given(self) -> None:
        one = self.hand_overs[-1]
        last = self.texts[-1]
        assert (last.role, last.source) in {("agent", "api"), ("agent", "sms_agent")}, "somebody else wrote last"
        assert last.arrives
        assert self.mode
        assert not self.stopped
        assert not self.paused
        assert self.status in FOLLOWED_STATUSES
        assert one.seq > self.off_seq, "it had been called off"
        assert self.held_until is None, "a text of ours had not left"
        wrote_at = max(
            (text.at for text in self.texts if text.role == "user"), default=datetime.min.replace(tzinfo=UTC)
        )
        earlier = [other for other in self.hand_overs[:-1] if other.at > wrote_at]
        assert all(other.step < one.step for other in earlier), "a step came twice"
        interval = self.steps[one.step - 1] * MINUTE
        assert one.at - last.at >= interval, "it did not count from our newest text"
        assert all(one.at - other.at >= interval for other in earlier), "a burst"
        if self.hours is None:
            due_at = max([one.due_at, last.at + interval, *[other.at + interval for other in earlier]])
            assert one.at - due_at <= interval, "its moment had passed"


def _replace(facts: ThreadFacts, **more: Any) -> ThreadFacts:
    return replace(facts, **more)


def play(seed: int) -> Thread:
    """A random schedule; then nothing happens any more, while a worker runs."""
    chance = random.Random(seed)
    hours = {"start": "09:00", "end": "17:00", "timezone": "America/New_York", "days": [1, 2, 3, 4, 5]}
    thread = Thread(list(chance.choice(STEPS)), chance, hours if chance.random() < 0.2 else None)
    for _ in range(chance.randint(3, 25)):
        thread.happen(chance.choice(EVENTS))
        gap = chance.choice(GAPS)
        thread.pass_time(gap * MINUTE + timedelta(seconds=chance.randint(0, 59)), away=chance.random() < 0.15)
    return thread


def require_liveness(thread: Thread) -> None:
    """A text of ours that nobody answers is followed up, if nothing forbids it."""
    thread.held_until, thread.paused, thread.hours = None, False, None
    for event in ("start", "on", "in_progress", "api"):
        thread.happen(event)
    count = len(thread.hand_overs)
    thread.pass_time(QUIET, away=False)
    wrote_at = max((text.at for text in thread.texts if text.role == "user"), default=BEGIN)
    done = max((one.step for one in thread.hand_overs[:count] if one.at > wrote_at), default=0)
    if done < len(thread.steps):
        steps = [one.step for one in thread.hand_overs[count:]]
        assert steps, "a thread that should be followed up was not"
        assert steps[-1] == len(thread.steps), "the last step did not come"


@pytest.mark.parametrize(
    "schedules",
    [
        pytest.param(3_000, id="short", marks=pytest.mark.short),
        pytest.param(100_000, id="long", marks=pytest.mark.long),
    ],
)
def test_whatever_happens_silence_is_followed_up_and_nobody_is_nagged(schedules: int) -> None:
    count = 0
    for seed in range(schedules):
        try:
            thread = play(seed)
            require_liveness(thread)
        except AssertionError as error:
            error.add_note(f"schedule {seed}")
            raise
        count += len(thread.hand_overs)
    assert count > schedules  # the schedules are about something


def test_a_turn_waits_for_an_unfinished_one() -> None:
    thread = Thread([60], random.Random(1))
    thread.happen("api")
    thread.work()
    thread.now += 61 * MINUTE
    facts = thread._facts()
    assert judge_planned(facts) == Start(1)
    assert judge_planned(_replace(facts, has_open_turn=True)) == Wait(thread.now + BUSY_WAIT, 1, is_moved=False)


@pytest.mark.parametrize("value", [5, "", "soon", "2026-02-16T09:00:00", None, "2026-02-30T09:00:00Z"])
def test_a_moment_that_cannot_be_read_is_named(value: object) -> None:
    assert isinstance(parse_moment(value), str)


def test_a_moment_is_ahead_and_not_too_far() -> None:
    moment = parse_moment("2026-03-02T10:00:00+01:00")
    assert moment == BEGIN
    assert find_moment_fault(BEGIN, BEGIN) == "is in the past"
    assert find_moment_fault(BEGIN + MINUTE, BEGIN) is None
    assert find_moment_fault(BEGIN + timedelta(days=36), BEGIN) == "is more than 35 days ahead"

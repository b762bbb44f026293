"""A conversation as a state machine: whatever happens in whatever order, also to the processes that carry it, no
outcome is lost or counted twice, a person's word stands, and STOP wins."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.jobs.forward import Forwarder
from app.jobs.turn_claims import HandOver
from app.resources import Resources
from tests.flows.test_turn_ledger import ENDS, HEARD, OPEN, THINKING, WISHES, Story
from tests.makers import Data, phone
from tests.world import World

T = TypeVar("T")
STATUSES = ["in_progress", "completed", "incomplete", "follow_up", "qualified", "disqualified"]
LEASE_ANSWERS = ["silent", "inline", "list", "decline", "blank", "busy", *ENDS]
"""What the agent says to one of two POSTs of the same turn."""


@dataclass(slots=True)
class Conversation(Story):
    """A story in which also processes die and people set statuses."""

    asked_before: set[str] = field(default_factory=set)
    """Turns that were handed over before a person last set the status: their outcomes may not change it."""
    steps: list[Data] = field(default_factory=list)
    """The status history as it was last seen."""
    refused: list[Data] = field(default_factory=list)
    """The refused outcomes as they were last seen, oldest first."""
    untold: Data | None = None
    """The refused outcome that the next turn to be handed over tells the agent."""
    told_by_turn: dict[str, Data | None] = field(default_factory=dict)
    said: list[tuple[str, list[str]]] = field(default_factory=list)
    """The turn and the texts of each reply in an answer that was settled."""

    # Steps.

    async def set_status(self, status: str) -> None:
        answer = await self.world.tenant.ask("PATCH", f"/interactions/{self.thread}", {"status": status})
        assert answer.status_code == (409 if self.stopped else 200), answer.text
        if not self.stopped:
            assert answer.json()["data"]["status"] == status
            self.asked_before |= {turn["turnId"] for turn in await self._turns() if turn["handedOverAt"]}

    async def set_status_meanwhile(self, status: str, end: str) -> None:
        """A person sets the status while the agent thinks; then the agent gives an outcome."""

        async def happen(_: Data) -> None:
            self.world.agent.meanwhile = None
            await self.set_status(status)

        self.world.agent.meanwhile = happen
        await self._end(end)
        self.world.agent.meanwhile = None

    async def die(self, has_posted: bool, kind: str) -> None:
        """A process claims the turn and dies: before its POST, or before it settles the answer."""
        _, hand_overs = await self._claim()
        for forwarder, hand_over in hand_overs:
            if has_posted:
                await self._post(forwarder, hand_over, kind)

    async def answer_twice(self, kinds: tuple[str, str], first: int) -> None:
        """The lease of a POST ends while the agent thinks, so the turn is handed over once more; both
        answers are settled."""
        _, posts = await self._claim()
        _, later_posts = await self._claim()
        posts += later_posts
        answers = [(post, await self._post(*post, kind)) for post, kind in zip(posts, kinds, strict=False)]
        for (forwarder, hand_over), result in answers[::-1] if first else answers:
            await forwarder._settle_answer((hand_over, result))
        for (_, hand_over), kind in zip(posts, kinds, strict=False):
            status, body = HEARD.get(kind, (200, ENDS.get(kind)))
            if status == 200 and isinstance(body, dict):
                self._note_reply(hand_over, body)
        shown = await self.world.thread(self.thread)
        self.on = shown["sms"]["agentMode"]
        self._note_opt_out(shown)

    async def _claim(self) -> tuple[Forwarder, list[tuple[Forwarder, HandOver]]]:
        await self._due("collecting", "delivering")
        held = self.resources
        forwarder = Forwarder(held.database, held.wire, held.seal)
        thread = (self.world.tenant.tenant_id, self.thread)
        hand_overs = [(forwarder, hand_over) async for hand_over in forwarder.claim([thread])]
        for _, hand_over in hand_overs:
            if hand_over.turn_id not in self.told_by_turn:
                self.told_by_turn[hand_over.turn_id], self.untold = self.untold, None
        return forwarder, hand_overs

    async def _post(self, forwarder: Forwarder, hand_over: HandOver, kind: str) -> Any:
        outcome = self._outcome() if kind in ENDS else None
        self.world.agent.answers = [HEARD[kind]] if outcome is None else [(200, outcome | ENDS[kind])]
        result = await forwarder._post_turn(hand_over)
        self.world.agent.answers = []
        self._require_told()
        if outcome:
            self.given.append((hand_over.turn_id, outcome["summary"]))
        return result

    def _note_reply(self, hand_over: HandOver, answer: Data) -> None:
        texts = [answer["reply"]] if answer.get("reply") else answer.get("replies") or []
        if any(text.strip() for text in texts):
            self.said.append((hand_over.turn_id, texts))

    async def _look(self) -> None:
        answers = [body for status, body in self.world.agent.answers if status == 200 and isinstance(body, dict)]
        forwarder, hand_overs = await self._claim()
        for _, hand_over in hand_overs:
            await forwarder.perform(hand_over)
            self._require_told()
            for answer in answers:
                self._note_reply(hand_over, answer)
        shown = await self.world.thread(self.thread)
        self.on = shown["sms"]["agentMode"]
        self._note_opt_out(shown)

    def _require_told(self) -> None:
        """The newest payload tells the outcome that was refused before its turn was handed over."""
        told = self.world.agent.told[-1]["turn"]
        assert (told["refusedOutcome"] or {}).get("outcome") == self.told_by_turn[told["turnId"]]

    # What must hold after every step.

    async def check(self) -> tuple[list[Data], Data]:
        accepted = len(self.accepted)
        turns, shown = await Story.check(self)
        steps = shown["statusHistory"]
        assert steps[: len(self.steps)] == self.steps, "history is only added to"
        self._check_history(shown, steps)
        self._check_replies(turns)
        new_steps = steps[len(self.steps) :]
        turn_by_summary = {summary: turn_id for turn_id, summary in self.given}
        new_turns = {turn_by_summary[summary] for summary in self.accepted[accepted:]}
        if any(step["rule"] == "outcome" for step in new_steps):
            assert new_turns - self.asked_before, "an agent overwrote a person's status"
        if self.stopped:
            assert shown["status"] == "dnc"
            assert not [turn for turn in turns if turn["state"] in OPEN]
        texts = [entry for entry in shown["transcript"] if entry["status"] != "note"]
        assert shown["lastMessagePreview"] == texts[-1]["message"][:160]
        assert shown["unreadCount"] == sum(entry["role"] == "user" for entry in texts)
        self.steps = steps
        refused = [one for turn in turns for one in turn["refused"] if "outcome" in one]
        for one in sorted(refused, key=lambda one: str(one["at"])):
            if one not in self.refused:
                self.refused.append(one)
                self.untold = one["outcome"]
        return turns, shown

    def _check_replies(self, turns: list[Data]) -> None:
        by_id = {turn["turnId"]: turn for turn in turns}
        for turn_id, texts in self.said:
            turn = by_id[turn_id]
            is_sent = bool(turn["reply"] and turn["reply"]["texts"] == texts)
            assert is_sent or texts in [one["texts"] for one in turn["refused"]], (texts, turn)

    def _check_history(self, shown: Data, steps: list[Data]) -> None:
        statuses = ["in_progress", *(step["status"] for step in steps)]
        assert [step["from"] for step in steps] == statuses[:-1]
        assert shown["status"] == statuses[-1]
        assert all(step["actor"] and step["rule"] for step in steps)


def build_machine(
    run: Callable[[Coroutine[Any, Any, T]], T], begin: Callable[[], Coroutine[Any, Any, Conversation]]
) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.conversation: Any = run(begin())  # type: ignore[arg-type]

        @rule(step=st.sampled_from(["text", "text", "text", "again", "stop", "start", "start"]))
        def lead_writes(self, step: str) -> None:
            run(self.conversation.take(step))

        @rule(step=st.sampled_from(["manual", "on", "on", "off", "correct"]))
        def person_acts(self, step: str) -> None:
            run(self.conversation.take(step))

        @rule(status=st.sampled_from(STATUSES))
        def person_sets_status(self, status: str) -> None:
            run(self.conversation.set_status(status))

        @rule(status=st.sampled_from(STATUSES), end=st.sampled_from([*ENDS]))
        def person_sets_status_while_the_agent_thinks(self, status: str, end: str) -> None:
            run(self.conversation.set_status_meanwhile(status, end))

        @rule(step=st.sampled_from([*HEARD, "silent", "silent", *ENDS]))
        def agent_answers(self, step: str) -> None:
            run(self.conversation.take(step))

        @rule(step=st.sampled_from([*THINKING, *WISHES]))
        def something_happens_while_the_agent_thinks(self, step: str) -> None:
            run(self.conversation.take(step))

        @rule(step=st.sampled_from(["reply", "same reply", "older reply", "unnamed reply"]))
        def agent_replies_through_the_api(self, step: str) -> None:
            run(self.conversation.take(step))

        @rule(step=st.sampled_from(["give", "give again", "give older"]))
        def agent_gives_an_outcome_through_the_api(self, step: str) -> None:
            run(self.conversation.take(step))

        @rule(step=st.sampled_from(["deliver", "expire"]))
        def time_goes_on(self, step: str) -> None:
            run(self.conversation.take(step))

        @rule(has_posted=st.booleans(), kind=st.sampled_from(["silent", "inline", "handoff", "busy"]))
        def a_process_dies(self, has_posted: bool, kind: str) -> None:
            run(self.conversation.die(has_posted, kind))

        @rule(
            kinds=st.tuples(st.sampled_from(LEASE_ANSWERS), st.sampled_from(LEASE_ANSWERS)),
            first=st.sampled_from([0, 1]),
        )
        def a_lease_ends_while_the_agent_thinks(self, kinds: tuple[str, str], first: int) -> None:
            run(self.conversation.answer_twice(kinds, first))

        @invariant()
        def everything_holds(self) -> None:
            run(self.conversation.check())

    return Machine


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        pytest.param(20, 20, id="short", marks=pytest.mark.short),
        pytest.param(200, 40, id="long", marks=pytest.mark.long),
    ],
)
async def test_whatever_happens_no_word_is_lost(
    idle_world: World, resources: Resources, examples: int, steps: int
) -> None:
    loop = asyncio.get_running_loop()

    async def begin() -> Conversation:
        lead = await idle_world.tenant.lead(phone=phone(), campaignId=idle_world.campaign["campaignId"])
        conversation = Conversation(idle_world, resources, lead)
        await conversation.begin()
        return conversation

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    machine = build_machine(run, begin)
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    rules = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks)
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=rules)

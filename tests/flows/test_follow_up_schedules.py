"""Random schedules through the real doors with moved time: texts, silences, hand-offs, STOPs, outages. What must
hold is judged from what the test itself did and what the agent got."""

import random
from dataclasses import dataclass, field

import pytest

from app.resources import Resources
from tests import makers
from tests.flows.moved_time import look, pass_time
from tests.flows.test_follow_ups import DAY, HOUR, arrive, following
from tests.makers import Data
from tests.world import World, furnished

STEPS = (HOUR, 4 * HOUR, DAY)
EVENTS = (
    *["text"] * 3, *["send"] * 3, *["wait"] * 5, "outage", "off", "on", "on", "stop", "start", "handoff", "decline",
    "qualified", "in_progress", "skip",
)  # fmt: skip
ANSWERS: dict[str, Data] = {
    "reply": {"reply": "Are you there?"},
    "decline": {"replies": []},
    "handoff": {"handoff": True, "reason": "asked"},
}


@dataclass(slots=True)
class Schedule:
    world: World
    resources: Resources
    thread: str
    chance: random.Random
    is_silent: bool = True
    """Our text is the newest, and nothing has called the agent off since."""
    steps: list[int] = field(default_factory=list)
    """Since the lead last wrote."""
    minutes: float = 0
    """Since our newest text."""
    payload_count: int = 0

    async def take(self, event: str) -> None:
        world, path = self.world, f"/interactions/{self.thread}"
        answer = ANSWERS.get(event, ANSWERS["reply"])
        match event:
            case "text" | "stop" | "start":
                await world.text({"text": "Hello", "stop": "STOP", "start": "START"}[event])
                self.is_silent, self.steps = False, []
            case "send":
                response = await world.tenant.ask(
                    "POST",
                    "/sms/send",
                    {
                        "leadId": world.lead["leadId"],
                        "message": f"Hi {self.chance.random()}",
                        "interactionId": self.thread,
                    },
                )
                if response.status_code == 202:
                    await self.speak()
            case "off" | "on" | "qualified" | "in_progress":
                if event == "off" and await self._is_agent_on():
                    self.is_silent = False
                change = {"agentMode": event == "on"} if event in ("off", "on") else {"status": event}
                await world.tenant.ask("PATCH", path, change)
            case "skip":
                for plan in (await world.thread(self.thread))["plannedTurns"]:
                    await world.tenant.call("POST", f"/turns/{plan['turnId']}/skip", {})
            case "outage":
                await pass_time(self.resources, world.tenant.tenant_id, hours=17)
                self.minutes += 17 * HOUR
                await self._look(answer)
            case _:
                minutes = self.chance.choice([10, HOUR - 1, HOUR + 1, 4 * HOUR, DAY])
                for _ in range(3 if minutes == DAY else 1):
                    await pass_time(
                        self.resources, world.tenant.tenant_id, minutes=minutes / (3 if minutes == DAY else 1)
                    )
                    self.minutes += minutes / (3 if minutes == DAY else 1)
                    await self._look(answer)

    async def speak(self) -> None:
        """We wrote. What the lead wrote before may be answered by the look that follows."""
        await arrive(self.resources, self.world)
        self.is_silent, self.minutes = True, 0
        await self._look(ANSWERS["reply"])

    async def _is_agent_on(self) -> bool:
        return (await self.world.thread(self.thread))["sms"]["agentMode"]  # type: ignore[no-any-return]

    async def _is_followed(self) -> bool:
        shown = await self.world.thread(self.thread)
        return shown["sms"]["agentMode"] and shown["status"] == "in_progress"  # type: ignore[no-any-return]

    async def _look(self, answer: Data) -> None:
        is_followed = await self._is_followed()
        self.world.agent.answers = [(200, answer)] * 3
        await look(self.resources, self.world.tenant.tenant_id)
        new_payloads = self.world.agent.told[self.payload_count :]
        new_turns = [one["turn"] for one in new_payloads if one["interaction"]["interactionId"] == self.thread]
        self.payload_count = len(self.world.agent.told)
        silences = [one["followUp"]["step"] for one in new_turns if one["trigger"] == "silence"]
        assert len(silences) <= 1, "a burst"
        for step in silences:
            assert self.is_silent, "somebody wrote, or the agent was called off"
            assert is_followed, "the agent is off, or the conversation has ended"
            assert not [one for one in self.steps if one >= step], "a step came twice"
            assert STEPS[step - 1] <= self.minutes + 1, "too early"
            self.steps.append(step)
        if new_turns and "reply" in answer:
            await self.speak()
        elif (new_turns and "handoff" in answer) or any(one["trigger"] == "texts" for one in new_turns):
            self.is_silent = False


@pytest.mark.parametrize(
    ("seeds", "events"),
    [
        pytest.param(8, 14, id="short", marks=pytest.mark.short),
        pytest.param(300, 30, id="long", marks=pytest.mark.long),
    ],
)
async def test_nobody_is_nagged_through_the_real_doors(
    idle_world: World, resources: Resources, seeds: int, events: int
) -> None:
    counts = 0
    for seed in range(seeds):
        # In a tenant of its own: each time that passes moves all rows of a tenant.
        world = await furnished(
            await makers.tenant(resources, idle_world.tenant.http), idle_world.carrier, idle_world.agent
        )
        world.agent.told.clear()
        thread = await following(world, resources, *STEPS)
        chance = random.Random(seed)
        schedule = Schedule(world, resources, thread, chance)
        for event in [chance.choice(EVENTS) for _ in range(events)]:
            try:
                await schedule.take(event)
            except AssertionError as error:
                error.add_note(f"seed {seed}, at {event}")
                raise
        counts += sum(
            turn["trigger"] == "silence" and turn["handedOverAt"] is not None for turn in await world.turns(thread)
        )
        await world.tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", {"followUps": []})
    assert counts >= seeds / 2  # the schedules are about something

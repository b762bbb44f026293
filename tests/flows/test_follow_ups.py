"""A lead stays silent, and the agent gets a turn: never after an answer, and each step once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.commands import modes
from app.commands import planned_turns as commands
from app.domain.follow_ups import FAILURE_PATIENCE
from app.resources import Resources
from app.store import planned_turns, turns
from app.store.planned_turns import Look
from tests.flows.moved_time import look, pass_time, wait_silently
from tests.makers import Data, phone
from tests.world import World

HOUR, DAY = 60, 1440


async def following(world: World, resources: Resources, *steps: int | Data) -> str:
    """The agent follows up after so many minutes; our first text was sent. The thread's id."""
    follow_ups = [{"afterMinutes": step} if isinstance(step, int) else step for step in steps]
    await world.tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", {"followUps": follow_ups})
    await look(resources, world.tenant.tenant_id)
    sent = await world.send("Hi Jane, do you own your home?", agentMode=True)
    await arrive(resources, world)
    await look(resources, world.tenant.tenant_id)
    thread: str = sent["interactionId"]
    return thread


async def arrive(resources: Resources, world: World) -> None:
    """Every text of ours arrives."""
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE messages SET status = 'delivered' WHERE tenant_id = $1 AND role = 'agent' AND seq IS NOT NULL"
            " AND status = 'queued'",
            world.tenant.tenant_id,
        )
        await tx.execute("DELETE FROM outbox WHERE tenant_id = $1 AND seq IS NOT NULL", world.tenant.tenant_id)


def causes(world: World) -> list[Any]:
    """Why the agent got its turns."""
    return [
        (payload["turn"]["trigger"], (payload["turn"]["followUp"] or {}).get("step")) for payload in world.agent.told
    ]


async def answer(world: World, resources: Resources, *answers: Data, **span: float) -> None:
    world.agent.answers = [(200, one) for one in answers]
    await wait_silently(world, resources, **span)
    await arrive(resources, world)


async def test_each_step_comes_once_and_counts_from_our_newest_text(idle_world: World, resources: Resources) -> None:
    world = idle_world
    thread = await following(world, resources, HOUR, DAY)
    [plan] = await world.turns(thread)
    assert (plan["state"], plan["trigger"], plan["followUp"]) == ("planned", "silence", {"step": 1})
    await wait_silently(world, resources, minutes=HOUR - 1)
    assert not world.agent.told
    await answer(world, resources, {"reply": "Are you still there?"}, minutes=2)
    [payload] = world.agent.told
    assert payload["turn"]["followUp"] == {"step": 1, "of": 2}
    assert payload["message"]["messages"] == []
    assert payload["message"]["combinedText"] == ""
    assert [entry["message"] for entry in payload["interaction"]["transcript"]] == ["Hi Jane, do you own your home?"]
    await wait_silently(world, resources, minutes=DAY - 1)
    assert len(world.agent.told) == 1
    await answer(world, resources, {"reply": "I will not bother you again."}, minutes=2)
    for _ in range(3):
        await wait_silently(world, resources, days=2)
    assert causes(world) == [("silence", 1), ("silence", 2)]
    shown = await world.thread(thread)
    assert [entry["message"] for entry in shown["transcript"]][1:] == [
        "Are you still there?",
        "I will not bother you again.",
    ]
    assert shown["status"] == "in_progress"


async def test_the_next_step_comes_although_the_agent_said_nothing(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await following(world, resources, HOUR, 3 * HOUR)
    await answer(world, resources, {"replies": []}, minutes=HOUR + 1)
    await answer(world, resources, {"replies": []}, minutes=3 * HOUR + 1)
    await answer(world, resources, minutes=DAY)
    assert causes(world) == [("silence", 1), ("silence", 2)]


async def test_an_agent_without_follow_ups_is_never_woken(idle_world: World, resources: Resources) -> None:
    await idle_world.send(agentMode=True)
    for _ in range(3):
        await wait_silently(idle_world, resources, days=1)
    assert not idle_world.agent.told


async def call_off(world: World, resources: Resources, thread: str, how: str) -> None:
    tenant, agent = world.tenant, f"/sms-agents/{world.smsagent['smsAgentId']}"
    path = f"/interactions/{thread}"
    match how:
        case "the lead writes":
            await world.text("Yes I do")
        case "the lead stops":
            await world.text("STOP")
        case "mode off and on":
            for on in (False, True):
                await tenant.call("PATCH", path, {"agentMode": on})
        case "mode off":
            await tenant.call("PATCH", path, {"agentMode": False})
        case "paused":
            await tenant.call("POST", f"{agent}/pause", {"reason": "no"})
        case "number paused":
            await tenant.call("POST", f"/phone-numbers/{world.number['phoneNumberId']}/pause", {"reason": "no"})
        case "inactive":
            await tenant.call("PATCH", agent, {"active": False})
        case "no steps":
            await tenant.call("PATCH", agent, {"followUps": []})
        case "undelivered":
            async with resources.database.system_tx() as tx:
                await tx.execute("UPDATE messages SET status = 'undelivered' WHERE interaction_id = $1", thread)
        case _:
            await tenant.call("PATCH", path, {"status": how})


@pytest.mark.parametrize(
    "how",
    [
        "the lead writes",
        "the lead stops",
        "mode off",
        "mode off and on",
        "paused",
        "number paused",
        "inactive",
        "no steps",
        "undelivered",
        "qualified",
        "completed",
        "follow_up",
        "dnc",
    ],
)
async def test_a_follow_up_is_called_off(idle_world: World, resources: Resources, how: str) -> None:
    world = idle_world
    thread = await following(world, resources, HOUR, DAY)
    await call_off(world, resources, thread, how)
    for _ in range(3):
        await answer(world, resources, {"replies": []}, minutes=HOUR + 1)
    assert "silence" not in [payload["turn"]["trigger"] for payload in world.agent.told]
    turns = [turn for turn in await world.turns(thread) if turn["trigger"] == "silence"]
    assert [turn["state"] for turn in turns] == ["cancelled"]
    assert turns[0]["reason"]


@pytest.mark.parametrize(
    "how", ["a new text, mode off", "paused, mode off", "finished, mode off", "reopened, mode off", "a hand-off"]
)
async def test_what_was_called_off_before_a_look_saw_the_text_does_not_come_back(
    idle_world: World, resources: Resources, how: str
) -> None:
    """A look comes up to five seconds after a text of ours, and plans nothing while the conversation is finished or the
    agent is paused."""
    world, tenant = idle_world, idle_world.tenant
    pausable = (f"/sms-agents/{world.smsagent['smsAgentId']}", f"/phone-numbers/{world.number['phoneNumberId']}")
    thread = await following(world, resources, HOUR)
    path = f"/interactions/{thread}"
    match how:
        case "a new text, mode off":
            await world.send("And one more thing", interactionId=thread)
        case "paused, mode off":
            await world.send("And one more thing", interactionId=thread)
            for path_of_brake in pausable:
                await tenant.call("POST", f"{path_of_brake}/pause", {"reason": "no"})
        case "finished, mode off" | "reopened, mode off":
            await tenant.call("PATCH", path, {"status": "qualified"})
            await world.send("All the best", interactionId=thread)
            await look(resources, tenant.tenant_id)
            if how == "reopened, mode off":
                await tenant.call("PATCH", path, {"status": "in_progress"})
        case "a hand-off":
            await world.text("A person, please")
            await answer(world, resources, {"reply": "A colleague will write.", "handoff": True}, minutes=1)
            await tenant.call("PATCH", path, {"status": "in_progress"})
    await arrive(resources, world)
    world.agent.told.clear()
    await tenant.call("PATCH", path, {"agentMode": False})
    if how == "paused, mode off":
        for path_of_brake in pausable:
            await tenant.call("POST", f"{path_of_brake}/resume")
    await tenant.call("PATCH", path, {"agentMode": True, "status": "in_progress"})
    assert (await world.thread(thread))["plannedTurns"] == []
    await answer(world, resources, {"replies": []}, minutes=HOUR + 1)
    assert not world.agent.told
    await world.send("Here we are again", interactionId=thread)
    await answer(world, resources)
    assert [plan["trigger"] for plan in (await world.thread(thread))["plannedTurns"]] == ["silence"]


async def test_after_an_outage_one_follow_up_comes_whose_moment_is_not_long_past(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    await following(world, resources, HOUR, 4 * HOUR, 16 * HOUR, DAY)
    await answer(world, resources, {"reply": "Hello again"}, hours=17)
    for _ in range(3):
        await look(resources, world.tenant.tenant_id)
    assert causes(world) == [("silence", 3)]


async def test_a_reply_is_stale_when_the_lead_wrote_meanwhile(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await world.tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", {"staleReply": "send"})
    thread = await following(world, resources, HOUR)

    async def write(_: Data) -> None:
        world.agent.meanwhile = None
        await world.text("I was on holiday")

    world.agent.meanwhile = write
    await answer(world, resources, {"reply": "Are you still there?"}, minutes=HOUR + 1)
    texts = [entry["message"] for entry in (await world.thread(thread))["transcript"]]
    assert texts == ["Hi Jane, do you own your home?", "I was on holiday"]
    [silence, written] = await world.turns(thread)
    assert silence["refused"][0]["code"] == "STALE_TURN"
    assert (written["trigger"], written["state"]) == ("texts", "collecting")


def in_(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


async def test_an_agent_wakes_itself_once_and_the_newest_wish_counts(idle_world: World, resources: Resources) -> None:
    world = idle_world
    thread = await following(world, resources, HOUR)
    world.agent.answers = [(200, {"reply": "I ask again tomorrow.", "followUpAt": in_(hours=20)})]
    await wait_silently(world, resources, minutes=HOUR + 1)
    await arrive(resources, world)
    silence, _ = await world.turns(thread)
    again = f"/turns/{silence['turnId']}/outcome"
    await world.tenant.call("POST", again, {"followUpAt": in_(hours=30)})
    refused = await world.tenant.ask("POST", again, {"followUpAt": in_(hours=-1)})
    assert refused.json()["error"]["details"] == ["followUpAt: is in the past"]
    plans = [turn for turn in await world.turns(thread) if turn["state"] == "planned"]
    assert [turn["trigger"] for turn in plans] == ["scheduled"]
    await wait_silently(world, resources, hours=21)
    assert causes(world) == [("silence", 1)]
    await answer(world, resources, {"followUpAt": in_(hours=1)}, hours=10)
    assert causes(world)[1:] == [("scheduled", None)]
    assert (await world.turns(thread))[1]["state"] == "declined"
    await world.text("Here I am")
    await answer(world, resources, {"reply": "Hello", "followUpAt": "tomorrow"}, {}, hours=2)
    assert causes(world)[2:] == [("texts", None)]
    assert (await world.turns(thread))[-1]["refused"][0]["detail"].startswith("followUpAt: must be a time")


async def test_of_wishes_that_come_together_the_newest_of_a_thread_counts(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    thread = await following(world, resources, HOUR)
    await answer(world, resources, {"replies": []}, minutes=HOUR + 1)
    await world.text("Hello")
    await answer(world, resources, {"replies": []}, minutes=1)
    lead = await world.tenant.lead(phone=phone(), campaignId=world.campaign["campaignId"])
    other_thread = (await world.send(leadId=lead["leadId"], agentMode=True))["interactionId"]
    asked = [(world.tenant.tenant_id, turn["turnId"]) for turn in await world.turns(thread)]
    async with resources.database.index_lookup_tx() as tx:
        found = await turns.get_many(tx, asked)
        first, last = (found[key] for key in asked)
        elsewhere = replace(last, interaction_id=other_thread)
        now = datetime.now(UTC)
        wishes = [(first, 2), (elsewhere, 4), (last, 3), (first, -1)]
        await commands.plan_wakes(tx, [(turn, now + timedelta(hours=hours)) for turn, hours in wishes])
    for place, hours in ((thread, 3), (other_thread, 4)):
        [plan] = (await world.thread(place))["plannedTurns"]
        assert datetime.fromisoformat(plan["dueAt"]) == now + timedelta(hours=hours)
    refused = [turn["refused"] for turn in await world.turns(thread) if turn["refused"]]
    assert [entry["detail"] for [entry] in refused] == ["followUpAt: is in the past"]


async def test_an_agent_does_not_wake_itself_for_ever(idle_world: World, resources: Resources) -> None:
    world = idle_world
    thread = await following(world, resources)
    await world.text("Hello")
    for _ in range(8):
        await answer(world, resources, {"followUpAt": in_(hours=1)}, hours=1.5)
    assert causes(world) == [("texts", None), *[("scheduled", None)] * 5]
    assert "woke itself 5 times" in (await world.turns(thread))[-1]["refused"][0]["detail"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([["no_reply"], []], 1),
        ([["replied"], []], 2),
        ([["unanswered_question"], []], 1),
        ([["unanswered_question", "replied"], ["no_reply"]], 2),
    ],
)
async def test_conditions_choose_the_step(
    idle_world: World, resources: Resources, conditions: list[list[str]], expected: int
) -> None:
    world = idle_world
    steps = [{"afterMinutes": HOUR * n, "onlyIf": only_if} for n, only_if in enumerate(conditions, 1)]
    await following(world, resources, *steps)
    await answer(world, resources, {"reply": "Hm"}, minutes=HOUR * expected + 1)
    assert causes(world) == [("silence", expected)]


async def test_a_person_skips_or_postpones_what_is_planned(idle_world: World, resources: Resources) -> None:
    world, tenant = idle_world, idle_world.tenant
    thread = await following(world, resources, HOUR, DAY)
    [plan] = (await world.thread(thread))["plannedTurns"]
    assert (plan["trigger"], plan["followUp"]) == ("silence", {"step": 1})
    path = f"/turns/{plan['turnId']}"
    assert (await tenant.call("POST", f"{path}/postpone", {"until": in_(hours=5)}))["dueAt"] > plan["dueAt"]
    await wait_silently(world, resources, hours=4)
    assert not world.agent.told
    assert (await tenant.call("POST", f"{path}/skip", {}))["followUp"] == {"step": 2}
    await wait_silently(world, resources, hours=19)
    assert not world.agent.told
    await answer(world, resources, {"reply": "Hello?"}, hours=2)
    assert causes(world) == [("silence", 2)]
    refused = await tenant.ask("POST", f"{path}/skip", {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "NOT_PLANNED")
    assert (await world.thread(thread))["plannedTurns"] == []


async def test_a_text_of_a_person_calls_all_off(idle_world: World, resources: Resources) -> None:
    world = idle_world
    thread = await following(world, resources, HOUR)
    async with resources.database.system_tx() as tx:
        await modes.take_over(tx, {(world.tenant.tenant_id, thread): "person:user_1"})
    await wait_silently(world, resources, hours=2)
    assert not world.agent.told
    shown = await world.thread(thread)
    assert [entry["status"] for entry in shown["transcript"]] == ["delivered"]  # nothing had begun: no note


async def fail(resources: Resources, thread: str) -> None:
    """No text of ours arrives in the thread."""
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE messages SET status = 'undelivered', error_code = 'CARRIER_REFUSED'"
            " WHERE interaction_id = $1 AND role = 'agent' AND status <> 'note'",
            thread,
        )


async def test_an_agent_hears_once_of_a_text_that_did_not_arrive(idle_world: World, resources: Resources) -> None:
    world = idle_world
    agent = f"/sms-agents/{world.smsagent['smsAgentId']}"
    thread = (await world.send("Hi Jane", agentMode=True))["interactionId"]
    await fail(resources, thread)
    await look(resources, world.tenant.tenant_id)
    await look(resources, world.tenant.tenant_id)
    assert not world.agent.told  # nobody asked for it
    await world.tenant.call("PATCH", agent, {"failedDeliveryTurns": True})
    await look(resources, world.tenant.tenant_id)
    await answer(world, resources, {"reply": "Once more"})
    assert causes(world) == [("failed_delivery", None)]
    assert world.agent.told[0]["interaction"]["transcript"][0]["status"] == "undelivered"
    await fail(resources, thread)
    await answer(world, resources, {"reply": "And again"}, minutes=2)
    assert causes(world) == [("failed_delivery", None)]


async def test_only_threads_whose_agent_may_still_hear_of_a_failure_are_looked_through(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    tenant_id = world.tenant.tenant_id
    thread = (await world.send("Hi Jane", agentMode=True))["interactionId"]
    await fail(resources, thread)

    async def failed() -> list[str]:
        async with resources.database.index_lookup_tx() as tx:
            looks = [Look(one, datetime.now(UTC), datetime.now(UTC)) for one in (tenant_id, "org_other")]
            found = await planned_turns.find_failed(tx, looks, FAILURE_PATIENCE, 10)
        return [interaction_id for _, interaction_id in found]

    assert await failed() == []  # no agent of the tenant wants to hear of it
    await world.tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", {"failedDeliveryTurns": True})
    await look(resources, tenant_id)
    assert await failed() == [thread]
    await pass_time(resources, tenant_id, seconds=6)
    async with resources.database.index_lookup_tx() as tx:
        await commands.look_for_silence(tx)
    assert await failed() == []  # the turn is planned
    await answer(world, resources, {"reply": "Once more"})
    await fail(resources, thread)
    assert await failed() == []  # the agent has heard of it
    await world.text("Hello?")
    assert await failed() == []  # the lead wrote last
    await answer(world, resources, {"reply": "Here I am"}, minutes=1)
    await fail(resources, thread)
    assert await failed() == [thread]


async def test_a_thread_whose_agent_is_switched_on_is_followed_up(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await following(world, resources, HOUR)
    lead = await world.tenant.lead(phone=phone(), campaignId=world.campaign["campaignId"])
    thread = (await world.send("Hi", leadId=lead["leadId"]))["interactionId"]
    await arrive(resources, world)
    await wait_silently(world, resources, minutes=10)
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": True})
    [plan] = (await world.thread(thread))["plannedTurns"]
    assert plan["trigger"] == "silence"

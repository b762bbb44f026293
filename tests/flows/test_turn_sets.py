"""Turns that are due together are claimed and settled together, and none is another's burden."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.domain import ids
from app.jobs.endpoints import FAILURES_TO_BREAK
from app.jobs.forward import Forwarder
from app.jobs.turn_claims import HandOver
from app.resources import Resources
from app.store import hand_overs, payload_texts, threads, turns
from app.store.threads import ThreadKey
from tests.flows.test_turns import change_agent
from tests.makers import Data, phone
from tests.world import Answer, World, until

SET = 12
DUE = "UPDATE turns SET due_at = clock_timestamp() WHERE state IN ('collecting', 'delivering')"
ANSWERS: dict[str, Answer] = {
    "silent": (200, {}),
    "failed": (503, {}),
    "inline": (200, {"reply": "Here I am"}),
    "declined": (200, {"replies": []}),
}
UNREADABLE_HOURS = """
business_hours = '{"start": "09:00", "end": "17:00", "timezone": "Mars/Olympus", "days": [1]}'
"""


async def writing(world: World, campaign: Data) -> ThreadKey:
    """A lead who writes to the campaign's agent; the thread."""
    lead = await world.tenant.lead(phone=phone(), campaignId=campaign["campaignId"])
    sent = await world.send(leadId=lead["leadId"], agentMode=True)
    assert await world.carrier.text(lead["phone"], world.ours, "Hey") == 200
    return world.tenant.tenant_id, sent["interactionId"]


async def written(world: World, count: int) -> list[ThreadKey]:
    """So many threads in which the lead wrote."""
    return [await writing(world, world.campaign) for _ in range(count)]


async def fall_due(resources: Resources) -> None:
    async with resources.database.system_tx() as tx:
        await tx.execute(DUE)


def forwarding(resources: Resources) -> Forwarder:
    return Forwarder(resources.database, resources.wire, resources.seal)


async def claimed(by: Forwarder, asked: list[ThreadKey]) -> list[HandOver]:
    return [handed async for handed in by.claim(asked)]


async def carried_out(by: Forwarder, handed: list[HandOver]) -> None:
    await asyncio.gather(*(by.perform(one) for one in handed))


async def states(world: World, of: list[ThreadKey]) -> list[str]:
    """Of the newest turn of each thread."""
    return [(await world.turns(thread))[-1]["state"] for _, thread in of]


@asynccontextmanager
async def held(resources: Resources, thread: ThreadKey) -> AsyncIterator[None]:
    """The thread's lock is somebody else's."""
    async with resources.database.system_tx() as tx:
        await threads.lock(tx, [thread])
        yield


async def test_a_set_takes_as_many_statements_as_one_turn(
    idle_world: World, resources: Resources, said: list[str]
) -> None:
    by = forwarding(resources)
    there = await written(idle_world, 1 + SET)
    await fall_due(resources)
    stored = {**vars(hand_overs), **vars(payload_texts), **vars(turns)}
    known = {one for one in stored.values() if isinstance(one, str)} | {threads.LOCK_FREE_SQL}
    counted = []
    for asked in (there[:1], there[1:]):
        said.clear()
        handed = await claimed(by, asked)
        assert len(handed) == len(asked)
        await asyncio.sleep(0.1)  # statements are noted after they are answered
        counted.append([one for one in said if one in known])
        await carried_out(by, handed)
    assert counted[0] == counted[1]
    assert len(counted[0]) == 5


@pytest.mark.parametrize("answer", ANSWERS)
async def test_what_is_heard_together_is_settled_together(
    idle_world: World, resources: Resources, said: list[str], answer: str
) -> None:
    world, by = idle_world, forwarding(resources)
    texts = await written(world, SET + 1)
    await fall_due(resources)
    handed = await claimed(by, texts)
    world.agent.answers = [ANSWERS[answer]] * len(handed)
    arrived = asyncio.Event()

    async def wait_for_all(_: Data) -> None:
        if len(world.agent.told) == len(handed):
            arrived.set()
        await arrived.wait()

    world.agent.meanwhile = wait_for_all
    said.clear()
    await carried_out(by, handed)
    # The first to be heard may go by itself; nobody waits for company.
    assert 1 <= said.count("COMMIT") <= SET / 2
    assert {len(turn["attempts"]) for _, t in texts for turn in await world.turns(t)} == {1}
    assert len(set(await states(world, texts))) == 1


async def test_a_thread_that_somebody_holds_delays_no_other_and_comes_as_soon_as_it_is_free(
    world: World, resources: Resources
) -> None:
    await change_agent(world, batchWindowMs=30_000)
    lead = await world.send(agentMode=True)
    mine = (world.tenant.tenant_id, lead["interactionId"])
    await world.text("Hey")
    others = await written(world, SET)
    async with held(resources, mine):
        await fall_due(resources)

        async def all_others() -> bool:
            return await states(world, others) == ["awaiting_reply"] * SET

        await until(all_others, 5)
        assert await states(world, [mine]) == ["collecting"]
    await until(lambda: told_of(world, mine))
    assert len({told["turn"]["turnId"] for told in world.agent.told}) == SET + 1


async def test_an_answer_for_a_thread_that_somebody_holds_delays_no_others(
    idle_world: World, resources: Resources
) -> None:
    world, by = idle_world, forwarding(resources)
    there = await written(world, SET)
    await fall_due(resources)
    handed = await claimed(by, there)
    mine, *others = there
    async with held(resources, mine):
        going = [asyncio.create_task(by.perform(one)) for one in handed]

        async def all_others() -> bool:
            return await states(world, others) == ["awaiting_reply"] * len(others)

        await until(all_others, 5)
        assert await states(world, [mine]) == ["delivering"]
    await asyncio.gather(*going)
    assert await states(world, [mine]) == ["awaiting_reply"]
    assert len(world.agent.told) == SET


async def told_of(world: World, thread: ThreadKey) -> bool:
    return thread[1] in {told["interaction"]["interactionId"] for told in world.agent.told}


async def test_a_hint_for_a_thread_that_was_erased_is_not_given_again(idle_world: World, resources: Resources) -> None:
    [there] = await written(idle_world, 1)
    gone = (idle_world.tenant.tenant_id, ids.make("int"))
    assert resources.settings.redis_url
    await resources.clock._redis.flushdb()
    async with held(resources, there):
        assert await claimed(forwarding(resources), [gone, there]) == []

    async def hinted() -> list[str]:
        return (await resources.clock.take_due(time.time(), 10))[0]

    assert await until(hinted) == [f"turn:{there[0]}:{there[1]}"]
    assert await hinted() == []


async def broken(world: World, resources: Resources, assignment: str) -> Data:
    """A campaign whose agent's row has been spoiled."""
    agent = await world.tenant.agent(webhookUrl=world.agent.url, batchWindowMs=1000)
    async with resources.database.system_tx() as tx:
        await tx.execute(f"UPDATE sms_agents SET {assignment} WHERE sms_agent_id = $1", agent["smsAgentId"])
    return await world.tenant.campaign(smsAgentId=agent["smsAgentId"], phoneNumberId=world.number["phoneNumberId"])


async def test_a_turn_that_cannot_be_put_into_words_is_given_up_and_stops_no_other(
    idle_world: World, resources: Resources
) -> None:
    world, by = idle_world, forwarding(resources)
    others = await written(world, 3)
    poisoned = await writing(world, await broken(world, resources, "secret = '\\x00'"))
    for attempt in range(1, 6):
        await fall_due(resources)
        await carried_out(by, await claimed(by, [poisoned, *others]))
        [turn] = await world.turns(poisoned[1])
        assert len(turn["attempts"]) == attempt
    assert len(world.agent.told) == len(others)
    assert await states(world, others) == ["awaiting_reply"] * len(others)
    assert turn["state"] == "failed"
    assert "the payload could not be built" in turn["reason"]
    assert (await world.thread(poisoned[1]))["status"] == "follow_up"
    replay = await world.tenant.ask("POST", f"/turns/{turn['turnId']}/replay", {})
    assert replay.json()["error"]["code"] == "VALIDATION_ERROR"


async def test_a_set_that_fails_for_one_thread_is_taken_without_it(idle_world: World, resources: Resources) -> None:
    world, by = idle_world, forwarding(resources)
    spoiled = await broken(world, resources, UNREADABLE_HOURS)
    poisoned = await writing(world, spoiled)
    others = await written(world, 5)
    await fall_due(resources)
    handed = await claimed(by, [*others[:2], poisoned, *others[2:]])
    assert {one.interaction_id for one in handed} == {thread for _, thread in others}
    await carried_out(by, handed)
    assert await states(world, [poisoned, *others]) == ["collecting"] + ["awaiting_reply"] * 5


async def test_a_claim_that_failed_keeps_no_room_at_the_agents_endpoint(
    idle_world: World, resources: Resources
) -> None:
    world, by = idle_world, forwarding(resources)
    failing = await written(world, FAILURES_TO_BREAK)
    world.agent.answers = [(503, {})] * FAILURES_TO_BREAK
    await fall_due(resources)
    await carried_out(by, await claimed(by, failing))  # from now on it is tried one at a time
    others = await written(world, 3)
    poisoned = await writing(world, await broken(world, resources, UNREADABLE_HOURS))
    await fall_due(resources)
    assert len(await claimed(by, [*others, poisoned])) == 1

"""Workers that die, stop and come back: nothing is lost, nothing is doubled."""

import asyncio
import signal
import time

from app.resources import Resources
from tests.faults.crew import Spawn
from tests.makers import Data
from tests.world import World, until


async def test_a_killed_hand_over_comes_back_under_the_same_id_within_45_seconds(
    idle_world: World, spawn: Spawn
) -> None:
    world = idle_world
    worker = await spawn()
    sent = await world.send("Hi Jane", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    held = asyncio.Event()

    async def hold(_: Data) -> None:
        held.set()
        if len(world.agent.told) == 1:
            await asyncio.sleep(30)

    world.agent.meanwhile = hold
    world.agent.answers = [(200, {}), (200, {"reply": "Here I am"})]
    await world.text("Hey")
    await asyncio.wait_for(held.wait(), 10)
    worker.kill()
    killed_at = time.monotonic()
    await worker.wait()
    await spawn()

    async def told_again() -> bool:
        return len(world.agent.told) == 2

    await until(told_again, 45)
    assert time.monotonic() - killed_at < 45
    first, second = world.agent.told
    assert first["turn"]["turnId"] == second["turn"]["turnId"]
    assert (first["turn"]["attempt"], second["turn"]["attempt"]) == (1, 2)
    await world.turn_is(sent["interactionId"], "replied")

    async def answered() -> bool:
        return "Here I am" in world.carrier.received(world.phone)

    await until(answered)
    assert world.carrier.received(world.phone).count("Here I am") == 1


async def test_a_text_whose_worker_died_while_sending_is_sent_once(
    idle_world: World, spawn: Spawn, resources: Resources
) -> None:
    world = idle_world
    worker = await spawn()
    sent = await world.send(to="+12125550011")  # the carrier takes it and never answers

    async def taken() -> bool:
        return bool(world.carrier.known.accepted.get(sent["messageId"]))

    await until(taken)
    worker.kill()
    await worker.wait()
    async with resources.database.system_tx() as tx:  # the lease ends
        await tx.execute("UPDATE outbox SET due_at = clock_timestamp()")
    await spawn()
    await world.status_is(sent["messageId"], "sent")
    assert len(world.carrier.known.accepted[sent["messageId"]]) == 1


async def test_a_terminated_worker_finishes_what_it_began_and_exits_cleanly(idle_world: World, spawn: Spawn) -> None:
    world = idle_world
    worker = await spawn()
    sent = await world.send("Hi Jane", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    held = asyncio.Event()

    async def hold(_: Data) -> None:
        held.set()
        await asyncio.sleep(1)

    world.agent.meanwhile = hold
    world.agent.answers = [(200, {"reply": "Just in time"})]
    await world.text("Hey")
    await asyncio.wait_for(held.wait(), 10)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(worker.wait(), 20) == 0
    [turn] = await world.turns(sent["interactionId"])
    assert turn["state"] == "replied"
    assert len(world.agent.told) == 1


async def test_two_workers_share_the_work_without_doing_any_of_it_twice(idle_world: World, spawn: Spawn) -> None:
    world = idle_world
    await asyncio.gather(spawn(), spawn())
    leads = [await world.tenant.lead(campaignId=world.campaign["campaignId"]) for _ in range(30)]
    sent = await asyncio.gather(
        *(
            world.tenant.call(
                "POST", "/sms/send",
                {"leadId": lead["leadId"], "message": "Hi", "agentMode": True},
            )
            for lead in leads
        )
    )  # fmt: skip
    for one in sent:
        await world.status_is(one["messageId"], "delivered")
    assert {len(taken) for taken in world.carrier.known.accepted.values()} == {1}
    world.agent.answers = [(200, {"reply": "Hello"})] * 60
    for lead in leads:
        assert await world.carrier.text(lead["phone"], world.ours, "Hey") == 200
    for one in sent:
        await world.turn_is(one["interactionId"], "replied")
    assert len(world.agent.told) == 30
    assert len({told["turn"]["turnId"] for told in world.agent.told}) == 30

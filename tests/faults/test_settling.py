"""Answers of carriers and agents are recorded even if the database fails in between."""

import asyncio

from app.resources import Resources
from app.store import threads
from tests.faults.island import Island
from tests.flows.test_agent_mode import talking
from tests.makers import Data
from tests.world import AgentDouble, World, furnished, until

CLAIMED = "SELECT message_id FROM outbox WHERE lease IS NOT NULL"
OWED = "SELECT message_id FROM outbox WHERE message_id = $1 FOR UPDATE NOWAIT"


async def test_a_stale_text_is_settled_in_the_order_in_which_everybody_locks(
    world: World, resources: Resources
) -> None:
    """Threads before the outbox. In the other order it would deadlock with hand-overs and cancels."""
    thread = await talking(world)
    number = f"/phone-numbers/{world.number['phoneNumberId']}"
    await world.tenant.call("POST", f"{number}/pause", {})
    world.agent.answers = [(200, {"reply": "Yes"})]
    await world.text("Really?")
    turn = await world.turn_is(thread, "replied")
    [late] = turn["reply"]["messageIds"]
    await world.text("And when?")
    async with resources.database.system_tx() as tx:
        await threads.lock(tx, [(world.tenant.tenant_id, thread)])
        await world.tenant.call("POST", f"{number}/resume", {})

        async def claimed() -> bool:
            async with resources.database.system_tx() as other:
                return bool(await other.fetch_value(CLAIMED))

        await until(claimed)
        await asyncio.sleep(0.5)  # it now settles, and waits for the thread's lock
        assert await tx.fetch_value(OWED, late) == late
    message = await world.status_is(late, "cancelled")
    assert message["errorCode"] == "STALE_TURN"
    told = await world.told(2)
    assert told["turn"]["unsentReply"]["texts"] == ["Yes"]


async def test_what_was_said_while_the_database_is_away_is_recorded_when_it_is_back(
    island: Island, agent: AgentDouble
) -> None:
    await island.start_web()
    await island.crew.start(1)
    world = await furnished(island.tenant, island.carrier, agent)
    opened = await world.send("Hi Jane", agentMode=True)
    await world.status_is(opened["messageId"], "delivered")
    held = asyncio.Event()

    async def hold(_: Data) -> None:
        held.set()
        await asyncio.sleep(2)

    agent.meanwhile = hold
    agent.answers = [(200, {"reply": "While you were out"})]
    slow = await world.send(to="+12125550017")
    await world.text("Hey")
    known = island.carrier.known
    await asyncio.wait_for(held.wait(), 10)
    assert known.accepted.get(slow["messageId"])
    island.database.cut()
    await asyncio.sleep(3)
    island.database.restore()
    await island.is_ready()

    async def recorded() -> Data | None:
        message = await world.tenant.call("GET", f"/messages/{slow['messageId']}")
        return message if message["attempts"] else None

    message = await until(recorded)
    assert [one["outcome"] for one in message["attempts"]] == ["accepted"]
    assert "unknown" not in [step["status"] for step in message["history"]]
    assert slow["messageId"] not in known.lookup_counts
    turn = await world.turn_is(opened["interactionId"], "replied")
    assert [one["outcome"] for one in turn["attempts"]] == ["accepted"]
    assert len(agent.told) == 1
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")

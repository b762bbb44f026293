"""Hosts with wrong clocks: what is due, leased or recent is decided by the database's clock."""

import itertools

import pytest

from app.resources import Resources
from tests.faults import ledger
from tests.faults.crew import Crew
from tests.faults.island import Island
from tests.faults.ledger import Record
from tests.flows.test_agent_mode import talking
from tests.makers import Data
from tests.world import AgentDouble, World, furnished, until

PASS = """
UPDATE outbox SET begun_at = begun_at - $2::int * interval '1 s',
    due_at = due_at - $2::int * interval '1 s'
WHERE message_id = $1 AND state = 'unknown' AND lease IS NULL
RETURNING message_id
"""
HOUR = 3600.0


async def pass_seconds(resources: Resources, message_id: str, seconds: int) -> None:
    """Waits until the text is of unknown outcome, then lets `seconds` pass for it."""

    async def look() -> bool:
        async with resources.database.system_tx() as tx:
            return bool(await tx.fetch_value(PASS, message_id, seconds))

    await until(look)


@pytest.mark.parametrize("skew", [HOUR, -HOUR])
async def test_an_unknown_text_is_asked_for_and_sent_again_at_its_time(
    idle_world: World, resources: Resources, crew: Crew, skew: float
) -> None:
    world = idle_world
    crew.skews = itertools.repeat(skew)
    await crew.start(1)
    sent = await world.send(to="+12125550015")  # the carrier answers 500 and has not taken it
    denied = world.carrier.known.denied_lookup_counts
    for times, seconds in ((1, 15), (2, 45)):
        await pass_seconds(resources, sent["messageId"], seconds)

        async def asked(times: int = times) -> bool:
            return denied.get(sent["messageId"]) == times

        await until(asked)
    await world.status_is(sent["messageId"], "delivered")
    record = await ledger.read(world.tenant, world.carrier.known, Record())
    assert ledger.breaches(record) == []
    assert len(record.accepted[sent["messageId"]]) == 1


async def test_turns_come_when_they_are_due_whatever_time_the_worker_thinks_it_is(
    idle_world: World, crew: Crew
) -> None:
    world = idle_world
    crew.skews = itertools.cycle([HOUR, -HOUR])
    await crew.start(2)
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "On time"})]
    await world.text("Hey")
    await world.text("Are you there?")
    turn = await world.turn_is(thread, "replied")
    assert len(turn["messages"]) == 2, "it was handed over before its window had passed"
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")


async def test_a_repeated_reply_is_known_again_on_a_host_whose_clock_is_wrong(
    island: Island, agent: AgentDouble
) -> None:
    await island.start_web()
    await island.crew.start(1)
    world = await furnished(island.tenant, island.carrier, agent)
    await talking(world)
    await world.text("Hey")
    await world.told(1)
    for url in list(island.webs):
        await island.stop_web(url)
    await island.start_web(skew=HOUR)
    body = {"leadId": world.lead["leadId"], "message": "Yes", "source": "sms_agent"}
    first: Data = await world.tenant.call("POST", "/sms/send", body)
    again: Data = await world.tenant.call("POST", "/sms/send", body)
    assert again["messageId"] == first["messageId"]

"""What waited for its carrier or its number's pace obeys the hours in which it leaves."""

import pytest

from app.jobs.deliver import Delivery
from app.resources import Resources
from app.store import releasing
from tests.flows.moved_time import pass_time
from tests.flows.test_law import ask, live_in, message_of, zone_where_it_is
from tests.makers import Data
from tests.world import World


async def wait_until_night(world: World, resources: Resources) -> None:
    """Five minutes pass, and it is two at night where the lead lives."""
    await pass_time(resources, world.tenant.tenant_id, minutes=5)
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"timezone": zone_where_it_is(2)})


async def claim(resources: Resources) -> list[str]:
    """What a worker would send now."""
    delivery = Delivery(resources.database, resources.wire, resources.seal, resources.settings.base_url)
    batch = await delivery.claim(100)
    return [text.text for text in batch.texts] if batch else []


async def test_a_text_that_waited_past_the_hours_is_held_like_a_new_one(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    await live_in(world, "FL", 14)
    sent = await world.send("Sale!")
    assert sent["heldUntil"] is None
    await wait_until_night(world, resources)
    assert await claim(resources) == []
    message = await message_of(world, sent)
    assert (message["status"], message["heldRule"]) == ("queued", "us-hours")
    assert message["heldReason"].startswith("United States: marketing texts only from 8:00 to 21:00 (47 CFR")
    assert message["heldUntil"]
    assert [step["status"] for step in message["history"]] == ["queued", "sending", "queued"]
    assert await claim(resources) == []
    answer = await world.send("You asked: ten panels", purpose="transactional")
    assert (await message_of(world, answer))["heldUntil"] is None
    await pass_time(resources, world.tenant.tenant_id, seconds=10)
    assert await claim(resources) == ["You asked: ten panels"]  # what is held holds up nobody

    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"timezone": zone_where_it_is(14)})
    await world.tenant.call("PATCH", "/settings", {"lawExceptions": [{"rule": "us-me-disclosure", "reason": "a look"}]})
    async with resources.database.system_tx() as tx:
        [due] = [text for text in await releasing.find_releasable(tx, 100) if text.tenant_id == world.tenant.tenant_id]
    assert due.message_id == sent["messageId"]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"purpose": "transactional"}, id="a deal"),
        pytest.param({}, id="an answer"),
    ],
)
async def test_what_hours_do_not_concern_leaves_late(idle_world: World, resources: Resources, more: Data) -> None:
    world = idle_world
    await live_in(world, "FL", 14)
    if not more:
        await world.text("Tell me more")
    await world.send("Gladly", **more)
    await wait_until_night(world, resources)
    assert "Gladly" in await claim(resources)


async def test_quiet_hours_count_when_a_text_leaves_but_not_for_an_answer(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    change = {"quietHours": {"enabled": True, "start": "08:00", "end": "21:00"}}
    await world.tenant.call("PATCH", "/settings", change)
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"timezone": zone_where_it_is(14)})
    sent = await world.send("Hi Jane")
    await wait_until_night(world, resources)
    assert await claim(resources) == []
    assert (await message_of(world, sent))["heldReason"] == "quiet hours"
    await world.text("Who is this?")
    await world.send("Solar Co")
    for _ in range(5):  # the carrier is away for longer than an answer's grace
        await pass_time(resources, world.tenant.tenant_id, minutes=5)
    assert await claim(resources) == ["Solar Co"]


async def test_without_rules_a_late_text_is_not_looked_at(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await world.send("Hi Jane")
    await wait_until_night(world, resources)
    assert await claim(resources) == ["Hi Jane"]


async def test_a_text_that_left_late_counts_against_caps_from_then_on(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await world.tenant.call("PATCH", "/settings", {"maxTextsPerDayWithoutReply": 1})
    await world.send("Hi Jane")
    await pass_time(resources, world.tenant.tenant_id, hours=3)
    assert await claim(resources) == ["Hi Jane"]
    await pass_time(resources, world.tenant.tenant_id, hours=22)
    assert (await ask(world)).status_code == 403
    await pass_time(resources, world.tenant.tenant_id, hours=3)
    assert (await ask(world)).status_code == 202

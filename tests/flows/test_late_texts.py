"""What waited for its carrier or its number's pace obeys the hours in which it leaves."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.commands import release
from app.domain import ids
from app.domain.law.caps import CAP_TIME
from app.jobs.deliver import RATES, Delivery
from app.resources import Resources
from app.store import outbox, releasing
from tests.flows.moved_time import pass_time
from tests.flows.test_law import ask, live_in, message_of, zone_where_it_is
from tests.makers import Data
from tests.world import World

Event = Callable[[World], Awaitable[None]]


async def wait_until_night(world: World, resources: Resources) -> None:
    """Five minutes pass, and it is two at night where the lead lives."""
    await pass_time(resources, world.tenant.tenant_id, minutes=5)
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"timezone": zone_where_it_is(2)})


def delivery_of(resources: Resources) -> Delivery:
    return Delivery(resources.database, resources.wire, resources.seal, resources.settings.base_url)


async def claim(resources: Resources) -> list[str]:
    """What a worker would send now."""
    batch = await delivery_of(resources).claim(100)
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

    thread = await world.thread((await world.only_thread())["interactionId"])
    assert [(entry["seq"], entry["status"]) for entry in thread["transcript"]] == [(1, "note"), (2, "sending")]
    assert thread["transcript"][0]["message"].startswith("A text could not leave from here in time.")
    assert [text["message"] for text in thread["scheduled"]] == ["Sale!"]

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


@pytest.mark.parametrize("waited_seconds", [55, 3 * 3600])
async def test_a_text_that_left_late_counts_against_caps_from_then_on(
    idle_world: World, resources: Resources, waited_seconds: int
) -> None:
    world = idle_world
    await world.tenant.call("PATCH", "/settings", {"maxTextsPerDayWithoutReply": 1})
    await world.send("Hi Jane")
    await pass_time(resources, world.tenant.tenant_id, seconds=waited_seconds)
    assert await claim(resources) == ["Hi Jane"]
    await pass_time(resources, world.tenant.tenant_id, seconds=24 * 3600 - 40)
    assert (await ask(world)).status_code == 403
    await pass_time(resources, world.tenant.tenant_id, seconds=45)
    assert (await ask(world)).status_code == 202


async def test_no_text_waits_for_its_carrier_longer_than_it_counts_against_caps(idle_world: World) -> None:
    """Else it could leave beside as many texts as are allowed without it."""
    world, longest = idle_world, int(CAP_TIME.total_seconds())
    entry = {"leadId": world.lead["leadId"], "message": "Hi"}
    for path, body in (("/sms/send", entry), ("/sms/send/bulk", {"messages": [entry]})):
        answer = await world.tenant.ask("POST", path, {**body, "validitySeconds": longest + 1})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_a_text_that_was_held_once_and_is_an_answer_now_stays_one(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    await live_in(world, "FL", 2)
    assert (await world.send("Hi Jane"))["heldUntil"]
    await world.text("Are you the solar people?")
    await pass_time(resources, world.tenant.tenant_id, hours=14)
    async with resources.database.system_tx() as tx:
        await release.release_texts(tx, 100)
    await pass_time(resources, world.tenant.tenant_id, minutes=5)  # its carrier is away
    assert await claim(resources) == ["Hi Jane"]


async def opt_out_and_in(world: World) -> None:
    await world.text("STOP")
    await world.text("START")


async def be_blocked_and_freed(world: World) -> None:
    lead = f"/leads/{world.lead['leadId']}/dnc"
    await world.tenant.call("PUT", lead, {"channels": ["sms"], "reason": "a look"})
    await world.tenant.call("PUT", lead, {"channels": []})


async def write(world: World) -> None:
    await world.text("Call me")


async def revoke_consent(world: World) -> None:
    await world.tenant.call("POST", f"/consent/{world.phone}/revoke", {"scopes": ["marketing"]})


async def do_nothing(world: World) -> None:
    assert world.phone


async def switch_the_agent_off(world: World) -> None:
    thread = await world.only_thread()
    await world.tenant.call("PATCH", f"/interactions/{thread['interactionId']}", {"agentMode": False})


@pytest.mark.parametrize(
    ("event", "source", "status"),
    [
        (opt_out_and_in, "api", "cancelled"),
        (be_blocked_and_freed, "api", "cancelled"),
        (revoke_consent, "api", "cancelled"),
        (switch_the_agent_off, "sms_agent", "cancelled"),
        (switch_the_agent_off, "api", "queued"),
        (write, "api", "queued"),
        (do_nothing, "sms_agent", "queued"),
    ],
)
async def test_what_came_to_nothing_while_it_was_claimed_does_not_leave_in_the_morning(
    idle_world: World, resources: Resources, event: Event, source: str, status: str
) -> None:
    world = idle_world
    sent = await plan_for_the_night(world, resources)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE messages SET source = $2 WHERE message_id = $1", sent["messageId"], source)
    await settle_after(resources, world, event)
    assert "Sale!" not in world.carrier.received(world.phone)
    message = await message_of(world, sent)
    assert (message["status"], message["errorCode"]) == (status, "CANCELLED" if status == "cancelled" else None)


async def test_a_text_that_a_reply_cancels_is_not_held_after_one(idle_world: World, resources: Resources) -> None:
    world = idle_world
    sent = await plan_for_the_night(world, resources, cancelOnReply=True)
    await settle_after(resources, world, write)
    assert world.carrier.received(world.phone) == []
    assert (await message_of(world, sent))["status"] == "cancelled"


async def plan_for_the_night(world: World, resources: Resources, **more: object) -> Data:
    """A text that was planned for the day, and waited for its carrier until the night."""
    await live_in(world, "FL", 14)
    send_at = datetime.now(UTC) + timedelta(minutes=1)
    sent = await world.send("Sale!", sendAt=send_at.isoformat(), **more)
    await pass_time(resources, world.tenant.tenant_id, minutes=3)
    async with resources.database.system_tx() as tx:
        await release.release_texts(tx, 100)
    await wait_until_night(world, resources)
    return sent


async def settle_after(resources: Resources, world: World, event: Event) -> None:
    """A worker claims, this happens, and the worker goes on."""
    lease = ids.make("evt")
    async with resources.database.system_tx() as tx:
        texts = await outbox.claim(tx, lease, 100, RATES)
    assert texts
    await event(world)
    delivery = delivery_of(resources)
    await delivery.deliver_batch(await delivery.judge(lease, texts, time.monotonic()))


@contextlib.asynccontextmanager
async def failing_holds(world: World, resources: Resources, times: int) -> AsyncIterator[None]:
    """So many statements that hold a text of the tenant end in a deadlock."""
    owner = await asyncpg.connect(resources.settings.database_url)
    await owner.execute(f"""
        CREATE SEQUENCE failed_holds;
        CREATE FUNCTION fail_to_hold() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
            IF nextval('failed_holds') <= {times} THEN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END IF;
            RETURN new;
        END $$;
        CREATE TRIGGER fail_to_hold BEFORE UPDATE ON messages FOR EACH ROW
        WHEN (new.held_until IS NOT NULL AND new.tenant_id = '{world.tenant.tenant_id}') EXECUTE FUNCTION fail_to_hold()
    """)
    try:
        yield
    finally:
        await owner.execute("""
            DROP TRIGGER fail_to_hold ON messages; DROP FUNCTION fail_to_hold; DROP SEQUENCE failed_holds
        """)
        await owner.close()


async def test_a_hold_that_fails_once_is_tried_again(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await live_in(world, "FL", 14)
    sent = await world.send("Sale!")
    await wait_until_night(world, resources)
    async with failing_holds(world, resources, times=1):
        assert await claim(resources) == []
    assert (await message_of(world, sent))["heldUntil"]


async def test_what_cannot_be_held_is_given_back_and_nothing_becomes_unknown(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    await live_in(world, "FL", 14)
    sent = await world.send("Sale!")
    await wait_until_night(world, resources)
    async with failing_holds(world, resources, times=1000):
        with pytest.raises(asyncpg.DeadlockDetectedError):
            await claim(resources)
        message = await message_of(world, sent)
        assert (message["status"], message["heldUntil"]) == ("queued", None)
    await pass_time(resources, world.tenant.tenant_id, seconds=10)
    assert await claim(resources) == []
    assert (await message_of(world, sent))["heldUntil"]


@pytest.mark.parametrize("hour", [2, 14])
async def test_texts_of_one_moment_that_are_held_keep_their_order(
    idle_world: World, resources: Resources, hour: int
) -> None:
    world = idle_world
    await live_in(world, "GA", hour)
    await world.tenant.call("PATCH", f"/phone-numbers/{world.number['phoneNumberId']}", {"messagesPerSecond": 1000})
    texts = [str(number) for number in range(6)]
    entries = [{"leadId": world.lead["leadId"], "message": text} for text in texts]
    sent = (await world.tenant.call("POST", "/sms/send/bulk", {"messages": entries}))["results"]
    await wait_until_night(world, resources)
    for _ in texts:
        assert await claim(resources) == []
    held = [await message_of(world, one) for one in sent]
    assert len({message["heldUntil"] for message in held}) == 1
    await pass_time(resources, world.tenant.tenant_id, hours=14)
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"timezone": zone_where_it_is(14)})
    async with resources.database.system_tx() as tx:
        await release.release_texts(tx, 100)
    thread = await world.only_thread()
    transcript = (await world.thread(thread["interactionId"]))["transcript"]
    assert [entry["message"] for entry in transcript if entry["status"] != "note"] == texts
    places = len(texts) if hour == 2 else 2 * len(texts)  # a note stands where each text had stood
    assert [entry["seq"] for entry in transcript] == list(range(1, places + 1))

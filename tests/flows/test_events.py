"""The feed: what happened, in order, none skipped."""

import asyncio

import pytest

from app.resources import Resources
from tests.makers import Data, Tenant
from tests.world import World, until

OLDEST_SINCE = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8 > $1"


async def feed(tenant: Tenant, query: str = "wait=0") -> Data:
    return await tenant.call("GET", f"/events?{query}")


async def settle(resources: Resources) -> None:
    """Waits for all transactions of now, those of other tests on the same server too: until
    they end the feed holds back what came after them."""
    async with resources.database.system_tx() as tx:
        mine = await tx.fetch_value("SELECT pg_current_xact_id()::text::int8")

    async def ended() -> bool:
        async with resources.database.system_tx() as tx:
            return bool(await tx.fetch_value(OLDEST_SINCE, mine))

    await until(ended)


async def all_of(tenant: Tenant, query: str = "") -> list[Data]:
    """Everything the feed tells so far, page by page."""
    events: list[Data] = []
    after = ""
    while True:
        page = await feed(tenant, f"wait=0&limit=3{after}{query}")
        events += page["events"]
        if not page["hasMore"]:
            return events
        after = f"&after={page['nextCursor']}"


async def test_a_send_its_receipts_and_the_answer_are_told_in_order(world: World, resources: Resources) -> None:
    sent = await world.send("Hi Jane", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    world.agent.answers = [(200, {"reply": "Yes"})]
    await world.text("Hello?")
    turn = await world.turn_is(sent["interactionId"], "replied")
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")
    await settle(resources)
    events = await all_of(world.tenant)
    mine = [e for e in events if e["data"].get("messageId") == sent["messageId"]]
    assert [(e["type"], e["data"]["status"]) for e in mine] == [
        ("message", "queued"), ("receipt", "sending"), ("receipt", "sent"),
        ("receipt", "delivered"),
    ]  # fmt: skip
    states = [e["data"]["state"] for e in events if e["type"] == "turn"]
    assert states[0] == "collecting"
    assert states[-1] == "replied"
    assert {e["interactionId"] for e in events} == {sent["interactionId"]}
    assert len({e["eventId"] for e in events}) == len(events)


async def test_types_narrow_the_feed(idle_world: World, resources: Resources) -> None:
    sent = await idle_world.send()
    await idle_world.tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "dnc"})
    await settle(resources)
    assert {e["type"] for e in await all_of(idle_world.tenant)} == {
        "message", "receipt", "status", "consent",
    }  # fmt: skip
    only = await all_of(idle_world.tenant, "&types=status,consent")
    assert [e["type"] for e in only] == ["consent", "status"]


@pytest.mark.parametrize(
    "query", ["after=x", "after=1", "after=1-", "after=9999999999999999999-1", "types=lead",
              "limit=0", "wait=26"],
)  # fmt: skip
async def test_what_the_feed_cannot_read_is_refused(tenant: Tenant, query: str) -> None:
    answer = await tenant.ask("GET", f"/events?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_a_listener_is_answered_as_soon_as_something_happens(idle_world: World, resources: Resources) -> None:
    await idle_world.send()
    await settle(resources)
    after = (await all_of(idle_world.tenant))[-1]["eventId"]
    listening = asyncio.create_task(feed(idle_world.tenant, f"wait=10&after={after}"))
    await asyncio.sleep(0.5)
    assert not listening.done()
    await idle_world.text("Hello")
    page = await asyncio.wait_for(listening, 10)
    assert page["events"][0]["type"] == "message"
    assert (await feed(idle_world.tenant, f"wait=1&after={page['nextCursor']}"))["events"] == []


async def test_a_late_commit_is_never_skipped(idle_world: World, resources: Resources) -> None:
    """An earlier transaction that commits last holds the feed back until it is there."""
    tenant = idle_world.tenant
    sent = await idle_world.send()
    await settle(resources)
    change = "UPDATE interactions SET status = 'qualified' WHERE interaction_id = $1"
    async with resources.database.system_tx() as tx:
        await tx.execute(change, sent["interactionId"])
        await tenant.call("PUT", "/leads/other", {"firstName": "X", "phone": "+12125550177"})
        await tenant.call("POST", "/sms/send", {"leadId": "other", "message": "Hi"})
        early = [e["type"] for e in await all_of(tenant)]
    await settle(resources)
    late = [(e["type"], e["interactionId"]) for e in await all_of(tenant)]
    assert early == ["message"]
    assert late[1][0] == "status"
    assert late[2][0] == "message"
    assert late[2][1] != sent["interactionId"]


async def test_another_tenants_events_are_not_told(
    idle_world: World, other_tenant: Tenant, resources: Resources
) -> None:
    await idle_world.send()
    await settle(resources)
    assert await all_of(other_tenant) == []
    assert (await feed(other_tenant))["nextCursor"] is None


async def test_a_cursor_of_before_a_restore_begins_anew(world: World, resources: Resources) -> None:
    sent = await world.send("Hello")
    await world.status_is(sent["messageId"], "delivered")
    await settle(resources)
    events = await all_of(world.tenant)
    assert events
    again = await feed(world.tenant, f"wait=0&limit=100&after={2**62}-1")
    assert again["events"] == events

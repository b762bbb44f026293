"""Working together: whose a thread is, until when it rests, notes for colleagues."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.resources import Resources
from app.store import notices
from tests.flows.test_events import settle
from tests.makers import Data, Tenant, phone
from tests.web.people import add_person
from tests.web.test_directory import details
from tests.world import World


@pytest.fixture
async def jane(resources: Resources, idle_world: World) -> str:
    return await add_person(resources, idle_world.tenant.tenant_id, "jane@example.com")


@pytest.fixture
async def omar(resources: Resources, idle_world: World) -> str:
    return await add_person(resources, idle_world.tenant.tenant_id, "omar.k@example.com")


async def told(world: World, resources: Resources, *types: str) -> list[Data]:
    """The events of these types, as the feed tells them."""
    await settle(resources)
    page = await world.tenant.call("GET", f"/events?wait=0&limit=100&types={','.join(types)}")
    events: list[Data] = page["events"]
    return events


async def notes_of(world: World, thread_id: str) -> list[str]:
    transcript = (await world.thread(thread_id))["transcript"]
    return [entry["message"] for entry in transcript if entry["status"] == "note"]


async def listed(tenant: Tenant, query: str) -> list[str]:
    page = await tenant.call("GET", f"/interactions?{query}")
    return [thread["interactionId"] for thread in page["interactions"]]


async def test_a_thread_is_assigned_to_a_person_and_to_nobody(
    idle_world: World, resources: Resources, jane: str, omar: str
) -> None:
    world, tenant = idle_world, idle_world.tenant
    thread_id = (await world.send())["interactionId"]
    for person in (jane, jane, omar, None):
        thread = await tenant.call("PATCH", f"/interactions/{thread_id}", {"assignedTo": person})
        assert thread["assignedTo"] == person
        assert await listed(tenant, f"assignedTo={person or 'nobody'}") == [thread_id]
        assert await listed(tenant, f"assignedTo={'nobody' if person else omar}") == []
    events = await told(world, resources, "interaction.assigned")
    assert [(event["before"]["assignedTo"], event["data"]["assignedTo"]) for event in events] == [
        (None, jane), (jane, omar), (omar, None),
    ]  # fmt: skip
    assert {event["actor"].partition(":")[0] for event in events} == {"key"}
    assert [note.partition("assigned ")[2] for note in await notes_of(world, thread_id)] == [
        "this to jane@example.com.", "this to omar.k@example.com.", "this to nobody.",
    ]  # fmt: skip


async def test_a_thread_is_not_assigned_to_a_stranger_or_who_left(
    idle_world: World, other_tenant: Tenant, resources: Resources, jane: str
) -> None:
    thread_id = (await idle_world.send())["interactionId"]
    stranger = await add_person(resources, other_tenant.tenant_id, "eve@example.com")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE users SET active = false WHERE user_id = $1", jane)
    for person in (stranger, jane, "nobody"):
        refused = await idle_world.tenant.ask("PATCH", f"/interactions/{thread_id}", {"assignedTo": person})
        assert details(refused) == ["assignedTo: is not an active person"]


async def test_a_patch_that_does_not_name_a_field_leaves_it(idle_world: World, jane: str) -> None:
    tenant, thread_id = idle_world.tenant, (await idle_world.send())["interactionId"]
    await tenant.call("PATCH", f"/interactions/{thread_id}", {"assignedTo": jane, "snoozedUntil": "reply"})
    thread = await tenant.call("PATCH", f"/interactions/{thread_id}", {"status": "qualified"})
    assert (thread["assignedTo"], thread["snoozedUntil"], thread["status"]) == (jane, "reply", "qualified")


@pytest.mark.parametrize("until", ["reply", datetime.now(UTC) + timedelta(days=2)])
async def test_a_snooze_lasts_until_the_lead_writes(idle_world: World, resources: Resources, until: Any) -> None:
    world, tenant = idle_world, idle_world.tenant
    thread_id = (await world.send())["interactionId"]
    await world.text("Call me")
    end = until if until == "reply" else until.isoformat()
    thread = await tenant.call("PATCH", f"/interactions/{thread_id}", {"snoozedUntil": end})
    assert thread["waitingSince"] is None
    assert (thread["snoozedUntil"] == "reply") is (until == "reply")
    assert await listed(tenant, "view=snoozed") == [thread_id]
    assert await listed(tenant, "view=waiting") == []
    await world.text("Hello?")
    thread = await world.thread(thread_id)
    assert thread["snoozedUntil"] is None
    assert thread["waitingSince"]
    assert await listed(tenant, "view=snoozed") == []
    assert await listed(tenant, "view=waiting") == [thread_id]
    [snoozed] = await told(world, resources, "interaction.snoozed")
    assert snoozed["before"] == {"snoozedUntil": None}
    assert snoozed["data"]["snoozedUntil"]


async def test_a_snooze_ends_by_itself_and_by_hand(idle_world: World, resources: Resources) -> None:
    world, tenant = idle_world, idle_world.tenant
    thread_id = (await world.send())["interactionId"]
    await world.text("Call me")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await tenant.call("PATCH", f"/interactions/{thread_id}", {"snoozedUntil": soon})
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE interactions SET snoozed_until = clock_timestamp() - interval '1 s'")
    assert await listed(tenant, "view=waiting") == [thread_id]
    await tenant.call("PATCH", f"/interactions/{thread_id}", {"snoozedUntil": "reply"})
    assert await listed(tenant, "view=waiting") == []
    await tenant.call("PATCH", f"/interactions/{thread_id}", {"snoozedUntil": None})
    assert await listed(tenant, "view=waiting") == [thread_id]
    [ended] = await told(world, resources, "interaction.unsnoozed")
    assert (ended["before"], ended["data"]["snoozedUntil"]) == ({"snoozedUntil": "reply"}, None)


async def test_a_snooze_ends_in_the_future_and_within_a_year(idle_world: World) -> None:
    thread_id = (await idle_world.send())["interactionId"]
    for days in (-1, 400):
        until = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        refused = await idle_world.tenant.ask("PATCH", f"/interactions/{thread_id}", {"snoozedUntil": until})
        assert details(refused) == ["snoozedUntil: must be within a year from now"]
    refused = await idle_world.tenant.ask("PATCH", f"/interactions/{thread_id}", {"snoozedUntil": "soon"})
    assert details(refused)[0].startswith("snoozedUntil")


async def test_a_note_is_for_colleagues_and_counts_as_no_text(
    idle_world: World, resources: Resources, jane: str, omar: str
) -> None:
    world, tenant = idle_world, idle_world.tenant
    thread_id = (await world.send("Hi Jane"))["interactionId"]
    before = await world.thread(thread_id)
    note = await tenant.call(
        "POST", f"/interactions/{thread_id}/notes", {"text": "@omar.k and @Jane, not @sam: she wants a discount"}
    )
    assert sorted(note["mentions"]) == sorted([jane, omar])
    assert (note["seq"], note["forAgent"], note["authorName"]) == (2, False, "First key")
    after = await world.thread(thread_id)
    same = ("lastMessageAt", "lastMessagePreview", "unreadCount", "waitingSince", "status", "sms")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    entry = after["transcript"][-1]
    assert (entry["status"], entry["note"]["author"]) == ("note", note["author"])
    assert [text["message"] for text in (await tenant.call("GET", "/messages"))["messages"]] == ["Hi Jane"]
    assert await listed(tenant, "search=discount&in=messages") == [thread_id]
    assert world.carrier.received(world.phone) == []
    events = await told(world, resources, "message.note", "interaction.mentioned")
    assert [event["type"] for event in events] == ["message.note", "interaction.mentioned", "interaction.mentioned"]
    assert {event["data"]["personId"] for event in events[1:]} == {jane, omar}
    assert (await tenant.call("GET", f"/interactions/{thread_id}/notes"))["notes"] == [note]


async def test_notes_are_listed_in_pages_without_those_of_the_service(idle_world: World) -> None:
    tenant, thread_id = idle_world.tenant, (await idle_world.send())["interactionId"]
    for n in range(3):
        await tenant.call("POST", f"/interactions/{thread_id}/notes", {"text": f"Note {n}"})
        await tenant.call("PATCH", f"/interactions/{thread_id}", {"agentMode": n % 2 == 0})
    first = await tenant.call("GET", f"/interactions/{thread_id}/notes?limit=2")
    rest = await tenant.call("GET", f"/interactions/{thread_id}/notes?limit=2&cursor={first['nextCursor']}")
    assert [note["text"] for note in first["notes"] + rest["notes"]] == ["Note 2", "Note 1", "Note 0"]
    assert rest["nextCursor"] is None


async def test_a_mention_is_told_to_that_person_alone(
    idle_world: World, resources: Resources, jane: str, omar: str
) -> None:
    """On the page, where nobody chose otherwise; Omar has chosen to be told of nothing there."""
    world = idle_world
    thread_id = (await world.send())["interactionId"]
    async with resources.database.tenant_tx(world.tenant.tenant_id) as tx:
        await notices.save_way(tx, world.tenant.tenant_id, omar, "page", [], None)
    await world.tenant.call("POST", f"/interactions/{thread_id}/notes", {"text": "@jane, @omar.k: look"})
    await settle(resources)
    async with resources.database.tenant_tx(world.tenant.tenant_id) as tx:
        [event] = await notices.list_newest(tx, world.tenant.tenant_id, jane)
        assert (event.name, event.subject_id, event.is_new) == ("interaction.mentioned", thread_id, True)
        assert await notices.list_newest(tx, world.tenant.tenant_id, omar) == []


async def test_many_threads_change_at_once_and_each_refusal_is_told(idle_world: World, jane: str) -> None:
    world, tenant = idle_world, idle_world.tenant
    thread_ids = [(await world.send())["interactionId"]]
    for _ in range(2):
        lead = await tenant.lead(phone=phone(), campaignId=world.campaign["campaignId"])
        sent = await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
        thread_ids.append(sent["interactionId"])
    await world.text("STOP")
    asked = [*thread_ids, "int_none"]
    done = await tenant.call(
        "POST",
        "/interaction-changes",
        {"interactionIds": asked, "status": "qualified", "assignedTo": jane, "snoozedUntil": "reply"},
    )
    assert [result["interactionId"] for result in done["results"]] == asked
    assert [result["error"] and result["error"]["code"] for result in done["results"]] == [
        "SUPPRESSION_ACTIVE", None, None, "NOT_FOUND",
    ]  # fmt: skip
    assert (done["changed"], done["refused"]) == (2, 2)
    for thread_id, expected in zip(thread_ids, (None, jane, jane), strict=True):
        assert (await world.thread(thread_id))["assignedTo"] == expected
    refused = await tenant.ask("POST", "/interaction-changes", {"interactionIds": asked, "assignedTo": "nobody"})
    assert details(refused) == ["assignedTo: is not an active person"]


async def test_an_erased_lead_takes_notes_and_marks_with_it(idle_world: World, resources: Resources, jane: str) -> None:
    world, tenant = idle_world, idle_world.tenant
    thread_id = (await world.send())["interactionId"]
    key = {"Idempotency-Key": "a-note-1"}
    path = f"/interactions/{thread_id}/notes"
    await tenant.call("POST", path, {"text": "@jane: Zanzibar"}, headers=key)
    await tenant.call("POST", f"/interactions/{thread_id}/read", {"throughSeq": 1, "personId": jane})
    await tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    async with resources.database.system_tx() as tx:
        for table in ("messages", "read_marks", "tenant_events", "idempotency", "interactions"):
            rows = await tx.fetch_rows(
                f"SELECT 1 FROM {table} t WHERE tenant_id = $1 AND t::text ~ $2", tenant.tenant_id, thread_id
            )
            assert rows == [], table


async def test_an_agent_gets_a_note_only_if_it_is_for_it(world: World) -> None:
    tenant, thread_id = world.tenant, (await world.send(agentMode=True))["interactionId"]
    path = f"/interactions/{thread_id}/notes"
    await tenant.call("POST", path, {"text": "She is a friend of mine"})
    await world.text("How much is it?")
    payload = await world.told(1)
    assert "notes" not in payload["interaction"]
    assert [entry["message"] for entry in payload["interaction"]["transcript"]] == ["Hi Jane", "How much is it?"]
    note = await tenant.call("POST", path, {"text": "Offer her 10 % off", "forAgent": True})
    await world.text("Hello?")
    payload = await world.told(2)
    [shown] = payload["interaction"]["notes"]
    assert (shown["messageId"], shown["text"]) == (note["messageId"], "Offer her 10 % off")
    assert "Offer" not in str(payload["interaction"]["transcript"])
    agent = await tenant.with_scope("agent", world.smsagent["smsAgentId"])
    for entries in (
        (await agent.call("GET", f"/interactions/{thread_id}"))["transcript"],
        (await agent.call("GET", f"/interactions/{thread_id}/messages"))["messages"],
    ):
        assert [entry["message"] for entry in entries if "note" in entry] == ["Offer her 10 % off"]
    assert (await agent.ask("GET", path)).status_code == 403

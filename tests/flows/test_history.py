"""Who changed what in a thread: a note in its transcript, an actor in the feed, a step in its history."""

from typing import Any

import pytest

from app.resources import Resources
from tests.flows.test_agent_mode import reply, talking
from tests.flows.test_events import all_of, settle
from tests.flows.test_hand_offs import WISH, by_hand, notes
from tests.flows.test_opted_out import REPORTED
from tests.flows.test_outcomes import OUTCOME
from tests.flows.test_turn_sets import fall_due
from tests.flows.test_turns import change_agent
from tests.makers import Data
from tests.web.people import Browser
from tests.world import World, until

SAM = "sam@example.com"


async def history(world: World, thread: str) -> list[tuple[str, str, str]]:
    """From, to and kind of actor of each step."""
    steps = (await world.thread(thread))["statusHistory"]
    return [(step["from"], step["status"], (step["actor"] or "").partition(":")[0]) for step in steps]


async def opened(world: World, **more: Any) -> str:
    return str((await world.send(**more))["interactionId"])


async def patch(world: World, thread: str, **fields: Any) -> Data:
    return await world.tenant.call("PATCH", f"/interactions/{thread}", fields)


async def test_a_key_that_sets_a_status_is_named(idle_world: World, resources: Resources) -> None:
    world = idle_world
    thread = await opened(world)
    before = await world.thread(thread)
    shown = await patch(world, thread, status="qualified")
    assert notes(shown) == ["The API key First key set the status to qualified."]
    [step] = shown["statusHistory"]
    keys = await world.tenant.call("GET", "/api-keys")
    key_id = keys["apiKeys"][-1]["keyId"]
    assert step | {"at": None} == {
        "status": "qualified", "from": "in_progress", "actor": f"key:{key_id}", "actorName": "First key",
        "rule": "hand", "at": None,
    }  # fmt: skip
    for field in ("lastMessagePreview", "lastMessageAt", "unreadCount", "agentState", "sms", "telephony"):
        assert shown[field] == before[field]
    await settle(resources)
    events = await all_of(world.tenant)
    [changed] = [event for event in events if event["type"] == "status" and event["before"]]
    assert (changed["actor"], changed["before"]) == (f"key:{key_id}", {"status": "in_progress"})
    assert (changed["data"]["status"], changed["data"]["rule"]) == ("qualified", "hand")
    [told] = [event for event in events if event["data"].get("status") == "note"]
    assert told["actor"] == f"key:{key_id}"


@pytest.mark.parametrize("fields", [{"status": "in_progress"}, {"agentMode": False}, {}])
async def test_what_is_so_already_leaves_nothing(idle_world: World, fields: Data) -> None:
    thread = await opened(idle_world)
    shown = await patch(idle_world, thread, **fields)
    assert (notes(shown), shown["statusHistory"]) == ([], [])


async def test_the_same_status_again_leaves_nothing(idle_world: World) -> None:
    thread = await opened(idle_world)
    for _ in range(2):
        shown = await patch(idle_world, thread, status="follow_up", agentMode=True)
    assert notes(shown) == [
        "The API key First key set the status to follow up.", "The API key First key switched agent mode on.",
    ]  # fmt: skip
    assert await history(idle_world, thread) == [("in_progress", "follow_up", "key")]


async def test_a_person_is_named_on_the_page_and_in_the_api(idle_world: World, sam: Browser) -> None:
    world = idle_world
    thread = await opened(world, agentMode=True)
    page = await sam.page(f"/conversations/{thread}")
    for action, fields in (
        ("/status", {"status": "completed"}), ("/agent-mode", {"on": "off"}),
        ("/answers", {"key": "bill", "answer": "120"}), ("/answers", {"key": "bill", "answer": "120"}),
    ):  # fmt: skip
        assert (await sam.submit(page, action, **fields)).status_code == 303
    shown = await world.thread(thread)
    assert notes(shown) == [
        f"{SAM} set the status to completed.", f"{SAM} switched agent mode off.",
        f"{SAM} answered “How high is your bill?” 120",
    ]  # fmt: skip
    [step] = shown["statusHistory"]
    assert (step["actor"][:12], step["actorName"]) == ("person:user_", SAM)
    page = await sam.page(f"/conversations/{thread}")
    assert f"{SAM} set the status to completed." in page


@pytest.mark.parametrize("on", [True, False])
async def test_a_send_that_switches_agent_mode_says_so_after_the_text(idle_world: World, on: bool) -> None:
    thread = await opened(idle_world, agentMode=not on)
    assert notes(await idle_world.thread(thread)) == []
    await opened(idle_world, agentMode=on)
    shown = await idle_world.thread(thread)
    word = "on" if on else "off"
    assert [entry["message"] for entry in shown["transcript"]][1:] == [
        "Hi Jane", f"The API key First key switched agent mode {word}.",
    ]  # fmt: skip


async def test_an_outcome_is_told_with_all_that_it_changed(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, OUTCOME)]
    await world.text("120")
    await world.turn_is(thread, "concluded")
    shown = await world.thread(thread)
    assert notes(shown) == [
        "The agent set the status to qualified, set the lead's status to won"
        " and recorded “How high is your bill?” about 120.",
        "She sounds keen.",
    ]  # fmt: skip
    [step] = shown["statusHistory"]
    agent_id = world.smsagent["smsAgentId"]
    assert (step["actor"], step["actorName"], step["rule"]) == (f"agent:{agent_id}", "Agent", "outcome")
    await world.text("Hello?")
    told = await world.told(2)
    assert "set the status" not in str(told)
    await world.turn_is(thread, "awaiting_reply")
    assert (await reply(world, "Yes?", turnId=told["turn"]["turnId"])).status_code == 202


async def test_an_outcome_that_changes_nothing_has_no_note(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"status": "in_progress", "leadStatus": "contacted", "summary": "As before"})]
    await world.text("120")
    await world.turn_is(thread, "concluded")
    assert notes(await world.thread(thread)) == []
    assert await history(world, thread) == []


async def test_a_hand_off_is_one_note_and_a_step(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, WISH)]
    await world.text("120")
    await world.turn_is(thread, "handed_off")
    assert len(notes(await world.thread(thread))) == 1
    assert await history(world, thread) == [("in_progress", "follow_up", "agent")]


async def test_a_turn_that_nobody_answers_is_the_services_step(world: World, resources: Resources) -> None:
    thread = await talking(world)
    await world.text("120")
    await world.turn_is(thread, "awaiting_reply")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE turns SET due_at = clock_timestamp()")
    await world.turn_is(thread, "expired")
    assert await history(world, thread) == [("in_progress", "follow_up", "service")]


async def test_the_feed_names_who_took_over(world: World, resources: Resources) -> None:
    thread = await talking(world)
    await world.text("120")
    await world.turn_is(thread, "awaiting_reply")
    await by_hand(world, resources, (world.tenant.tenant_id, thread))
    assert notes(await world.thread(thread)) == ["A person took over from the agent."]
    await settle(resources)
    [told] = [event for event in await all_of(world.tenant) if event["data"].get("status") == "note"]
    assert told["actor"] == "person:user_1"


async def two_threads(world: World) -> tuple[str, str]:
    other = await world.tenant.number(providerAccountId=world.account["accountId"])
    return await opened(world), await opened(world, **{"from": other["phoneNumber"]})


async def test_the_leads_own_word_stands_in_its_thread_and_is_told_in_the_others(idle_world: World) -> None:
    mine, other = await two_threads(idle_world)
    await idle_world.text("STOP")
    await idle_world.text("START")
    assert notes(await idle_world.thread(mine)) == []
    assert notes(await idle_world.thread(other)) == [
        "The lead opted out in another conversation.", "The lead opted in again in another conversation.",
    ]  # fmt: skip
    for thread in (mine, other):
        assert await history(idle_world, thread) == [("in_progress", "dnc", "lead"), ("dnc", "in_progress", "lead")]
    assert [step["rule"] for step in (await idle_world.thread(mine))["statusHistory"]] == ["word", "word"]


@pytest.mark.parametrize("way", ["status", "lead", "phone"])
async def test_do_not_contact_by_hand_is_told_in_all_threads_of_the_phone(idle_world: World, way: str) -> None:
    world = idle_world
    threads = await two_threads(world)
    lead = f"/leads/{world.lead['leadId']}/dnc"
    for _ in range(2):
        match way:
            case "status":
                await patch(world, threads[0], status="dnc")
            case "lead":
                await world.tenant.call("PUT", lead, {"channels": ["sms"]})
            case "phone":
                await world.tenant.call("POST", "/suppressions", {"phones": [world.phone]})
    stopped = "The API key First key set the status to dnc."
    assert [notes(await world.thread(thread)) for thread in threads] == [[stopped], [stopped]]
    match way:
        case "status":
            await patch(world, threads[0], status="qualified")
        case "lead":
            await world.tenant.call("DELETE", lead)
        case "phone":
            await world.tenant.call("DELETE", f"/suppressions/{world.phone}")
    lifted = "The API key First key lifted do-not-contact: the status is in progress again."
    set_to = "The API key First key set the status to qualified." if way == "status" else lifted
    assert [notes(await world.thread(thread)) for thread in threads] == [[stopped, set_to], [stopped, lifted]]


async def test_an_agents_do_not_contact_is_told_once(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"status": "dnc"})]
    await world.text("My wife says to leave it")
    await world.turn_is(thread, "concluded")
    assert notes(await world.thread(thread)) == ["The agent set the status to dnc."]
    [step] = (await world.thread(thread))["statusHistory"]
    assert (step["status"], step["actor"]) == ("dnc", f"agent:{world.smsagent['smsAgentId']}")


async def test_a_carriers_opt_out_is_the_carriers(world: World) -> None:
    sent = await world.send(to=REPORTED)

    async def stopped() -> bool:
        return bool((await world.thread(sent["interactionId"]))["statusHistory"])

    await until(stopped)
    assert await history(world, sent["interactionId"]) == [("in_progress", "dnc", "carrier")]
    assert notes(await world.thread(sent["interactionId"])) == ["The carrier reports that the lead opted out."]


async def test_the_feed_names_who_changed_consent(idle_world: World, resources: Resources) -> None:
    await opened(idle_world)
    await idle_world.text("STOP")
    await idle_world.tenant.call("POST", "/suppressions", {"phones": [idle_world.phone]})
    await settle(resources)
    actors = [event["actor"] for event in await all_of(idle_world.tenant, "&types=consent")]
    assert actors[0] == "lead"
    assert actors[1].startswith("key:key_")


async def test_an_export_has_the_history_and_an_erasure_removes_it(idle_world: World, resources: Resources) -> None:
    thread = await opened(idle_world)
    await patch(idle_world, thread, status="qualified")
    exported = await idle_world.tenant.call("GET", f"/leads/{idle_world.lead['leadId']}/export")
    [step] = exported["interactions"][0]["statusHistory"]
    assert (step["from"], step["status"]) == ("in_progress", "qualified")
    await idle_world.tenant.call("POST", f"/leads/{idle_world.lead['leadId']}/erase")
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT count(*) FROM status_changes") == 0


async def test_a_person_who_only_switches_the_agent_off_withdraws_it_once(world: World, resources: Resources) -> None:
    await change_agent(world, batchWindowMs=60_000, maxWaitMs=60_000)
    thread = await talking(world)
    await world.text("120")
    await fall_due(resources)
    await patch(world, thread, agentMode=False)
    assert notes(await world.thread(thread)) == ["The API key First key switched agent mode off."]

"""Two leads that are one person are merged: everything of one becomes the other's."""

import asyncio
from typing import Any

import pytest

from app.resources import Resources
from tests.flows.test_agent_mode import talking
from tests.flows.test_erase import WAITED_FOR
from tests.flows.test_events import settle
from tests.makers import Data, Tenant, phone
from tests.web.test_directory import placeholder
from tests.world import World, until

OWNERS_SQL = """
SELECT lead_id FROM interactions WHERE tenant_id = $1 UNION SELECT lead_id FROM messages WHERE tenant_id = $1
UNION SELECT lead_id FROM lead_answers WHERE tenant_id = $1
"""


async def merge(tenant: Tenant, lead_id: str, other_id: str) -> Data:
    return await tenant.call("POST", f"/leads/{lead_id}/merge", {"from": other_id})


async def owners(resources: Resources, tenant: Tenant) -> list[str]:
    """The leads of all threads, texts and answers."""
    async with resources.database.system_tx() as tx:
        return sorted(row["lead_id"] for row in await tx.fetch_rows(OWNERS_SQL, tenant.tenant_id))


async def test_empty_fields_are_filled_and_lists_united(tenant: Tenant) -> None:
    campaign = await tenant.campaign()
    kept = await tenant.lead(
        firstName="Jane", lastName="", phone=None, status="won", tags=["a", "b"], customFields={"plan": "gold", "x": 1}
    )
    other = await tenant.lead(
        firstName="J.", lastName="Miller", email="jane@example.com", timezone="Europe/Berlin", status="new",
        campaignId=campaign["campaignId"], tags=["b", "c"], customFields={"plan": "iron", "y": False},
    )  # fmt: skip
    merged = await merge(tenant, kept["leadId"], other["leadId"])
    assert merged == await tenant.call("GET", f"/leads/{kept['leadId']}")
    told = {name: merged[name] for name in ("firstName", "lastName", "email", "timezone", "status", "phone")}
    assert told == {
        "firstName": "Jane", "lastName": "Miller", "email": "jane@example.com", "timezone": "Europe/Berlin",
        "status": "won", "phone": other["phone"],
    }  # fmt: skip
    assert (merged["campaignId"], merged["tags"]) == (campaign["campaignId"], ["a", "b", "c"])
    assert merged["customFields"] == {"plan": "gold", "x": 1, "y": False}
    assert (await tenant.ask("GET", f"/leads/{other['leadId']}")).status_code == 404


async def test_the_feed_tells_which_lead_became_which(tenant: Tenant, resources: Resources) -> None:
    kept, other = (await tenant.lead())["leadId"], (await tenant.lead(phone=phone()))["leadId"]
    await merge(tenant, kept, other)
    await settle(resources)
    [event] = (await tenant.call("GET", "/events", params={"types": "lead.merged", "wait": "0"}))["events"]
    assert event["data"] == {"leadId": kept, "mergedLeadId": other}
    assert event["actor"].startswith("key:key_")


async def test_threads_texts_and_the_open_turn_move_and_go_on(world: World, resources: Resources) -> None:
    tenant, old_id = world.tenant, world.lead["leadId"]
    thread = await talking(world)
    await world.text("Are you there?")
    payload = await world.told(1)
    kept = await tenant.lead(leadId="kept", phone=phone())
    other_thread = (await world.send("Hi", leadId="kept"))["interactionId"]
    await merge(tenant, "kept", old_id)
    assert await owners(resources, tenant) == ["kept"]
    threads = (await tenant.call("GET", "/interactions/lead/kept"))["interactions"]
    assert {one["interactionId"] for one in threads} == {thread, other_thread}
    assert {one["phone"] for one in threads} == {world.phone, kept["phone"]}
    answer = {"leadId": "kept", "message": "Yes!", "source": "sms_agent", "turnId": payload["turn"]["turnId"]}
    sent = await tenant.call("POST", "/sms/send", answer)
    assert sent["interactionId"] == thread
    await world.turn_is(thread, "replied")
    await world.text("Good")
    assert (await world.told(2))["lead"]["leadId"] == "kept"
    refused = await tenant.ask("POST", "/sms/send", {"leadId": old_id, "message": "Hi"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_texts_that_stand_in_a_thread_of_a_third_lead_move_too(idle_world: World, resources: Resources) -> None:
    """Leads that share a phone share its thread."""
    tenant = idle_world.tenant
    await idle_world.send("Hi Jane")
    await tenant.lead(leadId="twin", phone=idle_world.phone)
    await idle_world.send("Hi twin", leadId="twin")
    await tenant.lead(leadId="kept", phone=phone())
    await merge(tenant, "kept", "twin")
    assert await owners(resources, tenant) == sorted(["kept", idle_world.lead["leadId"]])


def questionnaire(**answers: str) -> list[Data]:
    return [{"key": key, "question": f"{key}?", "answer": answer} for key, answer in answers.items()]


async def test_the_newest_answer_stays_and_a_persons_answer_stays_before_it(
    tenant: Tenant, resources: Resources
) -> None:
    await tenant.lead(leadId="kept", questionnaire=questionnaire(old="kept", person="kept", own="kept"))
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE lead_answers SET author = 'person:usr_1' WHERE key = 'person'")
    await tenant.lead(leadId="other", questionnaire=questionnaire(old="newer", person="newer", new="other"))
    merged = await merge(tenant, "kept", "other")
    assert merged["questionnaire"] == questionnaire(old="newer", person="kept", own="kept", new="other")
    answers = (await tenant.call("GET", "/leads/kept/export"))["answers"]
    newest = {answer["key"]: (answer["answer"], answer["author"].partition(":")[0]) for answer in answers}
    assert newest == {
        "old": ("newer", "key"), "person": ("kept", "person"), "own": ("kept", "key"), "new": ("other", "key"),
    }  # fmt: skip
    await tenant.call("PATCH", "/leads/kept", {"questionnaire": merged["questionnaire"]})
    assert len((await tenant.call("GET", "/leads/kept/export"))["answers"]) == len(answers), "nothing was new"


@pytest.mark.parametrize("blocked", ["kept", "other"])
async def test_what_either_may_not_be_contacted_by_stays_blocked(tenant: Tenant, blocked: str) -> None:
    phones = {name: (await tenant.lead(leadId=name, phone=phone()))["phone"] for name in ("kept", "other")}
    await tenant.call("PUT", f"/leads/{blocked}/dnc", {"channels": ["sms", "email"], "reason": "asked"})
    await tenant.call("PUT", f"/leads/{'kept' if blocked == 'other' else 'other'}/dnc", {"channels": ["phone"]})
    assert (await merge(tenant, "kept", "other"))["isDnc"] is True
    told = await tenant.call("GET", "/leads/kept/dnc")
    assert (told["channels"], told["reason"]) == (["email", "phone", "sms"], "asked")
    for number in phones.values():
        assert (await tenant.call("GET", f"/consent/{number}"))["suppressed"] is True


@pytest.mark.parametrize("kept", ["lead_stand_in", "real"])
async def test_a_placeholder_may_be_either_of_the_two(tenant: Tenant, resources: Resources, kept: str) -> None:
    number = phone()
    stand_in = await placeholder(resources, tenant, number)
    await tenant.lead(leadId="real", phone=phone(), status="won")
    merged = await merge(tenant, kept, "real" if kept == stand_in else stand_in)
    assert (merged["leadId"], merged["firstName"], merged["isPlaceholder"]) == (kept, "Jane", False)
    assert merged["status"] == "won"
    assert await owners(resources, tenant) == [kept]


async def test_a_merge_that_cannot_be_is_refused(tenant: Tenant, other_tenant: Tenant) -> None:
    await tenant.lead(leadId="kept", tags=[f"tag {i}" for i in range(15)])
    await tenant.lead(leadId="other", tags=[f"other {i}" for i in range(15)])
    await other_tenant.lead(leadId="theirs")

    async def refused(lead_id: str, body: Any) -> tuple[int, list[str]]:
        answer = await tenant.ask("POST", f"/leads/{lead_id}/merge", body)
        return answer.status_code, answer.json()["error"]["details"]

    assert await refused("kept", {"from": "kept"}) == (400, ["from: is the lead itself"])
    assert await refused("kept", {"from": "theirs"}) == (404, ["from: does not exist"])
    assert await refused("kept", {"from": "nobody"}) == (404, ["from: does not exist"])
    assert await refused("theirs", {"from": "kept"}) == (404, [])
    assert await refused("kept", {}) == (400, ["from: is required"])
    assert await refused("kept", {"from": "other"}) == (400, ["tags: the lead would have more than 20"])
    assert len((await tenant.call("GET", "/leads"))["leads"]) == 2, "nothing was merged"
    reader = await tenant.with_scope("read")
    assert (await reader.ask("POST", "/leads/kept/merge", {"from": "other"})).status_code == 403


async def test_a_repeat_with_the_same_key_gets_the_first_answer(tenant: Tenant) -> None:
    await tenant.lead(leadId="kept")
    await tenant.lead(leadId="other")
    first, again = [
        await tenant.ask("POST", "/leads/kept/merge", {"from": "other"}, headers={"Idempotency-Key": "one"})
        for _ in range(2)
    ]
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert (await tenant.ask("POST", "/leads/kept/merge", {"from": "other"})).status_code == 404


async def test_a_text_that_comes_during_the_merge_is_the_kept_leads(idle_world: World, resources: Resources) -> None:
    tenant, old_id = idle_world.tenant, idle_world.lead["leadId"]
    thread = (await idle_world.send("Hi"))["interactionId"]
    await tenant.lead(leadId="kept", phone=phone())
    async with resources.database.system_tx() as tx:
        await tx.fetch_value("SELECT 1 FROM interactions WHERE interaction_id = $1 FOR UPDATE", thread)
        backend = await tx.fetch_value("SELECT pg_backend_pid()")
        merging = asyncio.create_task(merge(tenant, "kept", old_id))

        async def waits() -> bool:
            async with resources.database.system_tx() as looking:
                return bool(await looking.fetch_value(WAITED_FOR, backend))

        await until(waits)
        texting = asyncio.create_task(idle_world.text("It is me"))
        await asyncio.sleep(0.3)
    await merging
    await texting
    assert await owners(resources, tenant) == ["kept"]
    texts = (await idle_world.thread(thread))["transcript"]
    assert [text["message"] for text in texts] == ["Hi", "It is me"]


async def test_opposite_merges_at_once_leave_one_of_the_two(idle_world: World, resources: Resources) -> None:
    tenant = idle_world.tenant
    for i in range(4):
        pair = [f"first-{i}", f"second-{i}"]
        for lead_id in pair:
            lead = await tenant.lead(leadId=lead_id, phone=phone() if i else None)
            if lead["phone"]:
                await idle_world.send("Hi", leadId=lead_id)
        answers = await asyncio.gather(
            *(tenant.ask("POST", f"/leads/{a}/merge", {"from": b}) for a, b in (pair, reversed(pair)))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 404]
        left = [lead_id for lead_id in pair if (await tenant.ask("GET", f"/leads/{lead_id}")).status_code == 200]
        assert len(left) == 1


async def test_a_merge_and_a_change_of_the_phone_at_once_do_not_deadlock(tenant: Tenant) -> None:
    for i in range(5):
        leads = [await tenant.lead(leadId=f"{name}-{i}", phone=phone()) for name in ("kept", "other")]
        answers = await asyncio.gather(
            tenant.ask("POST", f"/leads/kept-{i}/merge", {"from": f"other-{i}"}),
            tenant.ask("PATCH", f"/leads/kept-{i}", {"phone": leads[1]["phone"]}),
            tenant.ask("PATCH", f"/leads/other-{i}", {"phone": leads[0]["phone"]}),
        )
        assert [answer.status_code for answer in answers[:2]] == [200, 200]
        assert answers[2].status_code in (200, 404)

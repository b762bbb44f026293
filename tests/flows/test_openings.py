"""The agent writes first: when it is asked, at a time, to one lead or to many."""

from typing import Any

import pytest

from app.resources import Resources
from app.web.paging import build_cursor
from tests.flows.moved_time import look, pass_time, wait_silently
from tests.flows.test_follow_ups import HOUR, answer, arrive, causes, in_
from tests.makers import Data, phone
from tests.world import World, until


async def open_one(world: World, **more: Any) -> Data:
    return await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/turns", more)


async def refusal(world: World, path: str, **body: Any) -> tuple[int, str, str]:
    answer = await world.tenant.ask("POST", path, body)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["details"][0] if error["details"] else ""


async def test_an_agent_opens_a_conversation(idle_world: World, resources: Resources) -> None:
    world = idle_world
    plan = await open_one(world)
    assert plan["trigger"] == "opening"
    await answer(world, resources, {"reply": "Hi Jane, may I ask you something?"})
    [payload] = world.agent.told
    assert (payload["turn"]["turnId"], payload["turn"]["trigger"]) == (plan["turnId"], "opening")
    assert payload["interaction"]["transcript"] == []
    assert payload["message"]["messageCount"] == 0
    shown = await world.thread(plan["interactionId"])
    assert [entry["message"] for entry in shown["transcript"]] == ["Hi Jane, may I ask you something?"]
    assert shown["sms"]["agentMode"]
    await world.text("Sure")
    await answer(world, resources, {}, minutes=1)
    assert causes(world) == [("opening", None), ("texts", None)]


async def test_the_answer_to_an_opening_passes_every_gate(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await open_one(world)

    async def suppress(_: Data) -> None:
        world.agent.meanwhile = None
        await world.tenant.call("POST", "/suppressions", {"phones": [world.phone]})

    world.agent.meanwhile = suppress
    await answer(world, resources, {"reply": "Hi Jane"})
    assert {entry["status"] for entry in (await world.only_thread())["transcript"]} == {"note"}
    lead = f"/leads/{world.lead['leadId']}/turns"
    assert (await refusal(world, lead))[:2] == (403, "DNC_BLOCKED")


async def test_an_opening_at_a_time_is_called_off_when_the_lead_writes_first(
    idle_world: World, resources: Resources
) -> None:
    world = idle_world
    plan = await open_one(world, at=in_(hours=2))
    await wait_silently(world, resources, hours=1)
    assert not world.agent.told
    await world.text("Hello there")
    await answer(world, resources, {}, hours=2)
    assert causes(world) == [("texts", None)]
    turn = await world.tenant.call("GET", f"/turns/{plan['turnId']}")
    assert (turn["state"], turn["reason"]) == ("cancelled", "somebody wrote meanwhile")


async def test_an_opening_that_is_a_day_late_does_not_come(idle_world: World, resources: Resources) -> None:
    plan = await open_one(idle_world, at=in_(hours=1))
    await wait_silently(idle_world, resources, hours=26)
    turn = await idle_world.tenant.call("GET", f"/turns/{plan['turnId']}")
    assert turn["state"] == "cancelled"
    assert "had passed" in turn["reason"]
    assert not idle_world.agent.told


async def test_an_opening_needs_an_agent_that_may_speak(idle_world: World, resources: Resources) -> None:
    world, tenant = idle_world, idle_world.tenant
    path = f"/leads/{world.lead['leadId']}/turns"
    sent = await world.send(agentMode=False)
    assert (await refusal(world, path))[1:] == ("AGENT_NOT_READY", "agentMode: is off in this conversation")
    await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "qualified"})
    assert (await refusal(world, path, agentMode=True))[2] == "status: the conversation is qualified"
    await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "in_progress"})
    assert (await open_one(world, agentMode=True))["interactionId"] == sent["interactionId"]
    assert (await refusal(world, path, at=in_(days=40)))[2] == "at: is more than 35 days ahead"
    assert (await refusal(world, path, at=in_(hours=-1)))[2] == "at: is in the past"
    assert (await refusal(world, "/leads/nobody/turns"))[0] == 404
    await tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", {"active": False})
    assert (await refusal(world, path))[1:] == ("AGENT_NOT_READY", "campaignId: no active agent serves it")


@pytest.mark.parametrize("at", ["9999-12-31T23:59:30Z", "9999-12-31T23:59:30-12:00", "9999-12-31T23:59:59.999999Z"])
async def test_an_opening_at_the_end_of_all_time_is_refused_by_name(idle_world: World, at: str) -> None:
    world = idle_world
    lead, fault = world.lead["leadId"], "at: is more than 35 days ahead"
    assert await refusal(world, f"/leads/{lead}/turns", at=at) == (400, "VALIDATION_ERROR", fault)
    path = f"/campaigns/{world.campaign['campaignId']}/enrol"
    [enrolled] = (await world.tenant.call("POST", path, {"leadIds": [lead], "at": at}))["results"]
    assert enrolled["error"]["details"] == [fault]


async def test_an_opening_at_the_beginning_of_all_time_is_refused_by_name(idle_world: World) -> None:
    path = f"/leads/{idle_world.lead['leadId']}/turns"
    assert (await refusal(idle_world, path, at="0001-01-01T00:00:00+12:00"))[2] == "at: is in the past"


async def test_a_planned_turn_takes_no_outcome_and_wakes_nobody(idle_world: World) -> None:
    world = idle_world
    plan = await open_one(world, at=in_(hours=2))
    path = f"/turns/{plan['turnId']}/outcome"
    not_yet = (409, "NO_OPEN_TURN", "turnId: was not handed over yet")
    for body in ({"status": "qualified"}, {"followUpAt": in_(hours=1)}):
        assert await refusal(world, path, **body) == not_yet
    thread = await world.thread(plan["interactionId"])
    assert (thread["status"], [one["trigger"] for one in thread["plannedTurns"]]) == ("in_progress", ["opening"])


async def test_the_same_key_opens_once(idle_world: World) -> None:
    world = idle_world
    path = f"/leads/{world.lead['leadId']}/turns"
    headers = {"Idempotency-Key": "once"}
    first, second = [await world.tenant.ask("POST", path, {}, headers=headers) for _ in range(2)]
    assert first.json()["data"] == second.json()["data"]
    assert (await open_one(world))["turnId"] == first.json()["data"]["turnId"]  # one opening is planned, whoever asks


async def test_many_leads_are_enrolled_at_a_pace_and_each_refusal_is_told(
    idle_world: World, resources: Resources
) -> None:
    world, tenant = idle_world, idle_world.tenant
    campaign = world.campaign["campaignId"]
    leads = [await tenant.lead(phone=phone(), campaignId=campaign, tags=["solar"]) for _ in range(3)]
    twin = await tenant.lead(phone=leads[0]["phone"], campaignId=campaign)
    mute = await tenant.lead(campaignId=campaign, phone=None)
    path = f"/campaigns/{campaign}/enrol"
    lead_ids = [lead["leadId"] for lead in (*leads, twin, mute)] + ["nobody"]
    enrolled = await tenant.call("POST", path, {"leadIds": lead_ids, "perMinute": 2, "at": in_(minutes=10)})
    assert (enrolled["enrolled"], enrolled["refused"]) == (3, 3)
    codes = [one.get("error", {}).get("code") for one in enrolled["results"]]
    assert codes == [None, None, None, "ALREADY_EXISTS", "MISSING_PHONE_NUMBER", "NOT_FOUND"]
    await wait_silently(world, resources, minutes=10, seconds=20)
    assert len(world.agent.told) == 1
    await pass_time(resources, tenant.tenant_id, seconds=25)
    await look(resources, tenant.tenant_id)
    assert len(world.agent.told) == 2
    again = await tenant.call("POST", path, {"filter": {"tags": ["solar"]}})
    assert {one["leadId"] for one in again["results"]} == {lead["leadId"] for lead in leads}
    assert (await refusal(world, path, leadIds=["x"], filter={}))[0] == 400


async def test_all_leads_of_a_campaign_are_enrolled_page_by_page(idle_world: World, resources: Resources) -> None:
    world, tenant, campaign = idle_world, idle_world.tenant, idle_world.campaign["campaignId"]
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "INSERT INTO leads (tenant_id, lead_id, phone, campaign_id)"
            " SELECT $1, 'many_' || n, '+1303555' || n, $2 FROM generate_series(1000, 1999) n",
            tenant.tenant_id,
            campaign,
        )
    path = f"/campaigns/{campaign}/enrol"
    first = await tenant.call("POST", path, {"filter": {}})
    last = await tenant.call("POST", path, {"filter": {}, "cursor": first["nextCursor"]})
    assert (first["enrolled"], last["enrolled"]) == (1000, 1)
    assert len({one["leadId"] for one in first["results"] + last["results"]}) == 1001
    assert "nextCursor" not in last
    refused = (400, "VALIDATION_ERROR", "cursor: is not a cursor of this list")
    for cursor in (world.lead["leadId"], "not a cursor", build_cursor([1]), build_cursor(["a", "b"]), "\u00e9"):
        assert await refusal(world, path, filter={}, cursor=cursor) == refused
    lead_ids = [world.lead["leadId"]]
    assert (await refusal(world, path, leadIds=lead_ids, cursor=first["nextCursor"]))[2] == "cursor: belongs to filter"
    for body in ({}, {"leadIds": lead_ids, "filter": {}}):
        assert (await refusal(world, path, **body))[2] == "leadIds: give either them or filter"


async def test_what_is_due_leaves_what_comes_later_alone(idle_world: World, resources: Resources) -> None:
    world = idle_world
    await world.tenant.call(
        "PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", {"followUps": [{"afterMinutes": 60}]}
    )
    await look(resources, world.tenant.tenant_id)
    plan = await open_one(world, at=in_(days=7))
    await world.send("Hi Jane", interactionId=plan["interactionId"])
    await arrive(resources, world)
    await look(resources, world.tenant.tenant_id)
    plans = (await world.thread(plan["interactionId"]))["plannedTurns"]
    assert [one["trigger"] for one in plans] == ["silence", "opening"]
    pause = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("POST", f"{pause}/pause", {"reason": "A test"})
    await wait_silently(world, resources, hours=1)
    await world.tenant.call("POST", f"{pause}/resume", {})
    plans = (await world.thread(plan["interactionId"]))["plannedTurns"]
    assert [one["trigger"] for one in plans] == ["opening"]
    await answer(world, resources, {"reply": "Hello"}, days=7)
    assert causes(world) == [("opening", None)]


@pytest.mark.parametrize("status", [503, 200])
async def test_an_opening_that_fails_does_not_ask_for_a_person(
    idle_world: World, resources: Resources, status: int
) -> None:
    world = idle_world
    plan = await open_one(world)
    world.agent.answers = [(status, {})] * 9
    for _ in range(9):
        await wait_silently(world, resources, minutes=HOUR)
    turn = await world.tenant.call("GET", f"/turns/{plan['turnId']}")
    assert turn["state"] == ("failed" if status == 503 else "expired")
    assert (await world.thread(plan["interactionId"]))["status"] == "in_progress"


async def test_a_worker_begins_what_is_due(world: World) -> None:
    world.agent.answers = [(200, {"reply": "Hi Jane"})]
    plan = await open_one(world)
    payload = await world.told(1)
    assert payload["turn"]["turnId"] == plan["turnId"]

    async def arrived() -> bool:
        return world.carrier.received(world.phone) == ["Hi Jane"]

    async def list_steps() -> list[tuple[str, str]]:
        page = await world.tenant.call("GET", "/events?types=turn.planned,turn.handed_over,turn.replied")
        return [(event["type"], event["data"]["trigger"]) for event in page["events"]]

    async def is_told() -> bool:  # the feed waits for each transaction that began before
        return len(await list_steps()) == 3

    await until(arrived)
    await until(is_told)
    assert await list_steps() == [
        ("turn.planned", "opening"),
        ("turn.handed_over", "opening"),
        ("turn.replied", "opening"),
    ]

"""STOP from the first day, and statuses set by hand."""

import asyncio

import pytest

from app.domain.words import INTERACTION_STATUSES
from tests.makers import Data, phone
from tests.service import Api
from tests.world import World


async def refusal(world: World, **more: str) -> Data:
    body = {"leadId": world.lead["leadId"], "message": "Hi"} | more
    answer = await world.tenant.ask("POST", "/sms/send", body)
    error: Data = answer.json()["error"]
    return error | {"status": answer.status_code}


@pytest.mark.parametrize("word", ["STOP", " Stop. ", "unsubscribe", "END", "quit!", "Opt-Out"])
async def test_a_stop_word_ends_all_texting_of_the_phone(world: World, word: str) -> None:
    await world.send("Hi Jane")
    await world.text(word)
    thread = await world.only_thread()
    assert thread["status"] == "dnc"
    assert (await refusal(world))["code"] == "DNC_BLOCKED"
    assert (await refusal(world, interactionId=thread["interactionId"]))["status"] == 403
    namesake = await world.tenant.lead(phone=world.phone)
    assert (await refusal(world, leadId=namesake["leadId"]))["code"] == "DNC_BLOCKED"
    assert (await refusal(world, leadId=namesake["leadId"], to=world.phone))["status"] == 403
    lead = await world.tenant.call("GET", f"/leads/{world.lead['leadId']}")
    assert lead["isDnc"]
    assert lead["status"] == "contacted"


async def test_conversation_is_not_an_opt_out(world: World) -> None:
    await world.send("Hi Jane")
    for text in ("can you stop by at 5?", "cancel my 3pm", "the end of the month"):
        await world.text(text)
    assert (await world.only_thread())["status"] == "in_progress"


async def test_a_stop_cancels_the_turn_and_what_is_queued(world: World) -> None:
    to = "+12125550003"
    sent = await world.send("Hi", to=to, agentMode=True)
    queued = await world.send("and then", to=to)
    assert await world.carrier.text(to, world.ours, "a question") == 200
    assert await world.carrier.text(to, world.ours, "STOP") == 200
    await world.status_is(queued["messageId"], "cancelled")
    turns = await world.turns(sent["interactionId"])
    assert [turn["state"] for turn in turns] == ["cancelled"]
    await asyncio.sleep(1.5)
    assert world.agent.told == []
    assert "and then" not in world.carrier.received(to)


async def test_a_stop_in_one_tenant_says_nothing_to_another(world: World, other_tenant: object, api: Api) -> None:
    from tests.makers import Tenant

    assert isinstance(other_tenant, Tenant)
    await world.send("Hi Jane")
    await world.text("STOP")
    account = await other_tenant.account("simulator", baseUrl=world.carrier.url)
    await other_tenant.number(providerAccountId=account["accountId"])
    lead = await other_tenant.lead(phone=world.phone)
    body = {"leadId": lead["leadId"], "message": "Hi"}
    assert (await other_tenant.ask("POST", "/sms/send", body)).status_code == 202


@pytest.mark.parametrize("status", [s for s in INTERACTION_STATUSES if s != "dnc"])
async def test_a_status_set_by_hand_stays_the_threads_own(world: World, status: str) -> None:
    sent = await world.send("Hi Jane")
    path = f"/interactions/{sent['interactionId']}"
    changed = await world.tenant.call("PATCH", path, {"status": status})
    assert changed["status"] == status
    await world.text("Hello")
    again = await world.send("Still the same thread")
    assert again["interactionId"] == sent["interactionId"]
    assert (await world.only_thread())["status"] == status
    lead = await world.tenant.call("GET", f"/leads/{world.lead['leadId']}")
    assert lead["status"] == "contacted"


async def test_dnc_by_hand_blocks_the_phone_until_a_hand_lifts_it(world: World) -> None:
    sent = await world.send("Hi Jane")
    path = f"/interactions/{sent['interactionId']}"
    await world.tenant.call("PATCH", path, {"status": "qualified"})
    assert (await world.tenant.call("PATCH", path, {"status": "dnc"}))["status"] == "dnc"
    assert (await refusal(world))["code"] == "DNC_BLOCKED"
    assert (await world.tenant.call("PATCH", path, {"status": "follow_up"}))["status"] == "follow_up"
    assert (await world.send("Hi again"))["status"] == "queued"


async def test_a_hand_cannot_lift_what_the_lead_asked_for(world: World) -> None:
    sent = await world.send("Hi Jane")
    path = f"/interactions/{sent['interactionId']}"
    await world.text("STOP")
    refused = await world.tenant.ask("PATCH", path, {"status": "qualified"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "SUPPRESSION_ACTIVE")
    await world.tenant.call("PATCH", path, {"status": "dnc"})
    both = await world.tenant.call("PATCH", path, {"status": "qualified"})
    assert both["status"] == "dnc"
    assert (await refusal(world))["code"] == "DNC_BLOCKED"


async def test_an_unknown_status_is_refused_by_name(world: World) -> None:
    sent = await world.send("Hi Jane")
    path = f"/interactions/{sent['interactionId']}"
    refused = await world.tenant.ask("PATCH", path, {"status": "happy"})
    assert refused.status_code == 400
    assert refused.json()["error"]["details"][0].startswith("status:")


async def test_a_lead_on_do_not_contact_is_blocked_whatever_the_recipient(world: World) -> None:
    path = f"/leads/{world.lead['leadId']}/dnc"
    await world.tenant.call("PUT", path, {"channels": ["sms"], "reason": "asked by phone"})
    assert (await refusal(world))["code"] == "DNC_BLOCKED"
    assert (await refusal(world, to=phone()))["code"] == "DNC_BLOCKED"
    await world.tenant.call("DELETE", path)
    assert (await world.send())["status"] == "queued"

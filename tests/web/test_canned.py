"""Canned replies with variables: filled for a lead or a thread, by the API and on the page."""

import re
from html import unescape

import pytest

from tests.makers import Data, Tenant
from tests.web.people import Browser
from tests.web.test_page import articles, ours
from tests.web.test_settings import fault

__all__ = ["ours"]
TEXT = "Hi {{firstName}}, {{agentName}} of {{campaign}} here, about your {{customFields.plan}} plan."
FILLED = "Hi Ann, Sunny of Solar here, about your gold plan."


@pytest.fixture
async def lead(tenant: Tenant, ours: Data) -> Data:
    agent = await tenant.agent(name="Sunny")
    campaign = await tenant.campaign(name="Solar", smsAgentId=agent["smsAgentId"])
    fields = {"plan": "gold", "bill": 12.5, "owner": True}
    return await tenant.lead(firstName="Ann", lastName=None, campaignId=campaign["campaignId"], customFields=fields)


@pytest.fixture
async def thread(tenant: Tenant, lead: Data) -> Data:
    return await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})


async def add_reply(tenant: Tenant, text: str) -> str:
    reply = await tenant.call("POST", "/canned-replies", {"title": "First", "text": text})
    return f"/canned-replies/{reply['cannedReplyId']}/render"


async def test_a_reply_is_filled_for_a_lead_and_for_a_thread(
    tenant: Tenant, lead: Data, thread: Data, ours: Data
) -> None:
    here = await add_reply(tenant, f"{TEXT} {{{{customFields.bill}}}}, {{{{customFields.owner}}}}")
    filled = {"text": f"{FILLED} 12.5, yes"}
    assert await tenant.call("GET", f"{here}?leadId={lead['leadId']}") == filled
    assert await tenant.call("GET", f"{here}?interactionId={thread['interactionId']}") == filled
    here = await add_reply(tenant, "Call {{ourNumber}}, {{phone}}")
    told = await tenant.call("GET", f"{here}?interactionId={thread['interactionId']}")
    assert told == {"text": f"Call {ours['phoneNumber']}, {lead['phone']}"}


async def test_what_nothing_fills_is_refused_by_its_name(tenant: Tenant, lead: Data) -> None:
    here = await add_reply(tenant, "Hi {{firstName}} {{lastName}} from {{ourNumber}} {{client}}")
    answer = await tenant.ask("GET", f"{here}?leadId={lead['leadId']}")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == [
        "lastName: the lead has no last name",
        "ourNumber: there is no conversation yet",
        "client: the campaign has no client",
    ]


async def test_a_reply_is_filled_for_one_thing_that_is_there(
    tenant: Tenant, other_tenant: Tenant, lead: Data, thread: Data
) -> None:
    here = await add_reply(tenant, TEXT)
    both = f"{here}?leadId={lead['leadId']}&interactionId={thread['interactionId']}"
    for query, status in ((here, 400), (both, 400), (f"{here}?leadId=nobody", 404), (f"{here}?interactionId=x", 404)):
        assert (await tenant.ask("GET", query)).status_code == status, query
    plain = await add_reply(tenant, "From nine to five.")
    assert await tenant.call("GET", plain) == {"text": "From nine to five."}
    theirs = await add_reply(other_tenant, TEXT)
    assert (await other_tenant.ask("GET", f"{theirs}?leadId={lead['leadId']}")).status_code == 404
    assert (await tenant.ask("GET", f"{theirs}?leadId={lead['leadId']}")).status_code == 404
    reader = await tenant.with_scope("read")
    assert (await reader.call("GET", f"{here}?leadId={lead['leadId']}"))["text"] == FILLED


async def test_an_unknown_variable_is_refused_when_the_reply_is_written(sam: Browser, tenant: Tenant) -> None:
    refused = await tenant.ask("POST", "/canned-replies", {"title": "T", "text": "Hi {{nickname}}"})
    assert refused.json()["error"]["details"] == ["text: {{nickname}} is not a variable"]
    await add_reply(tenant, "Hi {{firstName}}")
    [reply] = (await tenant.call("GET", "/canned-replies"))["cannedReplies"]
    here = f"/settings/canned/{reply['cannedReplyId']}"
    answer = await sam.submit(await sam.page(here), here, title="T", text="Hi {{firstname}}")
    assert fault(answer.text, "text") == "{{firstname}} is not a variable."


async def test_the_page_inserts_a_reply_filled_and_sends_none_with_a_gap(
    sam: Browser, tenant: Tenant, lead: Data, thread: Data
) -> None:
    await add_reply(tenant, TEXT)
    gap = (await add_reply(tenant, "Hi {{firstName}} {{lastName}}")).split("/")[2]
    here = f"/conversations/{thread['interactionId']}"
    page = await sam.page(here)
    inserted = [unescape(text) for text in re.findall(r'data-text="([^"]*)"', page)]
    assert sorted(inserted) == ["Hi Ann {{lastName}}", FILLED]
    page = await sam.page(f"{here}?canned={gap}")
    assert ">Hi Ann {{lastName}}</textarea>" in page
    refused = await sam.submit(page, "/texts", message="Hi Ann {{lastName}}")
    assert refused.status_code == 400
    assert "The text still has {{lastName}}, and nothing fills it" in refused.text
    assert ">Hi Ann {{lastName}}</textarea>" in refused.text
    assert articles(await sam.page(here)) == ["Hi"]
    new = await sam.page(f"/conversations/new?lead={lead['leadId']}")
    assert (await sam.submit(new, "/texts", message="Hi {{firstName}}")).status_code == 400

"""The first steps: ticked by what is there, shown where nothing is yet."""

import re
from html import unescape

from app.resources import Resources
from tests.makers import Tenant
from tests.web.people import Browser, add_person
from tests.world import World

ANN = "ann@example.com"


def states(page: str) -> list[str]:
    return re.findall(r'<li class="(done|next|later)"', page)


async def test_each_step_is_ticked_by_what_is_there(
    world: World, tenant: Tenant, stranger: Browser, resources: Resources
) -> None:
    await add_person(resources, tenant.tenant_id, ANN)
    await stranger.enter(resources, ANN)
    page = await stranger.page("/start")
    assert states(page) == ["done", "done", "next", "done", "later"]
    answer = await stranger.submit(page, "/test")
    assert "The agent answered" in answer.text
    page = await stranger.page("/start")
    assert states(page) == ["done", "done", "done", "done", "next"]
    assert "To a phone that the simulator plays" in page
    assert 'value="+1 212-555-1234"' in page
    await world.send("Hi")
    page = await stranger.page("/start")
    assert states(page) == ["done"] * 5
    assert "Everything is set up" in page
    assert "Import your leads" in page


async def test_a_new_tenant_is_led_from_the_empty_page(sam: Browser, tenant: Tenant) -> None:
    page = await sam.page("/conversations")
    assert states(page) == ["next", "later", "later", "later", "later"]
    assert "0 of 5 are done" in page
    assert 'href="/settings/accounts/new"' in page
    assert states(await sam.page("/conversations?status=qualified")) == []
    account = await tenant.account("twilio")
    page = await sam.page("/start")
    assert states(page) == ["done", "next", "later", "later", "later"]
    assert "Carriers cannot reach 127.0.0.1" in unescape(page)
    assert f'action="/settings/accounts/{account["accountId"]}/sync"' in page
    await tenant.number(providerAccountId=account["accountId"])
    lead = await tenant.lead()
    await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
    assert states(await sam.page("/conversations")) == []


async def test_who_cannot_take_the_steps_is_not_led(
    sam: Browser, stranger: Browser, tenant: Tenant, resources: Resources
) -> None:
    await add_person(resources, tenant.tenant_id, "max@example.com")
    await stranger.enter(resources, "max@example.com")
    assert states(await stranger.page("/conversations")) == []
    assert (await stranger.get("/start")).status_code == 403


async def test_the_webhooks_of_an_account_warn_of_an_address_that_carriers_cannot_reach(
    sam: Browser, tenant: Tenant
) -> None:
    for provider, is_warned in (("twilio", True), ("simulator", False)):
        account = await tenant.account(provider)
        page = await sam.page(f"/settings/accounts/{account['accountId']}")
        assert ("sets PUBLIC_BASE_URL" in page) == is_warned

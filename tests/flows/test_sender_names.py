"""Senders' names: numbers of ours that send, where the carrier sends from names, and that nobody can
write to."""

import pytest

from tests.flows.carrier_posts import PROVIDERS, open_line
from tests.makers import Data, Tenant
from tests.world import World

NAMES = ("ACME", "Sunny Roofs", "7UP", "a", "B2B Roofing")
NO_NAMES = ("SunnyRoofs12", "Häuser", "ACME!", "A  very long name", "Sunny_Roofs", "🏠", "A\nB", "")


async def add_name(tenant: Tenant, account_id: str | None, name: str) -> Data:
    answer = await tenant.ask("POST", "/phone-numbers", {"phoneNumber": name, "providerAccountId": account_id})
    body: Data = answer.json()
    return body


@pytest.mark.parametrize("name", NAMES)
async def test_a_text_is_sent_from_a_name(world: World, name: str) -> None:
    made = await world.tenant.number(phoneNumber=f" {name} ", providerAccountId=world.account["accountId"])
    assert made["phoneNumber"] == name
    sent = await world.send(**{"from": name})
    assert sent["from"] == name
    await world.status_is(sent["messageId"], "delivered")
    again = await world.send(interactionId=sent["interactionId"])
    assert (again["from"], again["interactionId"]) == (name, sent["interactionId"])
    assert (await world.thread(sent["interactionId"]))["telephony"]["phoneNumber"] == name


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_name_needs_an_account_whose_carrier_sends_from_names(tenant: Tenant, provider: str) -> None:
    account, _, _ = await open_line(tenant, provider)
    made = await add_name(tenant, account["accountId"], "ACME")
    assert made["success"] == (provider != "telnyx")
    if provider == "telnyx":
        assert made["error"]["details"] == ["phoneNumber: is not a valid phone number"]


@pytest.mark.parametrize("name", NO_NAMES)
async def test_what_is_no_name_is_refused(tenant: Tenant, name: str) -> None:
    account, _, _ = await open_line(tenant, "twilio")
    assert (await add_name(tenant, account["accountId"], name))["error"]["code"] == "VALIDATION_ERROR"


async def test_a_name_stays_with_a_carrier_that_sends_from_names(tenant: Tenant) -> None:
    twilio, _, _ = await open_line(tenant, "twilio")
    telnyx, _, _ = await open_line(tenant, "telnyx")
    sinch, _, _ = await open_line(tenant, "sinch")
    made = (await add_name(tenant, twilio["accountId"], "ACME"))["data"]
    path = f"/phone-numbers/{made['phoneNumberId']}"
    for account_id in (telnyx["accountId"], None):
        refused = await tenant.ask("PATCH", path, {"providerAccountId": account_id})
        assert refused.json()["error"]["details"] == ["providerAccountId: its provider sends from no names"]
    assert (await tenant.call("PATCH", path, {"providerAccountId": sinch["accountId"], "label": "Us"}))["label"] == "Us"


async def test_a_name_is_only_used_where_it_is_wanted(idle_world: World) -> None:
    world, tenant = idle_world, idle_world.tenant
    name = await tenant.number(phoneNumber="ACME", providerAccountId=world.account["accountId"])
    assert (await world.send(**{"from": "ACME"}))["from"] == "ACME"
    assert (await world.send())["from"] == world.ours  # though the name wrote with this lead last
    [ours] = [n for n in (await tenant.call("GET", "/phone-numbers"))["phoneNumbers"] if n["phoneNumber"] == world.ours]
    await tenant.call("PATCH", f"/phone-numbers/{ours['phoneNumberId']}", {"active": False})
    lead = await tenant.lead()
    body: Data = {"leadId": lead["leadId"], "message": "Hi"}
    refused = await tenant.ask("POST", "/sms/send", body)
    assert refused.json()["error"]["code"] == "MISSING_PHONE_NUMBER"
    campaign = await tenant.campaign(phoneNumberId=name["phoneNumberId"])
    sent = await tenant.call("POST", "/sms/send", body | {"campaignId": campaign["campaignId"]})
    assert sent["from"] == "ACME"
    unknown = await tenant.ask("POST", "/sms/send", body | {"from": "Acme"})
    assert unknown.json()["error"]["details"] == ["from: is not an active, SMS-capable number of yours"]


async def test_a_list_of_the_carrier_does_not_concern_names(idle_world: World) -> None:
    world = idle_world
    name = await world.tenant.number(phoneNumber="ACME", providerAccountId=world.account["accountId"])
    account_path = f"/provider-accounts/{world.account['accountId']}"
    for query in ("", "?force=true"):
        assert (await world.tenant.call("POST", f"{account_path}/sync-numbers{query}"))["deactivated"] == 0
    assert (await world.tenant.call("GET", f"/phone-numbers/{name['phoneNumberId']}"))["active"]
    assert (await world.tenant.call("GET", f"{account_path}/webhook-check"))["ok"]

"""The settings' pages: who may see them, forms over the API's commands, what is refused."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from html import unescape

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.providers import REGISTRY
from app.resources import Resources
from app.store import directory, people
from app.store.schema import ProviderAccount
from app.web.directory.api_keys import KeyChange, NewKey
from app.web.directory.campaigns import NewCampaign
from app.web.directory.canned_replies import NewReply
from app.web.directory.phone_numbers import NewNumber
from app.web.directory.provider_accounts import AccountChange
from app.web.directory.settings import SettingsChange
from app.web.directory.sms_agents import NewAgent
from app.web.directory.webhook_endpoints import NewEndpoint
from app.web.page import settings as pages
from app.web.page.forms import Group
from app.web.page.settings import agents, campaigns, canned, general, keys, numbers, webhooks
from app.web.page.settings.accounts import build_groups as account_groups
from tests.makers import CREDENTIALS, Data, Tenant
from tests.web.people import Browser, add_person, browser, form
from tests.world import World, until

MEMBER = "max@example.com"


def fault(page: str, field: str) -> str:
    """What is said beside a field."""
    found = re.search(rf'id="fault-{re.escape(field)}">([^<]*)<', page)
    assert found, f"nothing is said beside {field}"
    return unescape(found[1])


def value(page: str, field: str) -> str:
    """What stands in a text field."""
    found = re.search(rf'<input id="field-{re.escape(field)}"[^>]* value="([^"]*)"', page)
    found = found or re.search(rf'<textarea id="field-{re.escape(field)}"[^>]*>([^<]*)</textarea>', page)
    assert found, f"no field {field}"
    return unescape(found[1])


def items(page: str) -> list[str]:
    return [unescape(one) for one in re.findall(r'class="name">([^<]*)<', page.split("<main")[1])]


@pytest.fixture
async def elsewhere(sam: Browser) -> AsyncIterator[Browser]:
    """Another browser."""
    one = browser(sam.origin)
    yield one
    await one.http.aclose()


ROUTES = sorted(
    (method, route.path)
    for router in pages.ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and route.path != "/settings"
    for method in route.methods or ()
)
"""Every page and form of the settings that is served: a new one is in these tests at once."""


def filled(path: str) -> str:
    return re.sub(r"{\w+}", "nobody", path)


async def test_the_settings_are_for_admins(
    sam: Browser, elsewhere: Browser, resources: Resources, tenant: Tenant
) -> None:
    """Who asks is judged before what the address names."""
    assert len(ROUTES) > 30
    await add_person(resources, tenant.tenant_id, MEMBER)
    await elsewhere.sign_in(MEMBER)
    for asker, statuses in ((sam, {200, 303, 400, 404}), (elsewhere, {403})):
        csrf = await csrf_of(asker)
        for method, path in ROUTES:
            if method == "GET":
                answer = await asker.get(filled(path))
            else:
                answer = await asker.post(filled(path), csrf=csrf)
            assert answer.status_code in statuses, (method, path, answer.text)
    elsewhere.http.cookies.clear()
    for method, path in ROUTES:
        if method == "GET":
            answer = await elsewhere.get(filled(path))
        else:
            answer = await elsewhere.post(filled(path), csrf=csrf)
        assert answer.headers["location"].startswith("/sign-in"), (method, path)


async def csrf_of(asker: Browser) -> str:
    return form(await asker.page("/account"), "/sign-out")[1]["csrf"]


async def test_a_form_from_elsewhere_or_without_the_sessions_token_changes_nothing(
    sam: Browser,
) -> None:
    fields = {"csrf": await csrf_of(sam)}
    for method, path in ROUTES:
        if method == "POST":
            for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
                answer = await sam.http.post(filled(path), data=fields, headers=headers)
                assert answer.status_code == 403, path
            assert (await sam.post(filled(path), csrf="0" * 64)).status_code == 403, path


FORMS: list[tuple[type[BaseModel], Sequence[Group]]] = [
    (SettingsChange, general.GROUPS),
    (NewNumber, numbers.GROUPS),
    (NewAgent, agents.GROUPS),
    (NewCampaign, campaigns.GROUPS),
    (NewEndpoint, webhooks.GROUPS),
    (NewKey, keys.NEW_GROUPS),
    (KeyChange, keys.EDIT_GROUPS),
    (NewReply, canned.GROUPS),
    (AccountChange, account_groups("twilio")),
]


@pytest.mark.parametrize(("body", "groups"), FORMS)
def test_each_form_has_every_field_of_the_apis_body(body: type[BaseModel], groups: Sequence[Group]) -> None:
    named = {field.name.partition(".")[0] for group in groups for field in group.fields}
    assert named == {str(field.alias) for field in body.model_fields.values()}


@pytest.mark.parametrize("provider", sorted(REGISTRY))
def test_each_carrier_is_asked_for_its_own_credentials(provider: str) -> None:
    carrier = REGISTRY[provider]
    asked = {field.name: field.kind for field in account_groups(provider)[-1].fields}
    assert asked == {f"credentials.{name}": "secret" for name in (*carrier.CREDENTIALS, *carrier.OPTIONAL_CREDENTIALS)}


GENERAL = {
    "defaultProvider": "twilio",
    "defaultCountry": "CA",
    "smartEncoding": "1",
    "quietHours.enabled": "1",
    "quietHours.start": "09:00",
    "quietHours.end": "20:00",
    "undoSeconds": "5",
    "textsPerDay": "500",
    "allowedCountries": "US, CA;MX",
    "optOutConfirmation": "You are out.\r\nBye.",
    "helpText": "",
}


async def test_a_form_from_before_a_choice_was_added_leaves_it_as_it_is(sam: Browser, tenant: Tenant) -> None:
    await tenant.call("PATCH", "/settings", {"possibleOptOut": "forward"})
    page = await sam.page("/settings/general")
    assert '<option value="forward" selected>' in page
    assert (await sam.submit(page, "/settings/general", **GENERAL)).status_code == 303
    assert (await tenant.call("GET", "/settings"))["possibleOptOut"] == "forward"
    await sam.submit(page, "/settings/general", **GENERAL, possibleOptOut="hold")
    assert (await tenant.call("GET", "/settings"))["possibleOptOut"] == "hold"


async def test_general_settings_are_those_of_the_api(sam: Browser, tenant: Tenant) -> None:
    page = await sam.page("/settings/general")
    assert value(page, "quietHours.start") == "08:00"
    answer = await sam.submit(page, "/settings/general", **GENERAL)
    assert answer.headers["location"] == "/settings/general?done=saved"
    kept = await tenant.call("GET", "/settings")
    assert kept["defaultProvider"] == "twilio"
    assert kept["quietHours"] == {"enabled": True, "start": "09:00", "end": "20:00"}
    assert (kept["textsPerDay"], kept["undoSeconds"]) == (500, 5)
    assert kept["allowedCountries"] == ["US", "CA", "MX"]
    assert kept["optOutConfirmation"] == "You are out.\nBye."
    assert kept["smartEncoding"] is True
    assert kept["helpText"] is None
    page = await sam.page(answer.headers["location"])
    assert "Saved." in page
    assert value(page, "allowedCountries") == "US, CA, MX"


async def test_the_law_is_kept_with_exceptions_that_have_a_reason(sam: Browser, tenant: Tenant) -> None:
    page = await sam.page("/settings/general")
    law: dict[str, str | list[str]] = {
        "lawRules": "on", "lawExceptions.rule": ["us-fl-hours", ""], "lawExceptions.reason": ["Our counsel", ""],
        "maxFirstContactsPerDay": "2", "maxTextsPerDayWithoutReply": "", "agentDisclosure": "An assistant writes.",
    }  # fmt: skip
    answer = await sam.submit(page, "/settings/general", **GENERAL, **law)
    assert answer.status_code == 303
    kept = await tenant.call("GET", "/settings")
    assert (kept["lawRules"], kept["maxFirstContactsPerDay"], kept["maxTextsPerDayWithoutReply"]) == ("on", 2, None)
    assert kept["lawExceptions"] == [{"rule": "us-fl-hours", "reason": "Our counsel"}]
    assert kept["agentDisclosure"] == "An assistant writes."
    page = await sam.page("/settings/general")
    wrong: dict[str, str | list[str]] = {**law, "lawExceptions.reason": ["", ""]}
    refused = await sam.submit(page, "/settings/general", **GENERAL, **wrong)
    assert refused.status_code == 400
    assert "1" in fault(refused.text, "lawExceptions")


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("textsPerDay", "many", "Must be a valid integer."),
        ("textsPerDay", "-1", "Must be greater than or equal to 0."),
        ("allowedCountries", "US, ZZ", "Must be an ISO 3166 country code, such as US."),
        ("quietHours.start", "25:00", "Has characters that are not allowed here, or is blank."),
        ("quietHours.end", "", "Must be a valid string."),
    ],
)
async def test_what_is_refused_is_said_beside_its_field_and_what_was_typed_stays(
    sam: Browser, tenant: Tenant, field: str, typed: str, said: str
) -> None:
    page = await sam.page("/settings/general")
    answer = await sam.submit(page, "/settings/general", **(GENERAL | {field: typed}))
    assert answer.status_code == 400
    assert fault(answer.text, field) == said
    assert value(answer.text, field) == typed
    assert f'<a href="#field-{field}">' in answer.text
    assert value(answer.text, "optOutConfirmation") == "You are out.\nBye."
    assert (await tenant.call("GET", "/settings"))["defaultCountry"] == "US"


async def test_what_a_command_refuses_of_a_group_stands_at_its_first_field(sam: Browser) -> None:
    page = await sam.page("/settings/general")
    wrong = GENERAL | {"quietHours.start": "21:00", "quietHours.end": "08:00"}
    answer = await sam.submit(page, "/settings/general", **wrong)
    assert fault(answer.text, "quietHours.enabled") == "Start must be before end."


async def test_the_brake_of_the_organization_holds_and_lets_go(sam: Browser, tenant: Tenant) -> None:
    page = await sam.page("/settings/general")
    await sam.submit(page, "/pause", reason="wrong price")
    assert (await tenant.call("GET", "/settings"))["pausedReason"] == "wrong price"
    page = await sam.page("/settings/general?done=paused")
    assert "wrong price" in page
    await sam.submit(page, "/resume")
    assert (await tenant.call("GET", "/settings"))["pausedAt"] is None


async def test_a_canned_reply_is_added_once_changed_and_removed(
    sam: Browser, tenant: Tenant, other_tenant: Tenant
) -> None:
    new = await sam.page("/settings/canned/new")
    for _ in range(2):
        answer = await sam.submit(new, "/new", title="Hours", text="We open\r\nat 9.")
        assert answer.headers["location"] == "/settings/canned?done=added"
    assert items(await sam.page("/settings/canned")) == ["Hours"]
    [kept] = (await tenant.call("GET", "/canned-replies"))["cannedReplies"]
    assert kept["text"] == "We open\nat 9."
    here = f"/settings/canned/{kept['cannedReplyId']}"
    answer = await sam.submit(await sam.page(here), here, title="Opening hours", text=" ")
    assert answer.status_code == 400
    assert fault(answer.text, "text") == "Is required."
    assert value(answer.text, "title") == "Opening hours"
    await sam.submit(answer.text, here, title="Opening hours", text="At 9.")
    path = f"/canned-replies/{kept['cannedReplyId']}"
    assert (await tenant.call("GET", path))["title"] == "Opening hours"
    assert (await other_tenant.ask("GET", path)).status_code == 404
    await sam.submit(await sam.page(here), "/remove")
    assert (await sam.get(here)).status_code == 404
    assert "No canned replies yet" in await sam.page("/settings/canned")


async def test_a_long_list_of_canned_replies_has_more_pages(sam: Browser, tenant: Tenant) -> None:
    for n in range(3):
        await tenant.call("POST", "/canned-replies", {"title": f"Reply {n}", "text": "x"})
    page = await sam.page("/settings/canned?limit=2")
    assert items(page) == ["Reply 2", "Reply 1"]
    more = unescape(re.findall(r'href="([^"]*cursor=[^"]*)"', page)[0])
    assert items(await sam.page(more)) == ["Reply 0"]


def shown_once(page: str) -> str:
    found = re.search(r'<output class="secret"[^>]*>([^<]*)<', page)
    assert found, "no secret is shown"
    return unescape(found[1])


async def people_of(resources: Resources, tenant: Tenant) -> dict[str, tuple[str, str, bool]]:
    """E-mail → (id, role, active)."""
    async with resources.database.system_tx() as tx:
        rows = await people.list_page(tx, tenant.tenant_id, None, 100)
    return {row.email: (row.user_id, row.role, row.active) for row in rows}


async def test_an_admin_adds_a_person_who_signs_in_with_what_was_shown_once(
    sam: Browser, resources: Resources, tenant: Tenant
) -> None:
    new = await sam.page("/settings/people/new")
    answer = await sam.submit(new, "/new", email=MEMBER, role="member")
    password = shown_once(answer.text)
    again = await sam.submit(new, "/new", email=MEMBER, role="member")
    assert "<output" not in again.text
    assert "cannot be shown again" in again.text
    people = await sam.page("/settings/people")
    assert sorted(items(people)) == [MEMBER, "sam@example.com"]
    assert "Signed in, last seen today, " in people
    max_id = (await people_of(resources, tenant))[MEMBER][0]
    assert password not in await sam.page(f"/settings/people/{max_id}")
    assert (await sam.sign_in(MEMBER, password)).status_code == 303
    assert (await sam.get("/settings/people")).status_code == 403


async def test_an_e_mail_is_taken_whatever_organization_has_it(
    sam: Browser, resources: Resources, other_tenant: Tenant
) -> None:
    await add_person(resources, other_tenant.tenant_id, MEMBER)
    new = await sam.page("/settings/people/new")
    for email, status, said in (
        (MEMBER.upper(), 409, "Somebody has this e-mail already."),
        ("nonsense", 400, "Has characters that are not allowed here, or is blank."),
    ):
        answer = await sam.submit(new, "/new", email=email, role="admin")
        assert answer.status_code == status
        assert fault(answer.text, "email") == said
        assert value(answer.text, "email") == email


async def test_a_person_switched_off_is_out_at_once_and_comes_back(
    sam: Browser, elsewhere: Browser, resources: Resources, tenant: Tenant
) -> None:
    max_id = await add_person(resources, tenant.tenant_id, MEMBER)
    await elsewhere.sign_in(MEMBER)
    here = f"/settings/people/{max_id}"
    page = await sam.page(here)
    await sam.submit(page, here, role="member")
    assert (await elsewhere.get("/conversations")).status_code == 303
    assert (await elsewhere.sign_in(MEMBER)).status_code == 401
    await sam.submit(page, here, role="admin", active="1")
    assert (await people_of(resources, tenant))[MEMBER][1:] == ("admin", True)
    assert (await elsewhere.sign_in(MEMBER)).status_code == 303
    await elsewhere.page("/settings/general")


async def test_somebody_always_stays_admin(sam: Browser, resources: Resources, tenant: Tenant) -> None:
    sam_id = (await people_of(resources, tenant))["sam@example.com"][0]
    here = f"/settings/people/{sam_id}"
    page = await sam.page(here)
    answer = await sam.submit(page, here, role="member", active="1")
    assert fault(answer.text, "role") == "The tenant must keep one admin."
    answer = await sam.submit(page, here, role="admin")
    assert fault(answer.text, "active") == "You cannot switch off yourself."
    assert (await people_of(resources, tenant))["sam@example.com"][1:] == ("admin", True)


async def test_two_admins_who_demote_each_other_at_once_leave_one(
    sam: Browser, elsewhere: Browser, resources: Resources, tenant: Tenant
) -> None:
    other = "ada@example.com"
    await add_person(resources, tenant.tenant_id, other)
    known = await people_of(resources, tenant)
    page = await sam.page(f"/settings/people/{known[other][0]}")
    await sam.submit(page, f"/{known[other][0]}", role="admin", active="1")
    await elsewhere.sign_in(other)
    page = await sam.page(f"/settings/people/{known[other][0]}")
    hers = await elsewhere.page(f"/settings/people/{known['sam@example.com'][0]}")
    await asyncio.gather(
        sam.submit(page, f"/{known[other][0]}", role="member", active="1"),
        elsewhere.submit(hers, f"/{known['sam@example.com'][0]}", role="member", active="1"),
    )
    roles = [role for _, role, _ in (await people_of(resources, tenant)).values()]
    assert sorted(roles) == ["admin", "member"]


async def test_a_reset_password_takes_the_place_of_the_old_one(
    sam: Browser, elsewhere: Browser, resources: Resources, tenant: Tenant
) -> None:
    max_id = await add_person(resources, tenant.tenant_id, MEMBER)
    await elsewhere.sign_in(MEMBER)
    page = await sam.page(f"/settings/people/{max_id}")
    password = shown_once((await sam.submit(page, "/reset-password")).text)
    assert (await elsewhere.get("/conversations")).status_code == 303
    assert (await elsewhere.sign_in(MEMBER)).status_code == 401
    assert (await elsewhere.sign_in(MEMBER, password)).status_code == 303


async def test_another_organizations_person_is_not_there(
    sam: Browser, elsewhere: Browser, resources: Resources, other_tenant: Tenant
) -> None:
    theirs = await add_person(resources, other_tenant.tenant_id, MEMBER)
    assert (await sam.get(f"/settings/people/{theirs}")).status_code == 404
    page = await sam.page("/settings/people/new")
    csrf = form(page, "/new")[1]["csrf"]
    for path, fields in (("", {"role": "admin"}), ("/reset-password", {})):
        answer = await sam.post(f"/settings/people/{theirs}{path}", csrf=csrf, **fields)
        assert answer.status_code == 404
    assert (await people_of(resources, other_tenant))[MEMBER][2] is True
    assert (await elsewhere.sign_in(MEMBER)).status_code == 303


TWILIO = {
    "name": "Main",
    "active": "1",
    "credentials.accountSid": "AC0123456789abcdef0123456789abcdef",
    "credentials.authToken": "twilio-token-very-secret",
}


async def test_an_account_keeps_its_credentials_to_itself(sam: Browser, tenant: Tenant) -> None:
    page = await sam.page("/settings/accounts/new")
    assert "provider=twilio" in page
    new = await sam.page("/settings/accounts/new?provider=twilio")
    answer = await sam.submit(new, "/new", **(TWILIO | {"credentials.accountSid": ""}))
    assert answer.status_code == 400
    assert fault(answer.text, "credentials.accountSid") == "Is required."
    assert value(answer.text, "name") == "Main"
    assert "very-secret" not in answer.text
    answer = await sam.submit(answer.text, "/new", **TWILIO, unchecked="1")
    here = answer.headers["location"].split("?")[0]
    page = await sam.page(here)
    assert "very-secret" not in page
    assert "…cret" in page
    [kept] = (await tenant.call("GET", "/provider-accounts"))["providerAccounts"]
    assert kept["webhooks"]["inbound"] in page
    assert kept["default"] is True


@pytest.mark.parametrize("query", ["", "?provider=", "?provider=nobody"])
async def test_an_account_needs_a_known_provider(sam: Browser, tenant: Tenant, query: str) -> None:
    page = await sam.page(f"/settings/accounts/new{query}")
    assert "Choose the provider." in page
    csrf = form(page, "/sign-out")[1]["csrf"]
    answer = await sam.post(f"/settings/accounts/new{query}", csrf=csrf, once="x" * 16, **TWILIO)
    assert answer.status_code == 404
    assert (await tenant.call("GET", "/provider-accounts"))["providerAccounts"] == []


async def test_a_credential_left_empty_stays_and_one_typed_is_replaced(
    sam: Browser, tenant: Tenant, resources: Resources
) -> None:
    account = await tenant.account("twilio")
    here = f"/settings/accounts/{account['accountId']}"
    page = await sam.page(here)
    fields = {"name": "Renamed", "active": "1", "credentials.authToken": "another-token-9", "unchecked": "1"}
    assert (await sam.submit(page, here, **fields)).status_code == 303
    async with resources.database.system_tx() as tx:
        row = await directory.get(tx, ProviderAccount, tenant.tenant_id, account["accountId"])
    assert row
    assert row.name == "Renamed"
    assert row.is_default
    assert resources.seal.open_account(row).credentials == {
        "accountSid": CREDENTIALS["twilio"]["accountSid"], "authToken": "another-token-9",
    }  # fmt: skip


async def test_an_account_with_numbers_is_not_removed_and_says_why(sam: Browser, tenant: Tenant) -> None:
    account = await tenant.account()
    number = await tenant.number(providerAccountId=account["accountId"])
    here = f"/settings/accounts/{account['accountId']}"
    answer = await sam.submit(await sam.page(here), "/remove")
    assert answer.status_code == 409
    assert "Numbers belong to it." in answer.text
    page = await sam.page(f"/settings/numbers/{number['phoneNumberId']}")
    assert (await sam.submit(page, "/remove")).status_code == 303
    await sam.submit(await sam.page(here), "/remove")
    assert (await sam.get(here)).status_code == 404


async def test_credentials_are_checked_at_the_carrier_before_they_are_saved(
    idle_world: World, stranger: Browser, resources: Resources
) -> None:
    world = idle_world
    await add_person(resources, world.tenant.tenant_id, MEMBER)
    await stranger.sign_in(MEMBER)
    new = await stranger.page("/settings/accounts/new?provider=simulator")
    fields = {"name": "Second", "active": "1", "baseUrl": world.account["baseUrl"], "credentials.secret": "wrong-one"}
    for wrong, words in (
        ({}, "The carrier refuses these credentials: it answered 401."),
        ({"baseUrl": "http://127.0.0.1:9"}, "The carrier could not be asked"),
        ({"baseUrl": f"{world.account['baseUrl']}/nowhere"}, "it answered 404"),
    ):
        answer = await stranger.submit(new, "/new", **(fields | wrong))
        assert answer.status_code == 400
        assert words in unescape(answer.text)
        assert "wrong-one" not in answer.text
    known = await world.tenant.call("GET", "/provider-accounts")
    assert len(known["providerAccounts"]) == 1
    right = fields | {"credentials.secret": world.carrier.known.secret}
    added = await stranger.submit(new, "/new", **right)
    assert added.status_code == 303
    here = added.headers["location"].split("?")[0]
    page = await stranger.page(here)
    changed = {"name": "Third", "active": "1", "baseUrl": world.account["baseUrl"]}
    refused = await stranger.submit(page, here, **changed, **{"credentials.secret": "wrong-one"})
    assert "it answered 401. Correct them, or save without a check." in unescape(refused.text)
    assert (await stranger.submit(page, here, **changed)).status_code == 303, "the carrier need not be asked"
    unchecked = {"credentials.secret": "wrong-one", "unchecked": "1"}
    assert (await stranger.submit(page, here, **changed, **unchecked)).status_code == 303


async def test_what_the_vendor_tells_is_told(idle_world: World, stranger: Browser, resources: Resources) -> None:
    world = idle_world
    await add_person(resources, world.tenant.tenant_id, MEMBER)
    await stranger.sign_in(MEMBER)
    here = f"/settings/accounts/{world.account['accountId']}"
    page = await stranger.page(here)
    known = world.carrier.known.inbound_urls
    known.clear()
    known.update({world.ours: world.account["webhooks"]["inbound"], "+12125550151": "https://x.y"})
    assert "The provider sends the texts of all" in (await stranger.submit(page, "/check")).text
    assert "1 added, 1 updated, 0 switched off" in (await stranger.submit(page, "/sync")).text
    wrong = (await stranger.submit(page, "/check")).text
    assert "go to another address: set the webhook to" in wrong
    fields = {"name": "Away", "active": "1", "baseUrl": "http://127.0.0.1:9", "unchecked": "1"}
    await stranger.submit(page, here, **fields)
    answer = await stranger.submit(page, "/check")
    assert answer.status_code == 502
    assert "did not answer as it should" in answer.text


async def test_a_number_is_added_changed_braked_and_removed(sam: Browser, tenant: Tenant) -> None:
    account = await tenant.account()
    new = await sam.page("/settings/numbers/new")
    fields = {
        "phoneNumber": "(212) 555-0123", "label": "Main line", "capabilities": "sms",
        "providerAccountId": account["accountId"], "messagesPerSecond": "quick", "active": "1",
    }  # fmt: skip
    answer = await sam.submit(new, "/new", **fields)
    assert fault(answer.text, "messagesPerSecond") == "Must be a valid number."
    assert value(answer.text, "messagesPerSecond") == "quick"
    assert re.search(rf'value="{account["accountId"]}" selected', answer.text)
    await sam.submit(answer.text, "/new", **(fields | {"messagesPerSecond": "2.5"}))
    [kept] = (await tenant.call("GET", "/phone-numbers"))["phoneNumbers"]
    assert kept["phoneNumber"] == "+12125550123"
    assert kept["messagesPerSecond"] == 2.5
    assert kept["capabilities"] == ["sms"]
    assert ">Main line · simulator · SMS<" in await sam.page("/settings/numbers")
    again = await sam.submit(await sam.page("/settings/numbers/new"), "/new", **fields | {
        "messagesPerSecond": "",
    })  # fmt: skip
    assert again.status_code == 409
    assert fault(again.text, "phoneNumber") == "Is one of your numbers already."
    here = f"/settings/numbers/{kept['phoneNumberId']}"
    page = await sam.page(here)
    assert value(page, "messagesPerSecond") == "2.5"
    assert (await sam.submit(page, here, label="Second line")).status_code == 303
    path = f"/phone-numbers/{kept['phoneNumberId']}"
    changed = await tenant.call("GET", path)
    assert (changed["label"], changed["active"], changed["capabilities"]) == (
        "Second line", False, [],
    )  # fmt: skip
    await sam.submit(page, "/pause", reason="filtered")
    assert (await tenant.call("GET", path))["pausedReason"] == "filtered"
    await sam.submit(await sam.page(here), "/resume")
    assert (await tenant.call("GET", path))["pausedAt"] is None
    await sam.submit(page, "/remove")
    assert "No numbers yet" in await sam.page("/settings/numbers")


async def test_a_number_with_conversations_is_not_removed(sam: Browser, tenant: Tenant) -> None:
    account = await tenant.account()
    number = await tenant.number(providerAccountId=account["accountId"])
    lead = await tenant.lead()
    await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
    here = f"/settings/numbers/{number['phoneNumberId']}"
    answer = await sam.submit(await sam.page(here), "/remove")
    assert answer.status_code == 409
    assert "Has interactions." in answer.text


AGENT = {
    "name": "Sunny", "webhookUrl": "https://agent.example.com/sms", "active": "1",
    "inboundEnabled": "1", "batchWindowMs": "7.5", "maxWaitMs": "", "replyDelayMs": "0",
    "staleReply": "hold", "maxTurnsPerDay": "50", "resumeAfterMinutes": "",
}  # fmt: skip


async def agents_of(tenant: Tenant) -> list[Data]:
    agents: list[Data] = (await tenant.call("GET", "/sms-agents"))["smsAgents"]
    return agents


async def test_an_agent_is_added_and_its_secret_shown_once(sam: Browser, tenant: Tenant) -> None:
    first, second = await tenant.campaign(name="First"), await tenant.campaign(name="Second")
    new = await sam.page("/settings/agents/new")
    ranked = [second["campaignId"], "", first["campaignId"]]
    fields = AGENT | {"inboundCampaignIds": ranked, "businessHours.days": ["1", "5"]}
    answer = await sam.submit(new, "/new", **fields)
    assert answer.status_code == 400
    assert fault(answer.text, "businessHours.start") == "Must be a valid string."
    hours = {"businessHours.start": "08:00", "businessHours.end": "20:00"}
    answer = await sam.submit(new, "/new", **fields, **hours, **{"businessHours.timezone": "Here"})
    assert fault(answer.text, "businessHours.timezone") == "Is not an IANA time zone."
    assert await agents_of(tenant) == []
    fields |= hours | {"businessHours.timezone": "America/New_York"}
    answer = await sam.submit(answer.text, "/new", **fields)
    secret = shown_once(answer.text)
    assert secret.startswith("whsec_")
    [kept] = await agents_of(tenant)
    assert kept["inboundCampaignIds"] == [second["campaignId"], first["campaignId"]]
    assert kept["businessHours"]["days"] == [1, 5]
    assert (kept["staleReply"], kept["batchWindowMs"], kept["maxWaitMs"]) == ("hold", 7500, 37500)
    page = await sam.page(f"/settings/agents/{kept['smsAgentId']}")
    assert secret not in page
    assert (value(page, "batchWindowMs"), value(page, "maxWaitMs")) == ("7.5", "")
    rotated = await sam.submit(page, "/rotate-secret")
    assert shown_once(rotated.text) not in ("", secret)
    again = await sam.submit(page, "/rotate-secret")
    assert "cannot be shown again" in again.text


async def test_an_agent_is_changed_braked_and_removed(sam: Browser, tenant: Tenant) -> None:
    agent = await tenant.agent(businessHours={
        "start": "08:00", "end": "20:00", "timezone": "America/New_York", "days": [1],
    })  # fmt: skip
    here = f"/settings/agents/{agent['smsAgentId']}"
    page = await sam.page(here)
    for wrong, field, said in (
        ({"batchWindowMs": "0.5"}, "batchWindowMs", "Must be greater than or equal to 1."),
        ({"batchWindowMs": "soon"}, "batchWindowMs", "Must be a valid number."),
        ({"batchWindowMs": ""}, "batchWindowMs", "Is required."),
        ({"webhookUrl": "ftp://x"}, "webhookUrl", "Must be an http or https address"),
        ({"maxWaitMs": "2"}, "maxWaitMs", "Must be between “Collect texts for” and 600."),
        ({"phoneNumberId": "num_nobody"}, "phoneNumberId", "Does not exist."),
    ):
        answer = await sam.submit(page, here, **(AGENT | wrong))
        assert answer.status_code == 400
        assert said in fault(answer.text, field)
    assert (await agents_of(tenant))[0]["name"] == "Agent"
    assert (await sam.submit(page, here, **AGENT)).status_code == 303
    [kept] = await agents_of(tenant)
    assert (kept["name"], kept["businessHours"]) == ("Sunny", None)
    await sam.submit(page, "/pause", reason="repeats itself")
    assert (await agents_of(tenant))[0]["pausedReason"] == "repeats itself"
    assert "Paused" in await sam.page("/settings/agents")
    await sam.submit(await sam.page(here), "/resume")
    campaign = await tenant.campaign(smsAgentId=agent["smsAgentId"])
    answer = await sam.submit(page, "/remove")
    assert (answer.status_code, "A campaign uses it." in answer.text) == (409, True)
    await tenant.call("DELETE", f"/campaigns/{campaign['campaignId']}")
    await sam.submit(page, "/remove")
    assert await agents_of(tenant) == []


async def test_the_test_button_tells_what_the_agent_answered(
    idle_world: World, stranger: Browser, resources: Resources
) -> None:
    world = idle_world
    await add_person(resources, world.tenant.tenant_id, MEMBER)
    await stranger.sign_in(MEMBER)
    here = f"/settings/agents/{world.smsagent['smsAgentId']}"
    page = await stranger.page(here)
    world.agent.answers = [
        (200, {"reply": "Hi <there>"}), (500, {"broken": True}), (200, {"Reply": "<b>"}),
        (200, {"reply": "A colleague will call.", "handoff": True}),
    ]  # fmt: skip
    answer = await stranger.submit(page, "/test")
    assert "The agent answered" in answer.text
    assert "Hi &lt;there&gt;" in answer.text
    assert "combinedText" in answer.text
    answer = await stranger.submit(page, "/test")
    assert "did not answer correctly" in answer.text
    assert "<dd>500</dd>" in answer.text
    answer = await stranger.submit(page, "/test")
    assert "did not answer correctly: the answer holds none of reply" in answer.text
    answer = await stranger.submit(page, "/test")
    for shown in ("The agent answered", "handed off", "A colleague will call."):
        assert shown in answer.text
    assert world.carrier.received(world.phone) == []


async def test_the_shadows_report_shows_both_answers(world: World, stranger: Browser, resources: Resources) -> None:
    await add_person(resources, world.tenant.tenant_id, MEMBER)
    await stranger.sign_in(MEMBER)
    here = f"/settings/agents/{world.smsagent['smsAgentId']}"
    assert "Shadow report" not in await stranger.page(here)
    assert "No turn was sent to both yet" in await stranger.page(f"{here}/shadow")
    change = {"shadowWebhookUrl": world.agent.url}
    await world.tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", change)
    assert "Shadow report" in await stranger.page(here)
    world.agent.answers = [(200, {"reply": "Answer A"}), (200, {"reply": "Answer B"})]
    await world.send("Hi Jane", agentMode=True)
    await world.text("Hey")
    await world.told(2)

    async def both() -> bool:
        page = await stranger.page(f"{here}/shadow")
        return "Answer A" in page and "Answer B" in page

    await until(both)


async def test_a_campaign_gets_its_two_agents_and_its_questions(sam: Browser, tenant: Tenant) -> None:
    account = await tenant.account()
    number = await tenant.number(providerAccountId=account["accountId"])
    agent, tester = await tenant.agent(), await tenant.agent(name="Tester", isTest=True)
    new = await sam.page("/settings/campaigns/new")
    fields = {
        "campaignId": "spring", "name": "Spring", "active": "1", "provider": "",
        "phoneNumberId": number["phoneNumberId"], "smsAgentId": agent["smsAgentId"],
        "testSmsAgentId": tester["smsAgentId"], "clientId": "c 1", "clientName": "Sunny",
        "questionnaire.key": ["owner", "", "roof"],
        "questionnaire.question": ["Do you own it?", "", "How old is it?"],
    }  # fmt: skip
    answer = await sam.submit(new, "/new", **fields | {"campaignId": "not an id"})
    assert answer.status_code == 400
    assert fault(answer.text, "campaignId")
    assert "How old is it?" in answer.text
    assert (await sam.submit(answer.text, "/new", **fields)).status_code == 303
    kept = await tenant.call("GET", "/campaigns/spring")
    assert kept["testSmsAgentId"] == tester["smsAgentId"]
    assert [one["key"] for one in kept["questionnaire"]] == ["owner", "roof"]
    again = await sam.submit(await sam.page("/settings/campaigns/new"), "/new", **fields)
    assert fault(again.text, "campaignId") == "Is taken."
    page = await sam.page("/settings/campaigns/spring")
    assert value(page, "clientName") == "Sunny"
    assert re.search(rf'value="{tester["smsAgentId"]}" selected', page)
    wrong = {"name": "Spring", "questionnaire.key": "owner", "questionnaire.question": "x" * 2001}
    answer = await sam.submit(page, "/spring", **wrong)
    assert "Must have at most 2000 characters" in fault(answer.text, "questionnaire")
    await sam.submit(page, "/spring", name="Summer")
    kept = await tenant.call("GET", "/campaigns/spring")
    assert (kept["name"], kept["active"], kept["smsAgentId"]) == ("Summer", False, None)
    assert kept["questionnaire"] == []
    lead = await tenant.lead(campaignId="spring")
    answer = await sam.submit(page, "/remove")
    assert "Leads or interactions belong to it." in answer.text
    await tenant.call("DELETE", f"/leads/{lead['leadId']}")
    await sam.submit(page, "/remove")
    assert "No campaigns yet" in await sam.page("/settings/campaigns")


async def test_a_key_is_shown_once_and_revoked_for_good(sam: Browser, tenant: Tenant) -> None:
    new = await sam.page("/settings/keys/new")
    fields = {"name": "CRM", "scope": "agent", "requestsPerSecond": "5"}
    answer = await sam.submit(new, "/new", **fields)
    assert fault(answer.text, "smsAgentId") == "Is required with scope agent."
    assert value(answer.text, "name") == "CRM"
    made = await sam.submit(new, "/new", **fields | {"scope": "read"})
    whole = shown_once(made.text)
    asker = Tenant(tenant.tenant_id, whole, tenant.http)
    assert (await asker.ask("GET", "/leads")).status_code == 200
    assert (await asker.ask("POST", "/leads", {})).status_code == 403
    listing = await sam.page("/settings/keys")
    assert items(listing) == ["CRM", "First key"]
    assert whole not in listing
    assert whole[:14] in listing
    here = unescape(re.findall(r'href="(/settings/keys/key_[^"]*)"', listing)[0])
    page = await sam.page(here)
    assert whole not in page
    await sam.submit(page, here, name="CRM 2", requestsPerSecond="")
    kept = (await tenant.call("GET", "/api-keys"))["apiKeys"][0]
    assert (kept["name"], kept["requestsPerSecond"]) == ("CRM 2", None)
    await sam.submit(page, "/remove")
    assert (await asker.ask("GET", "/leads")).status_code == 401
    assert (await sam.get(here)).status_code == 404


async def test_no_page_of_the_settings_shows_another_organizations_things(sam: Browser, other_tenant: Tenant) -> None:
    account = await other_tenant.account("twilio")
    number = await other_tenant.number()
    agent, campaign = await other_tenant.agent(), await other_tenant.campaign()
    key = (await other_tenant.call("GET", "/api-keys"))["apiKeys"][0]
    csrf = form(await sam.page("/settings/keys/new"), "/new")[1]["csrf"]
    for path, more in (
        (f"accounts/{account['accountId']}", ("check", "sync", "remove")),
        (f"numbers/{number['phoneNumberId']}", ("pause", "resume", "remove")),
        (f"agents/{agent['smsAgentId']}", ("test", "pause", "remove", "rotate-secret")),
        (f"campaigns/{campaign['campaignId']}", ("remove",)),
        (f"keys/{key['keyId']}", ("remove",)),
    ):
        assert (await sam.get(f"/settings/{path}")).status_code == 404
        for action in ("", *(f"/{one}" for one in more)):
            answer = await sam.post(f"/settings/{path}{action}", csrf=csrf, once="x" * 16, name="Mine", **AGENT_REST)
            assert answer.status_code == 404, (path, action)
    assert (await other_tenant.call("GET", f"/sms-agents/{agent['smsAgentId']}"))["pausedAt"] is None
    assert (await other_tenant.ask("GET", "/leads")).status_code == 200


AGENT_REST = {name: typed for name, typed in AGENT.items() if name != "name"}

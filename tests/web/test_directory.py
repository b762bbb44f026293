"""The directory: each resource made, read, changed, listed and removed (contract 8)."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app import settings
from app.domain.problems import Invalid
from app.providers import REGISTRY
from app.resources import Resources
from app.store import consent_events, suppressions
from app.web.directory.provider_accounts import require_real
from tests.makers import AGENT_URL, Data, Tenant, phone
from tests.makers import CREDENTIALS as GIVEN

JANE = "+12125551234"


def details(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.text
    found: list[str] = answer.json()["error"]["details"]
    return found


# What holds for every resource.

BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "/leads": ("leads", {"firstName": "Jane"}),
    "/campaigns": ("campaigns", {"name": "Spring"}),
    "/provider-accounts": (
        "providerAccounts",
        {"provider": "twilio", "name": "Main", "credentials": GIVEN["twilio"]},
    ),
    "/phone-numbers": ("phoneNumbers", {"phoneNumber": "+12125550123"}),
    "/sms-agents": ("smsAgents", {"name": "Agent", "webhookUrl": AGENT_URL}),
    "/api-keys": ("apiKeys", {"name": "Key", "scope": "api"}),
}
SHOWN_ONCE = {"signingSecret", "apiKey"}
MOVES = {"updatedAt", "lastUsedAt"}


@pytest.mark.parametrize("path", BODIES)
async def test_a_thing_is_made_listed_read_changed_and_removed(tenant: Tenant, path: str) -> None:
    plural, body = BODIES[path]
    answer = await tenant.ask("POST", path, body)
    assert answer.status_code == 201
    made = {k: v for k, v in answer.json()["data"].items() if k not in SHOWN_ONCE}
    [id_name] = [name for name in made if name.endswith("Id") and made[name]][:1]
    one = f"{path}/{made[id_name]}"
    assert await tenant.call("GET", one) == made
    page = await tenant.call("GET", path)
    assert made in page[plural]
    assert (page["hasMore"], page["nextCursor"]) == (False, None)
    named = "firstName" if path == "/leads" else "label" if path == "/phone-numbers" else "name"
    changed = await tenant.call("PATCH", one, {named: "Other"})
    fixed = MOVES | {named}
    assert changed[named] == "Other"
    assert {k: v for k, v in changed.items() if k not in fixed} == {k: v for k, v in made.items() if k not in fixed}
    assert await tenant.call("DELETE", one) == {"deleted": True}
    assert (await tenant.ask("GET", one)).status_code == 404
    assert (await tenant.ask("DELETE", one)).status_code == 404
    assert (await tenant.ask("PATCH", one, {named: "X"})).status_code == 404


@pytest.mark.parametrize("path", BODIES)
async def test_a_reader_reads_and_writes_nothing(tenant: Tenant, path: str) -> None:
    reader = await tenant.with_scope("read")
    admins_own = path in ("/provider-accounts", "/api-keys")
    assert (await reader.ask("GET", path)).status_code == (403 if admins_own else 200)
    assert (await reader.ask("POST", path, BODIES[path][1])).status_code == 403


async def test_null_clears_and_silence_keeps(tenant: Tenant) -> None:
    await tenant.lead(leadId="a", email="jane@example.com", timezone="America/New_York")
    lead = await tenant.call("PATCH", "/leads/a", {"email": None, "status": "contacted"})
    assert (lead["email"], lead["timezone"], lead["status"]) == (
        None, "America/New_York", "contacted",
    )  # fmt: skip


async def test_null_is_refused_where_something_must_stand(tenant: Tenant) -> None:
    await tenant.lead(leadId="a")
    answer = await tenant.ask("PATCH", "/leads/a", {"status": None, "isTest": None})
    assert details(answer) == ["status: must not be null", "isTest: must not be null"]


# Leads.


async def test_a_phone_is_kept_in_one_form(tenant: Tenant) -> None:
    lead = await tenant.lead(phone="(212) 555-1234")
    assert lead["phone"] == JANE
    await tenant.call("PATCH", "/settings", {"defaultCountry": "GB"})
    assert (await tenant.lead(phone="020 7946 0018"))["phone"] == "+442079460018"
    bad = await tenant.ask("POST", "/leads", {"phone": "12"})
    assert details(bad) == ["phone: is not a valid phone number"]


@pytest.mark.parametrize("own", ["a", "A.b:c_d-9", "9" * 64])
async def test_an_id_may_be_the_callers_own(tenant: Tenant, own: str) -> None:
    assert (await tenant.lead(leadId=own))["leadId"] == own
    again = await tenant.ask("POST", "/leads", {"leadId": own})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize("own", ["", "_a", "a b", "a/b", "9" * 65, "a\n", "é"])
async def test_an_id_of_another_form_is_refused(tenant: Tenant, own: str) -> None:
    assert details(await tenant.ask("POST", "/leads", {"leadId": own}))[0].startswith("leadId: ")


async def test_the_same_own_id_may_stand_in_two_tenants(tenant: Tenant, other_tenant: Tenant) -> None:
    await tenant.lead(leadId="a", firstName="Mine")
    await other_tenant.lead(leadId="a", firstName="Theirs")
    assert (await tenant.call("GET", "/leads/a"))["firstName"] == "Mine"


async def test_put_makes_a_lead_and_then_replaces_it_whole(tenant: Tenant) -> None:
    body = {"firstName": "Jane", "phone": JANE, "status": "contacted"}
    first = await tenant.ask("PUT", "/leads/crm-1", body)
    second = await tenant.ask("PUT", "/leads/crm-1", {"lastName": "Miller"})
    assert (first.status_code, second.status_code) == (201, 200)
    lead = second.json()["data"]
    assert (lead["firstName"], lead["lastName"], lead["phone"], lead["status"]) == (
        None, "Miller", None, "new",
    )  # fmt: skip
    assert (await tenant.ask("PUT", "/leads/_bad", {})).status_code == 400


@pytest.mark.parametrize("zone", ["Mars/Phobos", "../etc/passwd", "America", "", "EST5EDT "])
async def test_a_time_zone_must_be_one(tenant: Tenant, zone: str) -> None:
    answer = await tenant.ask("POST", "/leads", {"timezone": zone})
    assert details(answer)[0].startswith("timezone: ")


@pytest.mark.parametrize("search", ["jane mil", "MILLER", "5551234", "(212) 555", "crm-77", "jane@ex"])
async def test_a_lead_is_found_by_name_phone_id_and_email(tenant: Tenant, search: str) -> None:
    await tenant.lead(leadId="crm-77", phone=JANE, email="jane@example.com")
    await tenant.lead(firstName="100%", lastName="Other", phone="+13055551987")
    found = (await tenant.call("GET", "/leads", params={"search": search}))["leads"]
    assert [lead["leadId"] for lead in found] == ["crm-77"]


async def test_the_lists_filters_select_leads(tenant: Tenant, resources: Resources) -> None:
    for number in (1, 2, 3):
        ids = {"clientId": f"client-{number % 2}", "offerId": f"offer-{number}"}
        await tenant.campaign(campaignId=f"camp-{number}", **ids)
        status = "won" if number == 3 else "new"
        await tenant.lead(leadId=f"l{number}", firstName=f"Ann{number}", campaignId=f"camp-{number}", status=status)
    await tenant.lead(leadId="l4", status="lost")
    days = [f"UPDATE leads SET created_at = '2026-03-0{n} 00:00Z' WHERE lead_id = 'l{n}'" for n in (1, 2, 3, 4)]
    async with resources.database.system_tx() as tx:
        await tx.execute("; ".join(days))

    async def find(query: str) -> str:
        ids: list[str] = []
        cursor = ""
        while True:
            page = await tenant.call("GET", f"/leads?limit=1&{query}{cursor}")
            ids += [lead["leadId"] for lead in page["leads"]]
            if not page["hasMore"]:
                return " ".join(ids)
            cursor = f"&cursor={page['nextCursor']}"

    assert await find("") == "l4 l3 l2 l1"
    assert await find("campaignIds=camp-1&campaignIds=camp-2,x") == "l2 l1"
    assert await find("clientIds=client-1") == "l3 l1"
    assert await find("clientIds=client-1&offerIds=offer-3,offer-2") == "l3"
    assert await find("status=won&status=lost") == "l4 l3"
    assert await find("status=new&campaignIds=camp-3") == ""
    assert await find("startDate=2026-03-02&endDate=2026-03-03T00:00:00Z") == "l2"
    assert await find("search=ann&status=new&endDate=2026-03-02") == "l1"
    for query, field in (("statsu=new", "statsu"), ("startDate=soon", "startDate"), ("campaign=x", "campaign")):
        refused = await tenant.ask("GET", f"/leads?{query}")
        assert refused.status_code == 400
        assert details(refused)[0].startswith(f"{field}: ")


@pytest.mark.parametrize("search", ["%", "_"])
async def test_wildcards_in_a_search_are_letters(tenant: Tenant, search: str) -> None:
    await tenant.lead(leadId="a")
    assert (await tenant.call("GET", "/leads", params={"search": search}))["leads"] == []


async def test_what_the_service_knows_cannot_be_given(tenant: Tenant) -> None:
    answer = await tenant.ask("POST", "/leads", {"isDnc": True, "isPlaceholder": True})
    assert sorted(details(answer)) == [
        "isDnc: is not a known field", "isPlaceholder: is not a known field",
    ]  # fmt: skip


async def test_a_lead_with_threads_stays(tenant: Tenant, resources: Resources) -> None:
    lead = await tenant.lead()
    await open_thread(resources, tenant, lead["leadId"], lead["phone"])
    answer = await tenant.ask("DELETE", f"/leads/{lead['leadId']}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "IN_USE")


async def open_thread(resources: Resources, tenant: Tenant, lead_id: str, to: str, status: str = "in_progress") -> str:
    """A thread with one text in it; its id."""
    interaction_id = f"int_{lead_id}"
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id,"
            " status, last_seq) VALUES ($1, $2, '+18335645667', $3, $4, $5, 1)",
            tenant.tenant_id, interaction_id, to, lead_id, status,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role,"
            " source, text, status)"
            " VALUES ($1, $2, $3, $4, 1, 'user', 'inbound', 'Hi', 'received')",
            tenant.tenant_id, f"msg_{lead_id}", interaction_id, lead_id,
        )  # fmt: skip
    return interaction_id


# Placeholders.


async def placeholder(resources: Resources, tenant: Tenant, to: str) -> str:
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "INSERT INTO leads (tenant_id, lead_id, phone, is_placeholder, dnc_channels)"
            " VALUES ($1, 'lead_stand_in', $2, true, '{email}')",
            tenant.tenant_id, to,
        )  # fmt: skip
    await open_thread(resources, tenant, "lead_stand_in", to)
    return "lead_stand_in"


@pytest.mark.parametrize("how", ["POST", "PUT", "PATCH"])
async def test_a_placeholder_gives_way_to_the_real_lead(tenant: Tenant, resources: Resources, how: str) -> None:
    stand_in = await placeholder(resources, tenant, JANE)
    assert (await tenant.call("GET", f"/leads/{stand_in}"))["isPlaceholder"] is True
    if how == "POST":
        await tenant.call("POST", "/leads", {"leadId": "real", "phone": "(212) 555-1234"})
    elif how == "PUT":
        await tenant.call("PUT", "/leads/real", {"phone": JANE})
    else:
        await tenant.lead(leadId="real", phone=phone())
        await tenant.call("PATCH", "/leads/real", {"phone": JANE})
    real = await tenant.call("GET", "/leads/real")
    assert (real["isPlaceholder"], real["isDnc"]) == (False, True)
    assert (await tenant.ask("GET", f"/leads/{stand_in}")).status_code == 404
    async with resources.database.system_tx() as tx:
        owners = await tx.fetch_rows("SELECT lead_id FROM interactions UNION SELECT lead_id FROM messages")
    assert [row["lead_id"] for row in owners] == ["real"]


async def test_a_placeholder_of_another_tenant_stays(
    tenant: Tenant, other_tenant: Tenant, resources: Resources
) -> None:
    stand_in = await placeholder(resources, other_tenant, JANE)
    await tenant.lead(phone=JANE)
    assert (await other_tenant.call("GET", f"/leads/{stand_in}"))["isPlaceholder"] is True


async def test_a_placeholder_that_is_named_becomes_a_real_lead(tenant: Tenant, resources: Resources) -> None:
    stand_in = await placeholder(resources, tenant, JANE)
    kept = await tenant.call("PATCH", f"/leads/{stand_in}", {"status": "contacted"})
    assert kept["isPlaceholder"] is True
    named = await tenant.call("PATCH", f"/leads/{stand_in}", {"firstName": "Jane"})
    assert named["isPlaceholder"] is False


# Do not contact.


async def dnc(tenant: Tenant, method: str, lead_id: str, json: Any = None) -> Any:
    return await tenant.ask(method, f"/leads/{lead_id}/dnc", json)


async def test_a_leads_channels_are_set_and_lifted(tenant: Tenant) -> None:
    lead = await tenant.lead(leadId="a")
    assert lead["isDnc"] is False
    told = (await dnc(tenant, "PUT", "a", {"channels": ["phone", "email"]})).json()["data"]
    assert (told["channels"], told["isDnc"], told["causes"]) == (["email", "phone"], True, [])
    assert (await tenant.call("GET", "/leads/a"))["isDnc"] is True
    assert (await dnc(tenant, "DELETE", "a")).json()["data"]["isDnc"] is False
    assert (await dnc(tenant, "GET", "a")).json()["data"]["channels"] == []
    assert details(await dnc(tenant, "PUT", "a", {"channels": ["fax"]}))[0].startswith("channels[0]")


async def test_sms_suppresses_the_phone_of_every_lead_that_has_it(tenant: Tenant) -> None:
    await tenant.lead(leadId="a", phone=JANE)
    await tenant.lead(leadId="b", phone=JANE)
    told = (await dnc(tenant, "PUT", "a", {"channels": ["sms"], "reason": "asked"})).json()["data"]
    assert (told["causes"], told["reason"]) == (["person"], "asked")
    assert (await tenant.call("GET", "/leads/b"))["isDnc"] is True
    assert (await dnc(tenant, "PUT", "a", {"channels": ["email"]})).json()["data"]["causes"] == []
    assert (await tenant.call("GET", "/leads/b"))["isDnc"] is False


async def test_a_suppressed_phones_threads_stop_and_come_back(tenant: Tenant, resources: Resources) -> None:
    await tenant.lead(leadId="a", phone=JANE)
    thread = await open_thread(resources, tenant, "a", JANE, "qualified")
    async with resources.database.system_tx() as tx:
        for state, message_id in (("queued", "msg_q"), ("sending", "msg_s")):
            await tx.execute(
                "INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, role,"
                " source, text, status) VALUES ($1, $2, $3, 'a', 'agent', 'api', 'Hi', $4)",
                tenant.tenant_id, message_id, thread, state,
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO outbox (tenant_id, message_id, interaction_id, account_id, to_phone,"
                " from_phone, state, expires_at) VALUES ($1, $2, $3, 'acct', $4, '+1', $5, now())",
                tenant.tenant_id, message_id, thread, JANE, state,
            )  # fmt: skip
        await tx.execute(
            "INSERT INTO turns (tenant_id, turn_id, interaction_id, due_at, window_due_at)"
            " VALUES ($1, 'turn_1', $2, now(), now())",
            tenant.tenant_id, thread,
        )  # fmt: skip
    assert (await dnc(tenant, "PUT", "a", {"channels": ["sms"]})).is_success
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT status FROM interactions") == "dnc"
        turn = await tx.fetch_row("SELECT state, reason FROM turns")
        assert turn
        assert (turn["state"], bool(turn["reason"])) == ("cancelled", True)
        texts = await tx.fetch_rows("SELECT message_id, status, error_code, status_history FROM messages")
        by_id = {row["message_id"]: row for row in texts}
        assert (by_id["msg_q"]["status"], by_id["msg_q"]["error_code"]) == (
            "cancelled", "DNC_BLOCKED",
        )  # fmt: skip
        assert by_id["msg_q"]["status_history"][-1]["status"] == "cancelled"
        assert by_id["msg_s"]["status"] == "sending"
        assert await tx.fetch_value("SELECT array_agg(message_id) FROM outbox") == ["msg_s"]
    assert (await dnc(tenant, "DELETE", "a")).is_success
    async with resources.database.system_tx() as tx:
        row = await tx.fetch_row("SELECT status, status_before_dnc FROM interactions")
        assert row
        assert tuple(row.values()) == ("qualified", None)
        assert await tx.fetch_value("SELECT status FROM messages WHERE message_id = 'msg_q'") == ("cancelled")


async def test_what_the_lead_asked_for_no_hand_lifts(tenant: Tenant, resources: Resources) -> None:
    await tenant.lead(leadId="a", phone=JANE)
    thread = await open_thread(resources, tenant, "a", JANE)
    asked = suppressions.Cause(
        tenant_id=tenant.tenant_id, phone=JANE, cause="lead", actor="lead", event="opted_out",
        rule="word", text="STOP",
    )  # fmt: skip
    async with resources.database.system_tx() as tx:
        await suppressions.add(tx, [asked])
    for method, body in (("DELETE", None), ("PUT", {"channels": ["email"]})):
        answer = await dnc(tenant, method, "a", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "SUPPRESSION_ACTIVE")
    assert (await dnc(tenant, "GET", "a")).json()["data"]["channels"] == []
    both = (await dnc(tenant, "PUT", "a", {"channels": ["sms"]})).json()["data"]
    assert both["causes"] == ["lead", "person"]
    lifted = await dnc(tenant, "DELETE", "a")
    assert (lifted.status_code, lifted.json()["data"]["causes"]) == (200, ["lead"])
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT status FROM interactions") == "dnc"
        await suppressions.lift(tx, [asked])
        assert await tx.fetch_value("SELECT status FROM interactions") == "in_progress"
        events = await consent_events.list_of_phone(tx, tenant.tenant_id, JANE)
    assert [(event.event, event.cause) for event in events] == [
        ("opted_out", "lead"), ("suppressed", "person"), ("released", "person"),
        ("opted_out", "lead"),
    ]  # fmt: skip
    assert thread


async def test_a_suppression_never_crosses_tenants(tenant: Tenant, other_tenant: Tenant) -> None:
    await tenant.lead(leadId="a", phone=JANE)
    await other_tenant.lead(leadId="a", phone=JANE)
    await dnc(tenant, "PUT", "a", {"channels": ["sms"]})
    assert (await other_tenant.call("GET", "/leads/a"))["isDnc"] is False


async def test_the_hash_keeps_a_cause_after_the_phone_was_erased(tenant: Tenant, resources: Resources) -> None:
    await tenant.lead(leadId="a", phone=JANE)
    await dnc(tenant, "PUT", "a", {"channels": ["sms"]})
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE suppressions SET phone = NULL")
    assert (await tenant.call("GET", "/leads/a"))["isDnc"] is True


# Campaigns.


async def test_a_campaign_names_its_things(tenant: Tenant) -> None:
    number, agent = await tenant.number(), await tenant.agent()
    body = {
        "campaignId": "spring", "name": "Spring", "clientId": "c", "clientName": "Roofs",
        "offerId": "o", "offerName": "Panels", "phoneNumberId": number["phoneNumberId"],
        "provider": "twilio", "smsAgentId": agent["smsAgentId"],
        "testSmsAgentId": agent["smsAgentId"],
        "questionnaire": [{"key": "budget", "question": "What is your budget?"}],
    }  # fmt: skip
    made = await tenant.call("POST", "/campaigns", body)
    assert {name: made[name] for name in body} == body
    assert made["active"] is True
    assert (await tenant.ask("PUT", "/campaigns/spring", {"name": "S"})).status_code == 200
    assert (await tenant.call("GET", "/campaigns/spring"))["clientId"] is None
    assert (await tenant.ask("PUT", "/campaigns/summer", {"name": "S"})).status_code == 201


async def test_what_is_referred_to_cannot_be_removed(tenant: Tenant) -> None:
    account = await tenant.account()
    number = await tenant.number(providerAccountId=account["accountId"])
    agent = await tenant.agent(phoneNumberId=number["phoneNumberId"])
    campaign = await tenant.campaign(smsAgentId=agent["smsAgentId"])
    await tenant.lead(campaignId=campaign["campaignId"])
    for path in (
        f"/provider-accounts/{account['accountId']}",
        f"/phone-numbers/{number['phoneNumberId']}",
        f"/sms-agents/{agent['smsAgentId']}",
        f"/campaigns/{campaign['campaignId']}",
    ):
        answer = await tenant.ask("DELETE", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "IN_USE"), path
        assert (await tenant.ask("GET", path)).status_code == 200


# Provider accounts.


def test_each_provider_needs_the_credentials_of_the_contract() -> None:
    needed = {
        "twilio": "accountSid authToken",
        "vonage": "apiKey apiSecret signatureSecret",
        "telnyx": "apiKey publicKey",
        "plivo": "authId authToken",
        "bandwidth": "accountId applicationId username password callbackUsername callbackPassword",
        "sinch": "servicePlanId apiToken webhookSecret",
        "simulator": "secret",
    }
    told = {name: " ".join(provider.CREDENTIALS) for name, provider in REGISTRY.items()}
    assert told == needed


async def test_credentials_are_sealed_and_shown_as_four_characters(tenant: Tenant, resources: Resources) -> None:
    made = await tenant.account("twilio")
    assert made["credentials"] == {"accountSid": "…cdef", "authToken": "…en-1"}
    base = f"{resources.settings.base_url}/webhooks/twilio/{made['accountId']}"
    assert made["webhooks"] == {"inbound": f"{base}/inbound", "status": f"{base}/status"}
    async with resources.database.system_tx() as tx:
        sealed = await tx.fetch_value("SELECT credentials FROM provider_accounts")
    assert b"twilio-token-1" not in sealed
    assert resources.seal.open_words(sealed) == GIVEN["twilio"]


@pytest.mark.parametrize(
    ("credentials", "fault"),
    [
        ({"accountSid": "AC1"}, "credentials.authToken: is required"),
        ({**GIVEN["twilio"], "x": "y"}, "credentials.x: is not a credential of this provider"),
        ({**GIVEN["twilio"], "authToken": " "}, "credentials.authToken: must not be blank"),
        ({**GIVEN["twilio"], "authToken": 5}, "credentials.authToken: must be a valid string"),
        ({**GIVEN["twilio"], "authToken": "a\x00"}, "credentials.authToken: "),
    ],
)
async def test_credentials_must_be_the_providers_own(tenant: Tenant, credentials: dict[str, Any], fault: str) -> None:
    body = {"provider": "twilio", "name": "T", "credentials": credentials}
    answer = await tenant.ask("POST", "/provider-accounts", body)
    assert details(answer)[0].startswith(fault)
    assert "twilio-token" not in answer.text


async def test_changed_credentials_replace_the_old_ones(tenant: Tenant, resources: Resources) -> None:
    made = await tenant.account("twilio")
    path = f"/provider-accounts/{made['accountId']}"
    fresh = {"accountSid": "AC-another-sid", "authToken": "another-token"}
    changed = await tenant.call("PATCH", path, {"credentials": fresh})
    assert changed["credentials"]["authToken"] == "…oken"
    kept = await tenant.call("PATCH", path, {"name": "Renamed"})
    assert kept["credentials"] == changed["credentials"]
    async with resources.database.system_tx() as tx:
        sealed = await tx.fetch_value("SELECT credentials FROM provider_accounts")
    assert resources.seal.open_words(sealed) == fresh
    partly = await tenant.ask("PATCH", path, {"credentials": {"authToken": "only-this-one"}})
    assert details(partly) == ["credentials.accountSid: is required"]


async def test_one_account_of_a_provider_is_the_default(tenant: Tenant) -> None:
    first = await tenant.account("twilio")
    second = await tenant.account("twilio")
    other = await tenant.account("vonage")
    assert (first["default"], second["default"], other["default"]) == (True, False, True)
    await tenant.call("PATCH", f"/provider-accounts/{second['accountId']}", {"default": True})
    accounts = (await tenant.call("GET", "/provider-accounts"))["providerAccounts"]
    defaults = {account["accountId"] for account in accounts if account["default"]}
    assert defaults == {second["accountId"], other["accountId"]}


async def test_of_accounts_made_at_once_one_is_the_default(tenant: Tenant) -> None:
    made = await asyncio.gather(*(tenant.account("twilio", default=True) for _ in range(5)))
    accounts = (await tenant.call("GET", "/provider-accounts"))["providerAccounts"]
    assert len(accounts) == len(made)
    assert sum(account["default"] for account in accounts) == 1


@pytest.mark.parametrize(
    "url",
    ["ftp://x.example", "x.example", "https://", "https://user@x.example", "http://u:p@x.example/",
     "https://x.example:99999", "javascript:alert(1)", "https://x.example/a b", "http://[::1",
     "http://127.1", "http://999.1.1.1", "http://ⓛocalhost", "http://[fe80::1%25lo]"],
)  # fmt: skip
async def test_an_address_must_be_http_without_userinfo(tenant: Tenant, url: str) -> None:
    body = {"provider": "twilio", "name": "T", "credentials": GIVEN["twilio"], "baseUrl": url}
    assert details(await tenant.ask("POST", "/provider-accounts", body))[0].startswith("baseUrl: ")
    agent = {"name": "A", "webhookUrl": url}
    assert details(await tenant.ask("POST", "/sms-agents", agent))[0].startswith("webhookUrl: ")


def test_production_refuses_the_simulator_unless_it_is_allowed(resources: Resources) -> None:
    production: dict[str, object] = {
        "database_url": "postgresql://x/x", "redis_url": "redis://x", "environment": "production",
        "public_base_url": "https://x.example", "metrics_token": "t",
        "secret_keys": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    }  # fmt: skip

    def held(**more: object) -> Resources:
        configuration = settings.load(**production, **more)
        return replace(resources, settings=configuration, mail=None)

    with pytest.raises(Invalid):
        require_real("simulator", held())
    require_real("twilio", held())
    require_real("simulator", held(allow_simulator=True))


# Numbers.


async def test_a_number_is_kept_in_one_form_once_in_a_tenant(tenant: Tenant, other_tenant: Tenant) -> None:
    made = await tenant.number(phoneNumber="212-555-1234")
    assert (made["phoneNumber"], made["capabilities"], made["active"]) == (JANE, ["sms"], True)
    assert made["providerAccountId"] is None
    again = await tenant.ask("POST", "/phone-numbers", {"phoneNumber": JANE})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "ALREADY_EXISTS")
    await other_tenant.number(phoneNumber=JANE)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"phoneNumber": "12"}, "phoneNumber"),
        ({"capabilities": ["fax"]}, "capabilities[0]"),
        ({"messagesPerSecond": 0}, "messagesPerSecond"),
        ({"messagesPerSecond": 1e300}, "messagesPerSecond"),
        ({"providerAccountId": "acct_x"}, "providerAccountId"),
        ({"capabilities": None}, "capabilities"),
    ],
)
async def test_a_numbers_fields_are_checked(tenant: Tenant, given: dict[str, Any], field: str) -> None:
    answer = await tenant.ask("POST", "/phone-numbers", {"phoneNumber": JANE} | given)
    assert details(answer)[0].startswith(f"{field}: ")


async def test_a_number_cannot_become_another(tenant: Tenant) -> None:
    made = await tenant.number()
    path = f"/phone-numbers/{made['phoneNumberId']}"
    answer = await tenant.ask("PATCH", path, {"phoneNumber": JANE})
    assert details(answer) == ["phoneNumber: is not a known field"]


# SMS agents.


async def test_an_agents_secret_is_shown_once(tenant: Tenant, resources: Resources) -> None:
    made = await tenant.agent()
    assert made["signingSecret"].startswith("whsec_")
    path = f"/sms-agents/{made['smsAgentId']}"
    assert "signingSecret" not in await tenant.call("GET", path)
    assert "signingSecret" not in await tenant.call("PATCH", path, {"name": "B"})
    async with resources.database.system_tx() as tx:
        sealed = await tx.fetch_value("SELECT secret FROM sms_agents")
    assert resources.seal.open(sealed).decode() == made["signingSecret"]


async def test_a_rotated_secret_leaves_the_old_one_for_a_day(tenant: Tenant, resources: Resources) -> None:
    made = await tenant.agent()
    path = f"/sms-agents/{made['smsAgentId']}/rotate-secret"
    rotated = await tenant.call("POST", path)
    assert rotated["signingSecret"] != made["signingSecret"]
    async with resources.database.system_tx() as tx:
        row = await tx.fetch_row(
            "SELECT *, previous_secret_until - now() BETWEEN interval '23 hours 59 minutes'"
            " AND interval '24 hours' AS for_a_day FROM sms_agents"
        )
    assert row
    assert resources.seal.open(row["secret"]).decode() == rotated["signingSecret"]
    assert resources.seal.open(row["previous_secret"]).decode() == made["signingSecret"]
    assert row["for_a_day"]


@pytest.mark.parametrize(
    ("given", "window", "longest"),
    [
        ({}, 7000, 35_000),
        ({"batchWindowMs": 1000}, 1000, 5000),
        ({"batchWindowMs": 60_000}, 60_000, 300_000),
        ({"batchWindowMs": 1000, "maxWaitMs": 1000}, 1000, 1000),
        ({"maxWaitMs": 600_000}, 7000, 600_000),
    ],
)
async def test_a_window_has_its_longest_wait(tenant: Tenant, given: dict[str, int], window: int, longest: int) -> None:
    made = await tenant.agent(**given)
    assert (made["batchWindowMs"], made["maxWaitMs"]) == (window, longest)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"batchWindowMs": 999}, "batchWindowMs"),
        ({"batchWindowMs": 60_001}, "batchWindowMs"),
        ({"batchWindowMs": "7000"}, "batchWindowMs"),
        ({"batchWindowMs": 7000.5}, "batchWindowMs"),
        ({"batchWindowMs": 8000, "maxWaitMs": 7999}, "maxWaitMs"),
        ({"maxWaitMs": 600_001}, "maxWaitMs"),
        ({"inboundCampaignIds": ["nothing"]}, "inboundCampaignIds[0]"),
        ({"phoneNumberId": "num_x"}, "phoneNumberId"),
        ({"name": "   "}, "name"),
    ],
)
async def test_an_agents_fields_are_checked(tenant: Tenant, given: dict[str, Any], field: str) -> None:
    body = {"name": "A", "webhookUrl": AGENT_URL} | given
    assert details(await tenant.ask("POST", "/sms-agents", body))[0].startswith(f"{field}: ")


async def test_a_window_cannot_outgrow_the_longest_wait_by_a_change(tenant: Tenant) -> None:
    made = await tenant.agent(maxWaitMs=10_000)
    answer = await tenant.ask("PATCH", f"/sms-agents/{made['smsAgentId']}", {"batchWindowMs": 20_000})
    assert details(answer)[0].startswith("maxWaitMs: ")


async def test_an_agents_campaigns_keep_their_order(tenant: Tenant) -> None:
    ids = [(await tenant.campaign(campaignId=name))["campaignId"] for name in ("b", "c", "a")]
    made = await tenant.agent(inboundCampaignIds=ids)
    assert made["inboundCampaignIds"] == ["b", "c", "a"]
    answer = await tenant.ask("DELETE", "/campaigns/c")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "IN_USE")


# API keys.


async def test_a_key_is_shown_once_and_listed_by_its_prefix(tenant: Tenant) -> None:
    made = await tenant.call("POST", "/api-keys", {"name": "k", "scope": "read"})
    assert made["apiKey"].startswith(made["prefix"])
    listed = (await tenant.call("GET", "/api-keys"))["apiKeys"]
    assert all("apiKey" not in key for key in listed)
    assert made["prefix"] in {key["prefix"] for key in listed}


async def test_an_agents_key_is_bound_to_one_agent(tenant: Tenant) -> None:
    agent = await tenant.agent()
    bound = {"name": "k", "scope": "agent", "smsAgentId": agent["smsAgentId"]}
    assert (await tenant.call("POST", "/api-keys", bound))["smsAgentId"] == agent["smsAgentId"]
    for body, fault in [
        ({"name": "k", "scope": "agent"}, "smsAgentId: is required with scope agent"),
        ({**bound, "scope": "api"}, "smsAgentId: needs scope agent"),
        ({**bound, "smsAgentId": "x"}, "smsAgentId: does not exist"),
        ({"name": "k", "scope": "root"}, "scope: must be 'admin', 'api', 'agent' or 'read'"),
    ]:
        assert details(await tenant.ask("POST", "/api-keys", body)) == [fault]


# Settings.


async def test_settings_change_in_part(tenant: Tenant) -> None:
    before = await tenant.call("GET", "/settings")
    assert before["quietHours"] == {"enabled": False, "start": "08:00", "end": "21:00"}
    body = {"quietHours": {"enabled": True, "start": "09:30"}, "helpText": "Call us."}
    after = await tenant.call("PATCH", "/settings", body)
    assert after["quietHours"] == {"enabled": True, "start": "09:30", "end": "21:00"}
    assert after == {**before, "quietHours": after["quietHours"], "helpText": "Call us."}
    assert (await tenant.call("PATCH", "/settings", {"helpText": None}))["helpText"] is None


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"defaultCountry": "USA"}, "defaultCountry"),
        ({"defaultCountry": None}, "defaultCountry"),
        ({"defaultProvider": "acme"}, "defaultProvider"),
        ({"quietHours": {"start": "24:00"}}, "quietHours.start"),
        ({"quietHours": {"start": "21:00", "end": "08:00"}}, "quietHours"),
        ({"quietHours": None}, "quietHours"),
        ({"helpText": " "}, "helpText"),
        ({"name": "Mine"}, "name"),
    ],
)
async def test_settings_are_checked(tenant: Tenant, given: dict[str, Any], field: str) -> None:
    assert details(await tenant.ask("PATCH", "/settings", given))[0].startswith(f"{field}: ")


@pytest.mark.parametrize("kind", ["lead", "campaign", "number", "agent", "reply", "key", "account"])
async def test_a_change_of_nothing_changes_nothing(tenant: Tenant, kind: str) -> None:
    path, key, body = NOTHING_CHANGED[kind]
    made = await tenant.call("POST", path, body)
    changed = await tenant.call("PATCH", f"{path}/{made[key]}", {})
    assert {name: value for name, value in changed.items() if name != "updatedAt"} == {
        name: value for name, value in made.items() if name in changed and name != "updatedAt"
    }


NOTHING_CHANGED: dict[str, tuple[str, str, Data]] = {
    "lead": ("/leads", "leadId", {"firstName": "Jane"}),
    "campaign": ("/campaigns", "campaignId", {"name": "Spring"}),
    "number": ("/phone-numbers", "phoneNumberId", {"phoneNumber": "+12125550188"}),
    "agent": ("/sms-agents", "smsAgentId", {"name": "Sunny", "webhookUrl": AGENT_URL}),
    "reply": ("/canned-replies", "cannedReplyId", {"title": "Hours", "text": "Nine to five."}),
    "key": ("/api-keys", "keyId", {"name": "Import", "scope": "api"}),
    "account": (
        "/provider-accounts",
        "accountId",
        {"provider": "simulator", "name": "Main", "credentials": GIVEN["simulator"]},
    ),
}

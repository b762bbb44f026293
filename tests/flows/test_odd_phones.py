"""Phones that number plans do not know: what a carrier brought is stored, and what is stored can be
read, exported, suppressed, released and answered. Short codes of ours are numbers like any other."""

from urllib.parse import quote

import pytest

from tests.flows.carrier_posts import PROVIDERS, open_line, post_text
from tests.makers import Data, Tenant
from tests.world import World

BROUGHT = {
    "22395": "22395", "123": "123", "7234567": "7234567",  # short codes
    "+19995550123": "+19995550123",  # an area code of tomorrow
    "447700900000": "+447700900000",  # for films only
    "+5215512345678": "+525512345678",  # a Mexican mobile as it was written until 2019
    "+29021234": "+29021234",
    "AMAZON": "AMAZON", "Mi Banco 24": "Mi Banco 24", "anonymous": "anonymous", "٣٤٥٦٧": "٣٤٥٦٧",
    "O'Neill & Söhne": "O'Neill & Söhne", "1234567890123456": "1234567890123456", "8.9E8": "8.9E8",
}  # fmt: skip


async def lead_with(tenant: Tenant, phone: str) -> Data:
    leads = (await tenant.call("GET", "/leads"))["leads"]
    found: list[Data] = [lead for lead in leads if lead["phone"] == phone]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("brought", "stored"), BROUGHT.items(), ids=BROUGHT.values())
async def test_whatever_a_carrier_brought_can_be_read_suppressed_and_released(
    tenant: Tenant, brought: str, stored: str
) -> None:
    account, keys, number = await open_line(tenant, "twilio")
    assert (await post_text(tenant, account, keys, brought, number, "Hello")).is_success
    lead = await lead_with(tenant, stored)
    exported = await tenant.call("GET", f"/leads/{lead['leadId']}/export")
    assert exported["consent"]["phone"] == stored
    for phone in {brought, stored}:
        path = quote(phone, safe="")
        assert (await tenant.call("GET", f"/consent/{path}"))["phone"] == stored
        made = await tenant.call("POST", "/suppressions", {"phones": [phone]})
        assert made["phones"] == [stored]
        assert (await tenant.call("GET", f"/consent/{path}"))["causes"] == ["person"]
        assert (await tenant.call("DELETE", f"/suppressions/{path}"))["suppressed"] is False
    changed = await tenant.call("PATCH", f"/leads/{lead['leadId']}", {"phone": brought, "firstName": "Ann"})
    assert (changed["phone"], changed["isPlaceholder"]) == (stored, False)
    real = await tenant.call("POST", "/leads", {"leadId": "real", "phone": brought})
    assert real["phone"] == stored
    text = {"leadId": "real", "message": "Hi", "to": brought}
    assert (await tenant.call("POST", "/sms/send", text))["to"] == stored
    assert (await post_text(tenant, account, keys, brought, number, "STOP")).is_success
    refused = await tenant.ask("POST", "/sms/send", text)
    assert refused.json()["error"]["code"] == "DNC_BLOCKED"


@pytest.mark.parametrize("phone", ["22395", "+19995550123", "(999) 555-0123", "+447700900000", "7234567"])
async def test_to_suppress_is_never_refused(tenant: Tenant, phone: str) -> None:
    [stored] = (await tenant.call("POST", "/suppressions", {"phones": [phone]}))["phones"]
    assert (await tenant.call("GET", f"/consent/{quote(phone)}"))["causes"] == ["person"]
    assert (await tenant.call("DELETE", f"/suppressions/{quote(stored)}"))["causes"] == []


@pytest.mark.parametrize("phone", ["22395", "+19995550123", "AMAZON", "+447700900000"])
async def test_a_new_recipient_must_be_a_valid_phone(tenant: Tenant, phone: str) -> None:
    await open_line(tenant, "twilio")
    lead = await tenant.lead()
    tries: list[tuple[str, Data, str]] = [
        ("/leads", {"phone": phone}, "phone"),
        ("/sms/send", {"leadId": lead["leadId"], "message": "Hi", "to": phone}, "to"),
    ]
    for path, body, field in tries:
        answer = await tenant.ask("POST", path, body)
        assert answer.status_code == 400
        assert answer.json()["error"]["details"] == [f"{field}: is not a valid phone number"]


async def test_a_mexican_lead_is_the_same_with_and_without_the_old_digit(tenant: Tenant) -> None:
    account, keys, number = await open_line(tenant, "twilio")
    lead = await tenant.lead(phone="+52 55 1234 5678")
    sent = await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hola"})
    assert (await post_text(tenant, account, keys, "+5215512345678", number, "STOP")).is_success
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert [entry["message"] for entry in thread["transcript"] if entry["role"] == "user"] == ["STOP"]
    refused = await tenant.ask("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hola"})
    assert refused.json()["error"]["code"] == "DNC_BLOCKED"
    for written in ("+5215512345678", "+52 1 55 1234 5678", "+525512345678"):
        assert (await tenant.call("GET", f"/consent/{quote(written)}"))["phone"] == "+525512345678"


@pytest.mark.parametrize("code", ["123", "72345", "7234567", "72345678"])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_short_code_of_ours_receives(tenant: Tenant, provider: str, code: str) -> None:
    account, keys, _ = await open_line(tenant, provider)
    made = await tenant.number(phoneNumber=code, providerAccountId=account["accountId"])
    assert made["phoneNumber"] == code
    lead = await tenant.lead()
    # The posts of some carriers leave out the plus of a phone: they cut off its first letter.
    to = code if provider in ("bandwidth", "simulator", "telnyx", "twilio") else f"+{code}"
    assert (await post_text(tenant, account, keys, lead["phone"], to, "Hi")).is_success
    [thread] = (await tenant.call("GET", f"/interactions/lead/{lead['leadId']}"))["interactions"]
    assert thread["telephony"]["phoneNumber"] == code


async def test_a_short_code_of_ours_sends(world: World) -> None:
    code = await world.tenant.number(phoneNumber=" 72345 ", providerAccountId=world.account["accountId"])
    sent = await world.send(**{"from": "72345"})
    assert (sent["from"], code["phoneNumber"]) == ("72345", "72345")
    await world.status_is(sent["messageId"], "delivered")
    again = await world.tenant.ask("POST", "/phone-numbers", {"phoneNumber": "72345"})
    assert again.json()["error"]["code"] == "ALREADY_EXISTS"


@pytest.mark.parametrize("code", ["12", "123456789", "72 345 x", "ACME", "7234a"])
async def test_what_is_no_short_code_is_no_number_of_ours(tenant: Tenant, code: str) -> None:
    answer = await tenant.ask("POST", "/phone-numbers", {"phoneNumber": code})
    assert answer.json()["error"]["details"] == ["phoneNumber: is not a valid phone number"]


async def test_letters_behind_a_known_phone_make_it_another(tenant: Tenant) -> None:
    await open_line(tenant, "twilio")
    lead = await tenant.lead()
    spoilt = f"{lead['phone']}xyzzy"
    tries: list[tuple[str, Data]] = [
        ("/sms/send", {"leadId": lead["leadId"], "message": "Hi", "to": spoilt}),
        ("/suppressions", {"phones": [spoilt]}),
        ("/leads", {"phone": spoilt}),
    ]
    for path, body in tries:
        assert (await tenant.ask("POST", path, body)).status_code == 400

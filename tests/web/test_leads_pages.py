"""The leads pages without script: list, filters, add, edit, merge, erase, and what may not be done."""

import asyncio
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest
from fastapi.routing import APIRoute

from app.resources import Resources
from app.web.directory.leads import NewLead
from app.web.page import leads as pages
from app.web.page.leads.editing import GROUPS
from tests.makers import Data, Tenant
from tests.web.people import Browser, add_person, browser, form
from tests.web.test_page import ours
from tests.web.test_page_shapes import LEADS, Rows, rows
from tests.web.test_settings import csrf_of, fault, filled, value

__all__ = ["ours", "rows"]

ROUTES = sorted(
    (method, route.path)
    for router in pages.ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
)
FOR_ADMINS = re.compile("merge|erase")


@pytest.fixture
async def member(sam: Browser, resources: Resources, tenant: Tenant) -> AsyncIterator[Browser]:
    """Somebody who is no admin."""
    await add_person(resources, tenant.tenant_id, "max@example.com")
    one = browser(sam.origin)
    await one.sign_in("max@example.com")
    yield one
    await one.http.aclose()


def listed(page: str) -> list[str]:
    parts = page.split('aria-label="Leads"')[1:]
    found = "".join(parts).split("</ul>")[0]
    return [unescape(name) for name in re.findall(r'class="name"[^>]*>([^<]*)<', found)]


def shown(page: str) -> str:
    """The words of the page."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", page.split("<main")[1])))


async def fields_of(page: str, **changes: Any) -> dict[str, Any]:
    """What the lead's form would send, as it stands there."""
    own = page.split('class="fields once"')[1].split("</form>")[0]
    texts: dict[str, Any] = {}
    for name, written in re.findall(r'<input(?: id="[^"]*")? name="([^"]*)" value="([^"]*)"', own):
        texts.setdefault(name, []).append(unescape(written))
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', own, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        texts[name] = chosen[1] if chosen else ""
    return texts | changes


async def test_pages_and_forms_of_leads_are_for_people_of_the_tenant_and_what_is_final_for_admins(
    sam: Browser, member: Browser, stranger: Browser
) -> None:
    assert len(ROUTES) >= 12
    for asker, is_admin in ((sam, True), (member, False)):
        csrf = await csrf_of(asker)
        for method, path in ROUTES:
            ask = asker.get(filled(path)) if method == "GET" else asker.post(filled(path), csrf=csrf)
            expected = {403} if FOR_ADMINS.search(path) and not is_admin else {200, 303, 400, 404}
            assert (await ask).status_code in expected, (method, path)
            if method == "POST":
                assert (await asker.post(filled(path), csrf="0" * 64)).status_code == 403, path
                foreign = await asker.http.post(
                    filled(path), data={"csrf": csrf}, headers={"Origin": "https://evil.example"}
                )
                assert foreign.status_code == 403, path
    member.http.cookies.clear()
    for method, path in ROUTES:
        answer = await (member.get(filled(path)) if method == "GET" else member.post(filled(path), csrf="0" * 64))
        assert answer.headers["location"].startswith("/sign-in"), (method, path)
        if method == "POST" and "{lead_id}" in path:
            assert answer.headers["location"] == "/sign-in?next=%2Fleads%2Fnobody"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Bob Lee", "Ann Ash"]),
        ("search=ash", ["Ann Ash"]),
        ("search=ann@example", ["Ann Ash"]),
        ("search=lee+bob", ["Bob Lee"]),
        ("campaign=c_one", ["Ann Ash"]),
        ("tag=solar", ["Bob Lee", "Ann Ash"]),
        ("tag=solar,west", ["Ann Ash"]),
        ("field=plan&value=gold", ["Ann Ash"]),
        ("field=bill&value=120", ["Ann Ash"]),
        ("contact=blocked", ["Bob Lee"]),
        ("contact=allowed", ["Ann Ash"]),
        ("search=nobody", []),
    ],
)
async def test_each_filter_narrows_the_list_of_leads(
    sam: Browser, tenant: Tenant, query: str, found: list[str]
) -> None:
    await tenant.campaign(campaignId="c_one")
    await tenant.lead(
        firstName="Ann",
        lastName="Ash",
        email="ann@example.com",
        campaignId="c_one",
        tags=["solar", "west"],
        customFields={"plan": "gold", "bill": 120},
    )
    bob = await tenant.lead(firstName="Bob", lastName="Lee", tags=["solar"])
    await tenant.call("PUT", f"/leads/{bob['leadId']}/dnc", {"channels": ["email"]})
    page = await sam.page(f"/leads?{query}")
    assert listed(page) == found
    assert ("Clear" in page) == bool(query)


async def test_the_api_lists_leads_that_may_not_be_contacted_or_the_others(tenant: Tenant, ours: Data) -> None:
    stopped, quiet, free = await tenant.lead(), await tenant.lead(phone=None), await tenant.lead()
    await tenant.call("PUT", f"/leads/{stopped['leadId']}/dnc", {"channels": ["sms"]})
    await tenant.call("PUT", f"/leads/{quiet['leadId']}/dnc", {"channels": ["phone"]})
    twin = await tenant.lead(phone=stopped["phone"])
    for is_dnc, expected in ((True, {stopped["leadId"], quiet["leadId"], twin["leadId"]}), (False, {free["leadId"]})):
        page = await tenant.call("GET", f"/leads?isDnc={str(is_dnc).lower()}")
        assert {lead["leadId"] for lead in page["leads"]} == expected
        assert all(lead["isDnc"] == is_dnc for lead in page["leads"])


async def test_the_list_of_leads_is_read_page_by_page(sam: Browser, tenant: Tenant) -> None:
    for name in ("Ann", "Bob", "Cid"):
        await tenant.lead(firstName=name, lastName="X", tags=["a"])
    page = await sam.page("/leads?limit=2&tag=a")
    [more] = re.findall(r'href="([^"]*cursor=[^"]*)">More', page)
    assert listed(page) == ["Cid X", "Bob X"]
    rest = await sam.page(unescape(more))
    assert listed(rest) == ["Ann X"]
    assert 'href="/leads?tag=a">Newest' in rest


async def test_a_custom_field_that_is_none_is_said_and_an_empty_list_says_what_to_do(
    sam: Browser, tenant: Tenant
) -> None:
    answer = await sam.get("/leads?field=two+words&value=x")
    assert answer.status_code == 400
    assert "The name of a custom field is one word" in answer.text
    page = await sam.page("/leads")
    assert "Add the first one" in page
    assert "import a file" in page


def test_the_leads_form_has_every_field_of_the_apis_body() -> None:
    named = {field.name for group in GROUPS for field in group.fields}
    assert named == {str(field.alias) for field in NewLead.model_fields.values()}


NEW: dict[str, Any] = {
    "firstName": "Ann",
    "lastName": "",
    "phone": "(212) 555-0187",
    "email": "",
    "status": "new",
    "timezone": "",
    "leadId": "crm-1",
    "tags": "solar, far west,solar",
    "customFields.key": ["plan", ""],
    "customFields.value": ["gold", ""],
    "questionnaire.key": ["owner"],
    "questionnaire.question": ["Own?"],
    "questionnaire.answer": ["yes"],
    "campaignId": "",
}


async def test_a_lead_is_added_with_every_field_once(member: Browser, tenant: Tenant) -> None:
    page = await member.page("/leads/_new")
    action, hidden = form(page, "/_new")
    answers = await asyncio.gather(*(member.post(action, **(hidden | NEW)) for _ in range(3)))
    assert {answer.status_code for answer in answers} <= {303, 409}
    assert any(answer.headers.get("location") == "/leads/crm-1?done=added" for answer in answers)
    lead = await tenant.call("GET", "/leads/crm-1")
    assert (lead["firstName"], lead["lastName"], lead["phone"]) == ("Ann", None, "+12125550187")
    assert (lead["tags"], lead["customFields"]) == (["solar", "far west"], {"plan": "gold"})
    assert lead["questionnaire"] == [{"key": "owner", "question": "Own?", "answer": "yes"}]


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"phone": "12"}, "phone", "Is not a valid phone number."),
        ({"email": "nobody"}, "email", "Is not an e-mail address."),
        ({"timezone": "Here"}, "timezone", "Is not an IANA time zone"),
        ({"tags": "x" * 41}, "tags", "Must have at most 40 characters."),
        (
            {"customFields.key": ["two words"], "customFields.value": ["x"]},
            "customFields",
            "Two words: must be a letter",
        ),
        (
            {"customFields.key": ["a", "a"], "customFields.value": ["1", "2"]},
            "customFields",
            "Has two rows for a.",
        ),
        (
            {"questionnaire.key": [""], "questionnaire.question": ["Q"]},
            "questionnaire",
            "Must have at least 1 character.",
        ),
        ({"leadId": "_no"}, "leadId", "Has characters that are not allowed here"),
        ({"leadId": "taken"}, "leadId", "Is taken."),
    ],
)
async def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(
    sam: Browser, tenant: Tenant, wrong: dict[str, Any], field: str, words: str
) -> None:
    await tenant.lead(leadId="taken")
    answer = await sam.submit(await sam.page("/leads/_new"), "/_new", **(NEW | wrong))
    assert answer.status_code in (400, 409)
    assert words in fault(answer.text, field)
    assert value(answer.text, "firstName") == "Ann"
    assert len((await tenant.call("GET", "/leads"))["leads"]) == 1


async def test_a_lead_is_changed_and_what_nobody_touched_stays_as_it_was(sam: Browser, tenant: Tenant) -> None:
    campaign = await tenant.campaign(name="Solar")
    lead = await tenant.lead(
        campaignId=campaign["campaignId"],
        tags=["a", "b c"],
        isTest=False,
        timezone="America/New_York",
        customFields={"plan": "gold", "bill": 120, "rate": 0.5, "owner": True, "zip": "90210"},
        questionnaire=[{"key": "q", "question": "Why?", "answer": "So"}],
    )
    here = f"/leads/{lead['leadId']}"
    page = await sam.page(here)
    untouched = await sam.submit(page, here, **await fields_of(page))
    assert untouched.headers["location"] == f"{here}?done=saved"
    after = await tenant.call("GET", here)
    assert {**after, "updatedAt": ""} == {**lead, "updatedAt": ""}
    page = await sam.page(here)
    fields = await fields_of(page, firstName="", tags="b c; new")
    rows_of = dict(zip(fields["customFields.key"], fields["customFields.value"], strict=True))
    rows_of |= {"bill": "99.5", "plan": "", "owner": "false", "zip": "02134", "fresh": "7"}
    fields |= {"customFields.key": list(rows_of), "customFields.value": list(rows_of.values())}
    assert (await sam.submit(page, here, **fields)).status_code == 303
    after = await tenant.call("GET", here)
    assert (after["firstName"], after["tags"]) == (None, ["b c", "new"])
    assert after["customFields"] == {"bill": 99.5, "rate": 0.5, "owner": False, "zip": "02134", "fresh": "7"}


async def test_what_somebody_changed_meanwhile_is_not_overwritten_unseen(sam: Browser, tenant: Tenant) -> None:
    lead = await tenant.lead()
    here = f"/leads/{lead['leadId']}"
    page = await sam.page(here)
    await tenant.call("PATCH", here, {"status": "contacted"})
    refused = await sam.submit(page, here, **await fields_of(page, firstName="Janet"))
    assert refused.status_code == 412
    assert "Somebody has changed this lead since you opened it." in refused.text
    assert value(refused.text, "firstName") == "Janet"
    assert (await tenant.call("GET", here))["status"] == "contacted"
    assert (await sam.submit(refused.text, here, **await fields_of(refused.text))).status_code == 303
    assert (await tenant.call("GET", here))["firstName"] == "Janet"


async def test_a_lead_shows_its_conversations_and_leads_to_a_new_one(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead = await tenant.lead()
    sent = await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
    page = await sam.page(f"/leads/{lead['leadId']}")
    assert f'href="/conversations/{sent["interactionId"]}"' in page
    assert f'href="/conversations/new?lead={lead["leadId"]}"' in page
    assert "Remove this lead" not in page
    answer = await sam.submit(page, "/sign-out")
    assert answer.status_code == 303


async def test_a_lead_without_a_conversation_is_removed_and_one_with_some_is_not(
    member: Browser, tenant: Tenant, ours: Data
) -> None:
    lead, written = await tenant.lead(), await tenant.lead()
    page = await member.page(f"/leads/{lead['leadId']}")
    assert "Erase" not in page
    assert (await member.submit(page, "/remove")).headers["location"] == "/leads?done=removed"
    assert (await member.get(f"/leads/{lead['leadId']}")).status_code == 404
    page = await member.page(f"/leads/{written['leadId']}")
    await tenant.call("POST", "/sms/send", {"leadId": written["leadId"], "message": "Hi"})
    answer = await member.submit(page, "/remove")
    assert answer.status_code == 409
    assert "has interactions" in answer.text


async def test_a_lead_is_erased_after_a_question_that_says_what_goes(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead = await tenant.lead()
    await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "Hi"})
    question = await sam.page(f"/leads/{lead['leadId']}/erase")
    assert "with 1 conversation, all texts" in shown(question)
    answer = await sam.submit(question, "/erase")
    assert answer.headers["location"] == "/leads?done=erased"
    assert (await tenant.ask("GET", f"/leads/{lead['leadId']}")).status_code == 404
    assert (await tenant.call("GET", "/interactions"))["interactions"] == []


async def test_two_leads_are_found_compared_and_merged(sam: Browser, tenant: Tenant) -> None:
    stays = await tenant.lead(firstName="Jane", lastName="Mill", tags=["a"], email=None)
    goes = await tenant.lead(firstName="J.", lastName="Mill", tags=["b"], email="jane@example.com")
    here = f"/leads/{stays['leadId']}/merge"
    page = await sam.page(here)
    assert f"/merge?from={goes['leadId']}" in page, "the same last name is offered at once"
    assert f"/merge?from={stays['leadId']}" not in page
    assert f"/merge?from={goes['leadId']}" in await sam.page(f"{here}?who=mill")
    page = await sam.page(f"{here}?from={goes['leadId']}")
    assert "J. Mill goes" in shown(page)
    assert (await sam.submit(page, "/merge")).headers["location"] == f"/leads/{stays['leadId']}?done=merged"
    lead = await tenant.call("GET", f"/leads/{stays['leadId']}")
    assert (lead["tags"], lead["email"]) == (["a", "b"], "jane@example.com")
    assert (await sam.get(f"{here}?from={goes['leadId']}")).status_code == 404
    csrf = await csrf_of(sam)
    assert (await sam.post(here, csrf=csrf, **{"from": stays["leadId"]})).status_code == 400


async def test_what_may_not_be_done_is_asked_with_what_it_does(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead = await tenant.lead()
    here = f"/leads/{lead['leadId']}/do-not-contact"
    question = await sam.page(here)
    assert "none goes to" in shown(question)
    answer = await sam.submit(question, "/do-not-contact", channels=["sms", "phone"], reason="Asked on the phone")
    assert answer.headers["location"].endswith("?done=consent")
    dnc = await tenant.call("GET", f"/leads/{lead['leadId']}/dnc")
    assert (dnc["channels"], dnc["reason"], dnc["causes"]) == (["phone", "sms"], "Asked on the phone", ["person"])
    page = await sam.page(f"/leads/{lead['leadId']}")
    assert "May not be texted" in page
    assert "Reason: Asked on the phone" in page
    await sam.submit(await sam.page(here), "/do-not-contact")
    assert (await tenant.call("GET", f"/leads/{lead['leadId']}/dnc"))["channels"] == []
    assert (await sam.post(here, csrf=await csrf_of(sam), channels="fax")).status_code == 400


async def test_another_tenants_lead_is_not_there(sam: Browser, tenant: Tenant, other_tenant: Tenant) -> None:
    lead, own = await other_tenant.lead(lastName="Zanzibar"), await tenant.lead()
    assert listed(await sam.page("/leads?search=zanzibar")) == []
    csrf = await csrf_of(sam)
    for method, path in ROUTES:
        if "{lead_id}" in path:
            there = path.replace("{lead_id}", lead["leadId"])
            fields = {"from": own["leadId"], "channels": "sms"}
            answer = await (sam.get(there) if method == "GET" else sam.post(there, csrf=csrf, **fields))
            assert answer.status_code == 404, (method, path)
    assert (await sam.get(f"/leads/{own['leadId']}/merge?from={lead['leadId']}")).status_code == 404
    merged = await sam.post(f"/leads/{own['leadId']}/merge", csrf=csrf, **{"from": lead["leadId"]})
    assert merged.status_code == 404
    assert (await other_tenant.call("GET", f"/leads/{lead['leadId']}"))["lastName"] == "Zanzibar"


async def test_every_shape_of_a_lead_is_shown(sam: Browser, tenant: Tenant, rows: Rows) -> None:
    for number in range(len(LEADS)):
        await tenant.lead(leadId=f"lead-{number}")
    for number, columns in enumerate(LEADS):
        sql = """UPDATE leads SET (first_name, last_name, email, phone, status, is_test, is_placeholder, timezone,
                     questionnaire, dnc_channels, dnc_reason)
                     = ROW (n.first_name, n.last_name, n.email, n.phone, n.status, n.is_test, n.is_placeholder,
                            n.timezone, n.questionnaire, n.dnc_channels, n.dnc_reason)
                 FROM jsonb_populate_record(NULL::leads, $1) n WHERE leads.lead_id = $2"""
        await rows.run(sql, columns, f"lead-{number}")
    await sam.page("/leads")
    for number in range(len(LEADS)):
        for page in ("", "/merge?from=lead-" + str((number + 1) % len(LEADS)), "/erase", "/do-not-contact"):
            text = await sam.page(f"/leads/lead-{number}{page}")
            assert ">None<" not in text
            assert 'value="None"' not in text

"""Starting a conversation on the page, without script: find a lead or add one, see who sends, write."""

import asyncio
import re
from html import unescape

import pytest

from tests.makers import Data, Tenant, phone
from tests.web.people import Browser, form


@pytest.fixture
async def ours(tenant: Tenant) -> Data:
    account = await tenant.account()
    return await tenant.number(providerAccountId=account["accountId"], label="Main line")


def found(page: str) -> list[str]:
    return re.findall(r'href="/conversations/new\?lead=([^"&]*)"><span dir="auto" class="name">', page)


def shown(page: str) -> str:
    """The words of the form."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", page.split('aria-label="Conversation"')[1])))


async def write(sam: Browser, lead_id: str, **fields: str) -> tuple[int, str, str]:
    page = await sam.page(f"/conversations/new?lead={lead_id}")
    answer = await sam.submit(page, "/texts", **({"message": "Hi!", "from": ""} | fields))
    return answer.status_code, answer.headers.get("location", ""), answer.text


@pytest.mark.parametrize("who", ["mill", "JANE", "{last_four}", "{phone}", "{id}"])
async def test_a_lead_without_a_conversation_is_found_by_name_phone_and_id(
    sam: Browser, tenant: Tenant, ours: Data, who: str
) -> None:
    lead = await tenant.lead()
    await tenant.lead(firstName="Bob", lastName="Other")
    words = who.format(last_four=lead["phone"][-4:], phone=lead["phone"].replace("+", "%2B"), id=lead["leadId"])
    page = await sam.page(f"/conversations/new?who={words}")
    assert found(page) == [lead["leadId"]]
    assert "Add a lead" not in page, "the phone is known"


async def test_the_newest_leads_without_a_conversation_are_offered_first(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    written = await tenant.lead()
    fresh = await tenant.lead(firstName="Bob")
    await tenant.call("POST", "/sms/send", {"leadId": written["leadId"], "message": "Hi"})
    assert found(await sam.page("/conversations/new")) == [fresh["leadId"]]


async def test_the_first_text_opens_the_thread(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead = await tenant.lead()
    status, location, _ = await write(sam, lead["leadId"], message="Hi Jane!\r\nSam here.")
    assert status == 303
    [thread] = (await tenant.call("GET", f"/interactions/lead/{lead['leadId']}"))["interactions"]
    assert location == f"/conversations/{thread['interactionId']}?lead={lead['leadId']}#newest"
    assert [(e["message"], e["source"]) for e in thread["transcript"]] == [("Hi Jane!\nSam here.", "manual")]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("campaign", "because it is the number of the campaign “Solar”"),
        ("agent", "because it is the number of the agent of the campaign “Solar”"),
        ("first_available", "because the campaign names no number, and this is the first that can send"),
        ("no campaign", "because the lead has no campaign, and this is the first that can send"),
        ("last", "because the lead has no campaign, and this one last wrote to Jane Miller"),
        ("override", "because you chose it"),
    ],
)
async def test_the_form_says_who_will_send_and_why_as_a_dry_run_does(
    sam: Browser, tenant: Tenant, ours: Data, rule: str, words: str
) -> None:
    other = await tenant.number(providerAccountId=ours["providerAccountId"])
    campaign: Data = {}
    if rule == "campaign":
        campaign = await tenant.campaign(name="Solar", phoneNumberId=other["phoneNumberId"])
    elif rule == "agent":
        agent = await tenant.agent(phoneNumberId=other["phoneNumberId"])
        campaign = await tenant.campaign(name="Solar", smsAgentId=agent["smsAgentId"])
    elif rule == "first_available":
        campaign = await tenant.campaign(name="Solar")
    lead = await tenant.lead(**({"campaignId": campaign["campaignId"]} if campaign else {}))
    order = {"leadId": lead["leadId"], "message": "Hi", "dryRun": True}
    if rule == "last":
        await tenant.call("POST", "/sms/send", {**order, "dryRun": False, "from": other["phoneNumber"]})
    if rule == "override":
        order["from"] = other["phoneNumber"]
    forecast = await tenant.call("POST", "/sms/send", order)
    page = await sam.page(f"/conversations/new?lead={lead['leadId']}")
    answer = await sam.submit(page, "/texts", message="Hi", action="check", **{"from": order.get("from", "")})
    assert words in shown(answer.text)
    assert "It takes 1 segment. Nothing is sent yet." in shown(answer.text)
    assert forecast["from"][-4:] in shown(answer.text).split("because")[0]
    if rule != "override":
        assert words in shown(page), "before anything is written"
    threads = (await tenant.call("GET", f"/interactions/lead/{lead['leadId']}"))["interactions"]
    assert len(threads) == (rule == "last")


async def test_a_lead_who_may_not_be_texted_is_said_before_anybody_writes(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    lead = await tenant.lead()
    page = await sam.page(f"/conversations/new?lead={lead['leadId']}")
    await tenant.call("PUT", f"/leads/{lead['leadId']}/dnc", {"channels": ["sms"]})
    assert "May not be texted" in await sam.page("/conversations/new?who=jane")
    blocked = await sam.page(f"/conversations/new?lead={lead['leadId']}")
    assert "Jane Miller may not be texted" in shown(blocked)
    assert "<textarea" not in blocked
    answer = await sam.submit(page, "/texts", message="Hi")
    assert answer.status_code == 403
    assert (await sam.get("/conversations/new?lead=lead_unknown")).status_code == 404


async def test_without_a_number_that_can_send_the_form_says_so(sam: Browser, tenant: Tenant) -> None:
    lead = await tenant.lead()
    page = await sam.page(f"/conversations/new?lead={lead['leadId']}")
    assert "It cannot be sent: there is no active, SMS-capable number to send from." in shown(page)
    status, _, text = await write(sam, lead["leadId"], message="Not lost")
    assert status == 400
    assert "Not lost</textarea>" in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"message": ""}, "The text must not be blank."),
        ({"message": "x" * 1601}, "The text is longer than 1600 characters."),
        ({"from": "+12125559999"}, "From is not an active, SMS-capable number of yours"),
        ({"at": "soon"}, "Send at: is not a time"),
        ({"at": "2020-01-01T10:00"}, "Send at: is in the past."),
        ({"mediaUrls": "ftp://example.com/a.png"}, "“ftp://example.com/a.png” is not an address that begins with"),
        ({"mediaUrls": "https://example.com/a.png"}, "Pictures and files: the sender cannot carry media"),
    ],
)
async def test_a_refused_text_stays_with_everything_that_was_typed(
    sam: Browser, tenant: Tenant, ours: Data, fields: dict[str, str], said: str
) -> None:
    await tenant.number(providerAccountId=ours["providerAccountId"], capabilities=["sms", "mms"])
    lead = await tenant.lead()
    typed = {"message": "Not lost", "mediaUrls": "", "at": ""} | fields
    status, _, text = await write(sam, lead["leadId"], **typed)
    assert status == 400
    assert said in shown(text)
    assert 'role="alert"' in text
    assert f">{typed['message']}</textarea>" in text
    assert f">{typed['mediaUrls']}</textarea>" in text
    assert f'name="at" value="{typed["at"]}"' in text


async def test_the_same_form_sent_many_times_at_once_texts_once(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead = await tenant.lead()
    action, hidden = form(await sam.page(f"/conversations/new?lead={lead['leadId']}"), "/texts")
    answers = await asyncio.gather(*(sam.post(action, **hidden, message="Only once") for _ in range(10)))
    assert {answer.status_code for answer in answers} <= {303, 409}
    [thread] = (await tenant.call("GET", f"/interactions/lead/{lead['leadId']}"))["interactions"]
    assert len(thread["transcript"]) == 1


@pytest.mark.parametrize("typed", ["+1 (212) 555-0187", "212-555-0187"])
async def test_a_new_phone_becomes_a_lead(sam: Browser, tenant: Tenant, ours: Data, typed: str) -> None:
    campaign = await tenant.campaign(name="Solar")
    page = await sam.page("/conversations/new?who=" + typed.replace("+", "%2B"))
    assert 'value="+12125550187"' in page
    fields = {"firstName": " Ann ", "lastName": "", "campaignId": campaign["campaignId"]}
    answer = await sam.submit(page, "/lead", phone=typed, **fields)
    assert answer.status_code == 303
    again = await sam.submit(page, "/lead", phone=typed, **fields)
    assert again.headers["location"] == answer.headers["location"]
    form_page = await sam.page(answer.headers["location"])
    assert "New conversation with Ann" in shown(form_page)
    [lead] = (await tenant.call("GET", "/leads"))["leads"]
    assert (lead["phone"], lead["firstName"], lead["lastName"], lead["campaignId"]) == (
        "+12125550187", "Ann", None, campaign["campaignId"],
    )  # fmt: skip
    other_form = await sam.submit(page, "/lead", phone="2125550187", once="another-token")
    assert other_form.headers["location"].endswith(lead["leadId"]), "a phone that a lead has adds none"


@pytest.mark.parametrize("typed", ["12", "+1 212 555", "+1 212 555 0187 9", ""])
async def test_a_phone_that_is_none_is_said_at_its_field_and_stays(
    sam: Browser, tenant: Tenant, ours: Data, typed: str
) -> None:
    page = await sam.page("/conversations/new?who=%2B12125550187")
    answer = await sam.submit(page, "/lead", phone=typed, firstName="Ann")
    assert answer.status_code == 400
    assert 'id="fault-phone"' in answer.text
    assert 'aria-describedby="fault-phone"' in answer.text
    assert f'value="{typed}"' in answer.text
    assert 'value="Ann"' in answer.text
    assert (await tenant.call("GET", "/leads"))["leads"] == []


async def test_words_that_match_nobody_say_what_to_do(sam: Browser, tenant: Tenant, ours: Data) -> None:
    page = await sam.page("/conversations/new?who=<nobody>")
    assert "No lead matches “<nobody>”. To add one, type its phone number." in shown(page)


async def test_another_tenants_lead_is_not_there(sam: Browser, tenant: Tenant, other_tenant: Tenant) -> None:
    lead = await other_tenant.lead()
    assert found(await sam.page(f"/conversations/new?who={lead['leadId']}")) == []
    assert (await sam.get(f"/conversations/new?lead={lead['leadId']}")).status_code == 404
    _, hidden = form(await sam.page("/conversations/new?who=%2B12125550187"), "/lead")
    answer = await sam.post("/conversations/new/texts", **hidden, lead=lead["leadId"], message="Hi")
    assert answer.status_code == 404


async def test_a_search_of_the_list_finds_leads_without_a_conversation(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    campaign = await tenant.campaign()
    written = await tenant.lead(lastName="Ashe")
    fresh = await tenant.lead(lastName="Ashe", campaignId=campaign["campaignId"])
    await tenant.lead(lastName="Birch")
    await tenant.call("POST", "/sms/send", {"leadId": written["leadId"], "message": "Hi"})

    async def offered(query: str) -> list[str]:
        page = await sam.page(f"/conversations?{query}")
        assert ("Leads without a conversation" in page) == ('id="lonely"' in page)
        return re.findall(r'<li data-key="([^"]*)"><a href="/conversations/new', page)

    assert await offered("search=ashe") == [fresh["leadId"]]
    assert await offered(f"search={fresh['phone'][-7:]}") == [fresh["leadId"]]
    assert await offered(f"search=ashe&campaign={campaign['campaignId']}") == [fresh["leadId"]]
    assert await offered("search=ashe&campaign=other") == []
    for query in ("", "search=ashe&status=in_progress", "search=ashe&within=messages", "search=ashe&unread=1"):
        assert await offered(query) == []


async def test_a_person_who_is_signed_out_comes_back_to_the_form(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead = await tenant.lead()
    action, hidden = form(await sam.page(f"/conversations/new?lead={lead['leadId']}"), "/texts")
    sam.http.cookies.clear()
    answer = await sam.post(action, **hidden, message="Hi")
    assert answer.headers["location"] == f"/sign-in?next=%2Fconversations%2Fnew%3Flead%3D{lead['leadId']}"


async def test_a_phone_of_a_lead_in_any_form_is_found(sam: Browser, tenant: Tenant) -> None:
    number = phone()
    lead = await tenant.lead(phone=number)
    home = f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    assert found(await sam.page(f"/conversations/new?who={home}")) == [lead["leadId"]]

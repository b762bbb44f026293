"""The Conversations page without script: reading, filtering, writing, switching."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from app.commands import receive
from app.commands.receive import InboundPost
from app.domain.carriage import Account, InboundText
from app.resources import Resources
from tests.makers import Data, Tenant, phone
from tests.service import Api
from tests.web.conftest import EMAIL
from tests.web.people import Browser, add_person, browser, form


@pytest.fixture
async def ours(tenant: Tenant) -> Data:
    account = await tenant.account()
    return await tenant.number(providerAccountId=account["accountId"], label="Main line")


async def a_thread(tenant: Tenant, **lead: Any) -> tuple[Data, Data]:
    """A lead, and what the first text to it was answered."""
    made = await tenant.lead(**lead)
    sent = await tenant.call("POST", "/sms/send", {"leadId": made["leadId"], "message": "Hi Jane, is now a good time?"})
    return made, sent


def names(page: str) -> list[str]:
    nav = page.split('aria-label="Conversations"')[1].split("</nav>")[0]
    return [unescape(name) for name in re.findall(r'class="name">([^<]*)<', nav)]


def articles(page: str) -> list[str]:
    log = page.split('role="log"')[1].split('role="status"')[0]
    return [unescape(text) for text in re.findall(r'class="words">([^<]*)<', log)]


async def test_the_list_shows_each_thread_with_its_lead_and_newest_text(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    await a_thread(tenant, firstName="Ann", lastName="First")
    await a_thread(tenant, firstName="Bob", lastName="Second")
    page = await sam.page("/conversations")
    assert names(page) == ["Bob Second", "Ann First"]
    assert page.count("is now a good time?") == 2
    assert "complementary" not in page


async def test_the_landmarks_and_names_are_the_promised_ones(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant)
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    for promised in (
        '<nav aria-label="Conversations">',
        '<main class="panel thread" aria-label="Conversation">',
        'role="log" aria-label="Transcript"',
        '<aside class="panel contact" aria-label="Contact">',
        'type="search" name="search" aria-label="Search"',
        'aria-label="Campaign"', 'aria-label="Client"', 'aria-label="Offer"',
        'aria-label="Status filter"', 'aria-label="Date range"',
        'aria-label="Message"', ">Send</button>", 'aria-label="Status"',
        'role="switch"', 'aria-label="Agent Mode"',
        'role="status" aria-label="Agent state"',
    ):  # fmt: skip
        assert promised in page, promised
    assert re.search(r"<label[^>]*>From\s*<select", page)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search=ann", ["Ann First"]),
        ("search=nobody", []),
        ("search=good+time&within=messages", ["Bob Second", "Ann First"]),
        ("campaign=c_one", ["Ann First"]),
        ("client=client_one", ["Ann First"]),
        ("offer=offer_two", ["Bob Second"]),
        ("status=in_progress", ["Bob Second", "Ann First"]),
        ("status=qualified", []),
        ("range=today", ["Bob Second", "Ann First"]),
        ("range=yesterday", []),
        ("range=custom&start=2020-01-01&end=2020-12-31", []),
        ("range=custom&start=2020-01-01", ["Bob Second", "Ann First"]),
        ("unread=1", []),
        ("limit=1", ["Bob Second"]),
    ],
)
async def test_each_filter_narrows_the_list(
    sam: Browser, tenant: Tenant, ours: Data, query: str, found: list[str]
) -> None:
    for n, name in (("one", ("Ann", "First")), ("two", ("Bob", "Second"))):
        await tenant.campaign(campaignId=f"c_{n}", clientId=f"client_{n}", offerId=f"offer_{n}")
        await a_thread(tenant, firstName=name[0], lastName=name[1], campaignId=f"c_{n}")
    assert names(await sam.page(f"/conversations?{query}")) == found


async def test_more_leads_to_the_rest_of_the_list(sam: Browser, tenant: Tenant, ours: Data) -> None:
    for name in ("Ann", "Bob", "Cid"):
        await a_thread(tenant, firstName=name, lastName="X")
    page = await sam.page("/conversations?limit=2")
    more = re.findall(r'href="([^"]*cursor=[^"]*)">More', page)
    assert names(page) == ["Cid X", "Bob X"]
    assert names(await sam.page(unescape(more[0]) + "&limit=2")) == ["Ann X"]


async def test_a_text_written_by_hand_stands_in_the_thread_with_its_writer(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    _, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    answer = await sam.submit(await sam.page(here), "/texts", message="Sam here.\r\nCall you at five?", **{"from": ""})
    assert answer.status_code == 303
    page = await sam.page(answer.headers["location"])
    assert articles(page)[-1] == "Sam here.\nCall you at five?"
    assert EMAIL in page.split('role="log"')[1]
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert [e["source"] for e in thread["transcript"]] == ["api", "manual"]


async def test_the_same_form_sent_twenty_times_at_once_texts_once(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant)
    action, hidden = form(await sam.page(f"/conversations/{sent['interactionId']}"), "/texts")
    answers = await asyncio.gather(*(sam.post(action, **hidden, message="Only once") for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {303, 409}
    assert any(answer.status_code == 303 for answer in answers)
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert [e["message"] for e in thread["transcript"]].count("Only once") == 1


async def test_another_from_number_opens_its_own_thread(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead, sent = await a_thread(tenant)
    other = await tenant.number(providerAccountId=ours["providerAccountId"])
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    assert other["phoneNumber"] in page
    answer = await sam.submit(page, "/texts", message="From another line", **{"from": other["phoneNumber"]})
    assert sent["interactionId"] not in answer.headers["location"]
    threads = await tenant.call("GET", f"/interactions/lead/{lead['leadId']}")
    assert [t["telephony"]["phoneNumber"] for t in threads["interactions"]] == [
        other["phoneNumber"], ours["phoneNumber"]
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 1601])
async def test_a_refused_text_stays_in_the_box_with_the_reason(
    sam: Browser, tenant: Tenant, ours: Data, text: str
) -> None:
    _, sent = await a_thread(tenant)
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    answer = await sam.submit(page, "/texts", message=text)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert f">{text}</textarea>" in answer.text
    assert articles(answer.text) == ["Hi Jane, is now a good time?"]


async def test_a_lead_who_may_not_be_texted_is_not_texted(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    answer = await sam.submit(await sam.page(here), "/status", status="dnc")
    assert answer.status_code == 303
    page = await sam.page(here)
    assert "may not be texted" in page
    answer = await sam.submit(page, "/texts", message="One more thing")
    assert answer.status_code == 403
    assert "One more thing</textarea>" in answer.text
    await sam.submit(page, "/status", status="qualified")
    assert (await tenant.call("GET", f"/interactions/{sent['interactionId']}"))["status"] == "qualified"


async def test_status_and_agent_mode_are_set_by_hand_and_the_leads_status_stays(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    lead, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    await sam.submit(await sam.page(here), "/status", status="follow_up")
    await sam.submit(await sam.page(here), "/agent-mode", on="on")
    page = await sam.page(here)
    assert 'value="follow_up" selected' in page
    assert 'aria-checked="true"' in page
    assert "The agent is waiting for the lead." in page
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert (thread["status"], thread["sms"]["agentMode"]) == ("follow_up", True)
    assert (await tenant.call("GET", f"/leads/{lead['leadId']}"))["status"] == lead["status"]
    assert (await sam.submit(page, "/status", status="sold")).status_code == 400


async def test_what_people_wrote_stays_text(sam: Browser, tenant: Tenant, ours: Data) -> None:
    script = "<script>alert(1)</script>"
    lead = await tenant.lead(firstName=script, lastName='"><img src=x>')
    sent = await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": f"Hi {script}"})
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    assert "<script>" not in page
    assert "<img" not in page
    assert articles(page) == [f"Hi {script}"]


async def test_a_long_thread_is_read_page_by_page(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead, sent = await a_thread(tenant)
    for n in range(2, 53):
        await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": f"Text {n}"})
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    assert articles(page) == [f"Text {n}" for n in range(3, 53)]
    older = re.findall(r'href="([^"]*)">Earlier texts', page)
    page = await sam.page(unescape(older[0]))
    assert articles(page) == ["Hi Jane, is now a good time?", "Text 2"]
    assert "Newest texts" in page


async def test_another_tenants_thread_is_not_there(sam: Browser, tenant: Tenant, other_tenant: Tenant) -> None:
    account = await other_tenant.account()
    await other_tenant.number(providerAccountId=account["accountId"], phoneNumber=phone())
    _, sent = await a_thread(other_tenant)
    page = await sam.page("/conversations")
    assert names(page) == []
    _, hidden = form(page, "/sign-out")
    here = f"/conversations/{sent['interactionId']}"
    assert (await sam.get(here)).status_code == 404
    for what, field in (("texts", "message"), ("status", "status"), ("agent-mode", "on")):
        value = {"message": "Hi", "status": "dnc", "on": "on"}[field]
        answer = await sam.post(f"{here}/{what}", csrf=hidden["csrf"], once="x" * 12, **{field: value})
        assert answer.status_code == 404, what
    theirs = await other_tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert (theirs["status"], len(theirs["transcript"])) == ("in_progress", 1)


async def test_times_are_told_in_the_persons_zone(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    assert " UTC" in await sam.page(here)
    sam.http.cookies.set("zone", "Asia/Kolkata")
    assert " IST" in await sam.page(here)
    for nonsense in ("../../etc/passwd", "Nowhere", "x" * 300):
        sam.http.cookies.set("zone", nonsense)
        assert " UTC" in await sam.page(here)


async def test_a_text_is_not_sent_over_what_the_lead_wrote_meanwhile(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    lead, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(here)
    async with resources.database.system_tx() as tx:
        account = Account(tenant.tenant_id, ours["providerAccountId"], "simulator", {})
        text = InboundText("sim_1", lead["phone"], ours["phoneNumber"], "Wait!")
        await receive.receive_texts(tx, [InboundPost(account, [text])])
    refused = await sam.submit(page, "/texts", message="Bye", **{"from": ""})
    assert refused.status_code == 409
    assert "Bye</textarea>" in refused.text
    assert articles(refused.text)[-1] == "Wait!"
    answer = await sam.submit(refused.text, "/texts", message="Bye", anyway="1", **{"from": ""})
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("lead_writes", "told"),
    [(False, "A colleague wrote since you looked."), (True, "The lead and a colleague wrote since you looked.")],
)
async def test_a_text_is_not_sent_over_what_a_colleague_wrote_meanwhile(
    sam: Browser, api: Api, tenant: Tenant, ours: Data, resources: Resources, lead_writes: bool, told: str
) -> None:
    lead, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(here)
    await add_person(resources, tenant.tenant_id, "ann@example.com")
    ann = browser(api.url)
    await ann.sign_in("ann@example.com")
    assert (await ann.submit(await ann.page(here), "/texts", message="I do", **{"from": ""})).is_redirect
    await ann.http.aclose()
    if lead_writes:
        async with resources.database.system_tx() as tx:
            account = Account(tenant.tenant_id, ours["providerAccountId"], "simulator", {})
            text = InboundText("sim_1", lead["phone"], ours["phoneNumber"], "Wait!")
            await receive.receive_texts(tx, [InboundPost(account, [text])])
    refused = await sam.submit(page, "/texts", message="I do, too", **{"from": ""})
    assert refused.status_code == 409
    assert f"{told} Read it first, or send anyway." in refused.text
    assert "I do, too</textarea>" in refused.text
    assert "I do" in articles(refused.text)
    answer = await sam.submit(refused.text, "/texts", message="I do, too", anyway="1", **{"from": ""})
    assert answer.status_code == 303


async def test_a_persons_own_texts_and_those_of_machines_keep_no_text_back(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    lead, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(here)
    other_tab = await sam.page(here)
    assert (await sam.submit(other_tab, "/texts", message="By the other tab", **{"from": ""})).is_redirect
    await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "By a program"})
    assert (await sam.submit(page, "/texts", message="From here", **{"from": ""})).is_redirect


async def test_what_people_write_is_laid_out_in_its_own_direction(sam: Browser, tenant: Tenant, ours: Data) -> None:
    lead, sent = await a_thread(tenant, firstName="שרה", lastName="כהן")
    await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "مرحبا, how are you?"})
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    directed = re.findall(r'dir="auto"[^>]*>(?:<h1>)?([^<]*)<', page)
    assert directed.count("שרה כהן") >= 3, "in the list, above the thread and on the contact card"
    assert directed.count("مرحبا, how are you?") == 2, "in the list and in the transcript"
    assert re.search(r'<textarea[^>]* dir="auto"[^>]*name="message"|name="message"[^>]* dir="auto"', page)


async def test_a_text_is_scheduled_by_the_persons_clock_and_cancelled(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    sam.http.cookies.set("zone", "Asia/Kolkata")
    later = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT10:00")
    answer = await sam.submit(await sam.page(here), "/texts", message="Later", at=later)
    assert answer.status_code == 303
    page = await sam.page(here)
    assert "Will be sent" in page
    [waiting] = (await tenant.call("GET", f"/interactions/{sent['interactionId']}"))["scheduled"]
    assert datetime.fromisoformat(waiting["sendAt"]).strftime("%H:%M") == "04:30"
    answer = await sam.submit(page, "/cancel")
    assert answer.status_code == 303
    thread = await tenant.call("GET", f"/interactions/{sent['interactionId']}")
    assert thread["scheduled"] == []
    assert (await sam.submit(page, "/texts", message="X", at="soon")).status_code == 400


async def test_a_person_who_writes_may_switch_the_agent_off(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    assert "Switch the agent off" not in await sam.page(here)
    await sam.submit(await sam.page(here), "/agent-mode", on="on")
    page = await sam.page(here)
    assert "Switch the agent off" in page
    await sam.submit(page, "/texts", message="Mine now", take="1")
    assert 'aria-checked="false"' in await sam.page(here)


async def test_the_page_hears_what_happens_and_misses_nothing_in_between(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    _, sent = await a_thread(tenant)

    async def heard(headers: dict[str, str], then: Any = None, after: str = "") -> tuple[str, Data]:
        """The id and data of the first event of a stream; `then` is done once it is open."""
        last = ""
        async with sam.http.stream("GET", f"/conversations/events?after={after}", headers=headers) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for line in stream.aiter_lines():
                if line.startswith("id:"):
                    last = line[3:].strip()
                    if then:
                        await then()
                        then = None
                if line.startswith("data:"):
                    return last, json.loads(line[5:])
        raise AssertionError("the stream ended")

    async def writes() -> None:
        await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"status": "qualified"})

    await asyncio.sleep(0.5)
    last, told = await asyncio.wait_for(heard({}, writes), 10)
    assert list(told) == [sent["interactionId"]]
    assert told[sent["interactionId"]] | {"texts": []} == {"row": True, "texts": [], "parts": "contact"}
    await tenant.call("PATCH", f"/interactions/{sent['interactionId']}", {"agentMode": True})
    for headers in ({"Last-Event-ID": last}, {}):
        _, again = await asyncio.wait_for(heard(headers, after="" if headers else last), 10)
        assert list(again) == [sent["interactionId"]]


async def test_a_stranger_hears_nothing(stranger: Browser) -> None:
    assert (await stranger.get("/conversations/events")).status_code == 303


async def test_a_canned_reply_can_be_put_into_the_box(
    sam: Browser, tenant: Tenant, other_tenant: Tenant, ours: Data
) -> None:
    _, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    reply = {"title": "Hours", "text": "We open at 9 & close at 5."}
    made = await tenant.call("POST", "/canned-replies", reply)
    theirs = await other_tenant.call("POST", "/canned-replies", {"title": "X", "text": "Theirs"})
    page = await sam.page(f"{here}?status=in_progress")
    assert 'data-text="We open at 9 &amp; close at 5."' in page
    assert "Theirs" not in page
    assert form(page[page.index('id="pick"') - 6 :], here) == (here, {"status": "in_progress"})
    page = await sam.page(f"{here}?canned={made['cannedReplyId']}")
    assert "We open at 9 &amp; close at 5.</textarea>" in page
    assert "Theirs" not in await sam.page(f"{here}?canned={theirs['cannedReplyId']}")


async def test_more_threads_and_more_texts_ask_the_database_no_more_often(
    sam: Browser, tenant: Tenant, ours: Data, said: list[str]
) -> None:
    lead, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"

    async def asked(path: str) -> int:
        """The least of several: a connection looks its types up once, and beside the page the
        process writes down, now and then, that it is here."""
        counts = []
        for _ in range(8):
            said.clear()
            await sam.page(path)
            counts.append(len(said))
        return min(counts)

    few = [await asked("/conversations"), await asked(here)]
    for n in range(12):
        await a_thread(tenant, firstName=f"Lead {n}")
        body = {"leadId": lead["leadId"], "message": f"Text {n}"}
        await tenant.call("POST", "/sms/send", body)
    assert names(await sam.page("/conversations"))[1:] != []
    assert [await asked("/conversations"), await asked(here)] == few

"""Parts of the page for its script: the same templates, without the rest."""

import re
from datetime import UTC, datetime
from html import unescape

import httpx
import pytest

from app.commands import receive
from app.commands.receive import InboundPost
from app.domain.carriage import Account, InboundText
from app.domain.event_bodies import RecordedEvent
from app.resources import Resources
from app.web.page.live import describe_changes
from tests.makers import Data, Tenant
from tests.web.people import Browser, add_person
from tests.web.test_page import a_thread, articles, names, ours

__all__ = ["ours"]


async def fragment(sam: Browser, path: str, name: str) -> str:
    answer = await sam.http.get(path, headers={"X-Fragment": name})
    assert answer.status_code == 200
    return answer.text


async def write_as_lead(resources: Resources, tenant: Tenant, ours: Data, lead: Data, text: str) -> None:
    account = Account(tenant.tenant_id, ours["providerAccountId"], "simulator", {})
    async with resources.database.system_tx() as tx:
        post = InboundPost(account, [InboundText(f"sim_{text}", lead["phone"], ours["phoneNumber"], text)])
        await receive.receive_texts(tx, [post])


async def test_a_part_of_the_page_is_what_the_whole_page_shows_there(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant, firstName="Ann", lastName="First")
    here = f"/conversations/{sent['interactionId']}?status=in_progress"
    whole = await sam.page(here)
    opened, listed = await fragment(sam, here, "opened"), await fragment(sam, here, "list")
    assert articles(opened) == articles(whole)
    assert 'aria-label="Contact"' in opened
    assert "<title>Ann First · Conversations" in opened
    assert 'id="list"' not in opened
    assert names(listed) == names(whole) == ["Ann First"]
    assert 'aria-current="page"' in listed
    assert 'role="log"' not in listed
    assert "<script" not in opened + listed
    assert len(opened) + len(listed) < len(whole) + 2000
    unknown = await fragment(sam, here, "nonsense")
    assert articles(unknown) == articles(whole)
    assert names(unknown) == names(whole)


async def test_the_list_beside_a_thread_does_not_mark_the_thread_as_read(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    lead, sent = await a_thread(tenant)
    await write_as_lead(resources, tenant, ours, lead, "Hello?")
    here = f"/conversations/{sent['interactionId']}"
    assert "1 unread" in await fragment(sam, here, "list")
    assert "1 unread" in await fragment(sam, here, "list")
    await fragment(sam, here, "opened")
    assert "1 unread" not in await fragment(sam, here, "list")


async def test_what_a_form_answers_is_the_part_alone(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(here)
    csrf = re.findall(r'name="csrf" value="([^"]*)"', page)[0]
    fields = {"csrf": csrf, "once": "x" * 12, "message": " ", "from": ""}
    refused = await sam.http.post(f"{here}/texts", data=fields, headers={"Origin": sam.origin, "X-Fragment": "opened"})
    assert refused.status_code == 400
    assert 'id="refused"' in refused.text
    assert 'id="list"' not in refused.text


async def test_changes_are_the_rows_and_texts_that_were_asked_for(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    lead, sent = await a_thread(tenant, firstName="Ann", lastName="First")
    _, other = await a_thread(tenant, firstName="Bob", lastName="Second")
    await write_as_lead(resources, tenant, ours, lead, "Hello?")
    here, there = sent["interactionId"], other["interactionId"]
    entries = (await tenant.call("GET", f"/interactions/{here}"))["transcript"]
    newest = entries[-1]["messageId"]
    page = await sam.page(f"/conversations/changes?opened={here}&texts={newest}&rows={here},{there}")
    assert re.findall(r'<article[^>]* id="([^"]*)"[^>]* data-seq="(\d)"', page) == [(newest, "2")]
    assert re.findall(r'<h2 class="day"', page) != []
    rows = page.split('id="rows"')[1].split("</ul>")[0]
    assert re.findall(r'class="name">([^<]*)<', rows) == ["Ann First", "Bob Second"]
    assert "unread" not in rows, "the open thread has been read"
    assert 'aria-label="Agent state"' not in page
    page = await sam.page(f"/conversations/changes?opened={here}&parts=state")
    assert 'aria-label="Agent state"' in page
    assert 'aria-label="Contact"' not in page
    page = await sam.page(f"/conversations/changes?opened={here}&parts=contact")
    assert 'aria-label="Contact"' in page
    assert "<article" not in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [("status=qualified", []), ("unread=1", ["Ann"]), ("status=in_progress,follow_up", ["Ann", "Bob"])],
)
async def test_a_changed_row_that_the_filter_hides_is_not_returned(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources, query: str, expected: list[str]
) -> None:
    lead, ann = await a_thread(tenant, firstName="Ann", lastName="")
    _, bob = await a_thread(tenant, firstName="Bob", lastName="")
    await write_as_lead(resources, tenant, ours, lead, "Hello?")
    page = await sam.page(f"/conversations/changes?{query}&rows={ann['interactionId']},{bob['interactionId']},int_gone")
    assert re.findall(r'class="name">([^<]*)<', page) == expected


async def test_a_row_says_where_it_stands(sam: Browser, tenant: Tenant, ours: Data) -> None:
    sent = [(await a_thread(tenant, firstName=name))[1]["interactionId"] for name in ("A", "B", "C")]
    await tenant.call("PATCH", f"/interactions/{sent[0]}", {"status": "follow_up"})
    listed = re.findall(r'data-order="([^"]*)"', await sam.page("/conversations"))
    assert [order.split()[-1] for order in listed] == [sent[0], sent[2], sent[1]]
    assert listed == sorted(listed, reverse=True)
    changed = re.findall(r'data-order="([^"]*)"', await sam.page(f"/conversations/changes?rows={','.join(sent)}"))
    assert sorted(changed, reverse=True) == listed


async def test_another_tenants_thread_does_not_change_here(
    sam: Browser, tenant: Tenant, other_tenant: Tenant, ours: Data
) -> None:
    account = await other_tenant.account()
    await other_tenant.number(providerAccountId=account["accountId"])
    _, sent = await a_thread(other_tenant)
    path = "/conversations/changes"
    assert "<li" not in await sam.page(f"{path}?rows={sent['interactionId']}")
    assert (await sam.get(f"{path}?opened={sent['interactionId']}&texts={sent['messageId']}")).status_code == 404


async def test_a_changed_row_says_whose_it_is_and_what_the_person_has_not_read(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    lead, sent = await a_thread(tenant, firstName="Ann", lastName="First")
    here = sent["interactionId"]
    omar = await add_person(resources, tenant.tenant_id, "omar@example.com")
    await tenant.call("PATCH", f"/interactions/{here}", {"assignedTo": omar})
    await write_as_lead(resources, tenant, ours, lead, "Hello?")
    whole = await sam.page("/conversations")
    part = await sam.page(f"/conversations/changes?rows={here}")
    for page in (whole, part):
        [row] = re.findall(rf'<li data-key="{here}".*?</li>', page, re.S)
        assert 'class="pick"' in row
        assert 'class="unread"' in row
        assert "1 unread" in row
        assert "Assigned to omar" in row
    await sam.page(f"/conversations/changes?opened={here}&parts=state")
    assert "1 unread" not in await sam.page(f"/conversations/changes?rows={here}")


async def test_rows_of_the_waiting_view_stand_by_how_long_the_lead_waits(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    ids = []
    for name in ("Ann", "Bob", "Cid"):
        lead, sent = await a_thread(tenant, firstName=name)
        await write_as_lead(resources, tenant, ours, lead, f"I am {name}")
        ids.append(sent["interactionId"])
    await tenant.call("PATCH", f"/interactions/{ids[2]}", {"status": "follow_up"})
    list_orders = re.findall(r'data-order="([^"]*)"', await sam.page("/conversations?view=waiting"))
    assert [order.split()[-1] for order in list_orders] == ids
    assert list_orders == sorted(list_orders, reverse=True)
    row_orders = re.findall(
        r'data-order="([^"]*)"', await sam.page(f"/conversations/changes?view=waiting&rows={','.join(ids)}")
    )
    assert sorted(row_orders, reverse=True) == list_orders


async def test_a_note_is_fetched_as_its_article(sam: Browser, tenant: Tenant, ours: Data, resources: Resources) -> None:
    _, sent = await a_thread(tenant)
    here = sent["interactionId"]
    await sam.submit(await sam.page(f"/conversations/{here}"), "/texts", kind="note", message="<b>Mind</b> the dog")
    [note] = [entry for entry in (await tenant.call("GET", f"/interactions/{here}"))["transcript"] if "note" in entry]
    page = await sam.page(f"/conversations/changes?opened={here}&texts={note['messageId']}")
    [article] = re.findall(r"<article.*?</article>", page, re.S)
    assert f'class="note written" id="{note["messageId"]}"' in article
    assert f'data-seq="{note["seq"]}"' in article
    assert "&lt;b&gt;Mind&lt;/b&gt; the dog" in article
    note_changes = describe_changes([event("message.note", messageId=note["messageId"])])
    assert note_changes == {"int_1": {"row": True, "texts": [note["messageId"]], "parts": "contact"}}


async def test_a_form_of_the_list_answers_with_the_list_alone(sam: Browser, tenant: Tenant, ours: Data) -> None:
    _, sent = await a_thread(tenant, firstName="Ann", lastName="First")
    csrf = re.findall(r'name="csrf" value="([^"]*)"', await sam.page("/conversations"))[0]
    fields = {"csrf": csrf, "thread": sent["interactionId"], "status": "qualified"}
    headers = {"Origin": sam.origin, "X-Fragment": "list"}
    answer = await sam.http.post("/conversations/changes", data=fields, headers=headers, follow_redirects=True)
    assert (answer.status_code, names(answer.text)) == (200, ["Ann First"])
    assert 'class="badge qualified"' in answer.text
    assert 'id="opened"' not in answer.text
    answer = await sam.http.post("/conversations/changes", data={"csrf": csrf}, headers=headers)
    assert (answer.status_code, names(answer.text)) == (400, ["Ann First"])
    assert "Tick conversations" in answer.text


async def test_searching_within_a_view_stays_in_the_view(sam: Browser, tenant: Tenant, ours: Data) -> None:
    page = await sam.page("/conversations?view=waiting&assigned=nobody")
    filters = page.split('class="filters"')[1].split("</form>")[0]
    kept_fields = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w*)"', filters))
    assert kept_fields == {"view": "waiting", "assigned": "nobody"}
    assert 'aria-label="Remove Assigned to: nobody"' in filters


def event(name: str, thread: str | None = "int_1", **data: str) -> RecordedEvent:
    return RecordedEvent(1, 1, name.split(".")[0], name, thread, None, dict(data), None, datetime.now(UTC), "1-1")


def test_an_event_says_what_of_the_page_it_changes() -> None:
    receipt = event("message.delivered", messageId="msg_1")
    assert describe_changes([receipt, receipt]) == {"int_1": {"row": False, "texts": ["msg_1"], "parts": ""}}
    received = [event("message.received", messageId="msg_2"), event("turn.opened")]
    assert describe_changes(received) == {"int_1": {"row": True, "texts": ["msg_2"], "parts": "state"}}
    assert describe_changes([event("turn.accepted")]) == {"int_1": {"row": False, "texts": [], "parts": "state"}}
    assert describe_changes([event("interaction.status"), event("turn.replied")])["int_1"]["parts"] == "contact"
    assert describe_changes([event("number.paused", None)]) == {"": {"row": True, "texts": [], "parts": "contact"}}
    assert describe_changes([event("lead.created", None), event("account.failing", None)]) == {}


async def test_pages_and_files_are_compressed_for_who_can_read_it(sam: Browser, stranger: Browser) -> None:
    page = await sam.page("/conversations")
    for path in ("/conversations", *re.findall(r'(?:src|href)="(/static/[^"]*)"', page)):
        async with httpx.AsyncClient(base_url=sam.origin, cookies=sam.http.cookies) as plain:
            small = await plain.get(path, headers={"Accept-Encoding": "gzip"})
            large = await plain.get(path, headers={"Accept-Encoding": "identity"})
        assert small.headers["content-encoding"] == "gzip", path
        assert "accept-encoding" in small.headers["vary"].lower()
        assert "content-encoding" not in large.headers
        assert small.num_bytes_downloaded < large.num_bytes_downloaded or len(large.content) < 300
        if path.startswith("/static"):
            assert small.text == large.text
            assert small.headers["content-type"] == large.headers["content-type"]
            assert "immutable" in small.headers["cache-control"]
            known = await sam.http.get(path, headers={"If-None-Match": small.headers["etag"]})
            assert known.status_code == 304
            # While releases change, a page of one asks the other for its files.
            for other in (path.partition("?")[0], f"{path}0"):
                assert (await sam.http.get(other)).headers["cache-control"] == "no-cache"


async def test_no_two_pages_have_the_same_form_token(sam: Browser) -> None:
    """Else the sizes of compressed pages could tell it."""
    tokens = {re.findall(r'name="csrf" value="([^"]*)"', await sam.page("/conversations"))[0] for _ in range(3)}
    assert len(tokens) == 3
    for token in tokens:
        assert (await sam.post("/account/notices/page", csrf=token)).status_code == 303


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("See https://example.com/a?b=1&c=2.", ["https://example.com/a?b=1&c=2"]),
        ("(http://example.com) and HTTPS://EXAMPLE.ORG/x!", ["http://example.com", "HTTPS://EXAMPLE.ORG/x"]),
        ("javascript:alert(1) ftp://x data:text/html,x example.com", []),
        ('https://a.example/"onmouseover=alert(1)', ["https://a.example/"]),
        ("https://a.example/<script>", ["https://a.example/"]),
    ],
)
async def test_an_address_in_a_text_is_a_link_that_tells_nobody_where_it_stood(
    sam: Browser, tenant: Tenant, ours: Data, text: str, shown: list[str]
) -> None:
    lead = await tenant.lead()
    sent = await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": text})
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    words = page.split('class="words">')[1].split("</p>")[0]
    links = re.findall(r'<a href="([^"]*)" target="_blank" rel="noopener noreferrer nofollow">([^<]*)</a>', words)
    assert [unescape(address) for address, _ in links] == [unescape(label) for _, label in links] == shown
    assert unescape(re.sub(r"<[^>]*>", "", words)) == text
    assert words.count("<a ") == len(shown)


@pytest.mark.parametrize(
    ("language", "pattern"),
    [("en-US,en;q=0.9", r"\d?\d:\d\d [AP]M"), ("de-DE", r"\d\d:\d\d"), ("en-GB", r"\d\d:\d\d")],
)
async def test_clocks_have_twelve_hours_where_people_read_them_so(
    sam: Browser, tenant: Tenant, ours: Data, language: str, pattern: str
) -> None:
    _, sent = await a_thread(tenant)
    sam.http.headers["Accept-Language"] = language
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    [shown] = re.findall(r"<article.*?<time[^>]*>([^<]*)</time>", page, re.S)
    assert re.fullmatch(pattern, shown)

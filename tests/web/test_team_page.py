"""The page of people who work together: views, assignment, snooze, notes, many at once, and who is here."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.resources import Resources
from app.web.page.team import find_end
from tests.flows.test_events import settle
from tests.makers import Data, Tenant
from tests.service import Api
from tests.web.people import Browser, add_person, browser
from tests.web.test_page import a_thread, names, ours

__all__ = ["ours"]
ADD_COLLEAGUES_SQL = """
INSERT INTO users (tenant_id, user_id, email, password_hash)
SELECT $1::text, $1 || '_' || place, 'a' || place || '@' || $1 || '.example', ''
FROM generate_series(1, 1000) AS place
"""


def counts(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-view="(\w+)"[^>]*>\w+ <span class="amount[^"]*">([^<]*)<', page))


async def let_wait(resources: Resources, interaction_id: str) -> None:
    """As if the lead had written: a text and its thread."""
    async with resources.database.system_tx() as tx:
        await tx.execute(
            """
            WITH thread AS (
                UPDATE interactions SET last_direction = 'inbound', last_inbound_at = clock_timestamp(),
                    last_seq = last_seq + 1, unread_count = 1 WHERE interaction_id = $1 RETURNING *)
            INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text, status)
            SELECT tenant_id, 'msg_in_' || interaction_id, interaction_id, lead_id, last_seq, 'user', 'inbound', 'Hm?',
                   'received' FROM thread
            """,
            interaction_id,
        )


async def test_views_are_links_with_counts_that_reach_zero(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    _, first = await a_thread(tenant, firstName="Ann", lastName="X")
    _, second = await a_thread(tenant, firstName="Bob", lastName="X")
    for sent in (second, first):
        await let_wait(resources, sent["interactionId"])
    page = await sam.page("/conversations?view=waiting")
    assert names(page) == ["Bob X", "Ann X"]  # who waits longest comes first
    assert counts(page) == {"waiting": "2", "mine": "0", "unread": "2", "held": "0", "snoozed": "0"}
    assert 'class="unread"' in page
    thread = await sam.page(f"/conversations/{second['interactionId']}?view=waiting")
    answer = await sam.submit(thread, "/snooze", until="reply")
    assert answer.headers["location"].endswith("?view=waiting")
    page = await sam.page(answer.headers["location"])
    assert names(page) == ["Ann X"]
    assert "Snoozed until the lead writes" in page
    assert counts(page)["snoozed"] == "1"
    assert counts(await sam.page("/conversations"))["unread"] == "1"  # Bob's was opened
    answer = await sam.submit(page, "/read-all")
    page = await sam.page(answer.headers["location"])
    assert counts(page)["unread"] == "0"


async def test_a_thread_is_marked_unread_for_its_reader_alone(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources, api: Api
) -> None:
    _, sent = await a_thread(tenant, firstName="Ann", lastName="X")
    await let_wait(resources, sent["interactionId"])
    thread = await sam.page(f"/conversations/{sent['interactionId']}")
    assert counts(await sam.page("/conversations"))["unread"] == "0"
    answer = await sam.submit(thread, "/unread")
    assert answer.headers["location"] == "/conversations"
    assert counts(await sam.page("/conversations"))["unread"] == "1"
    await add_person(resources, tenant.tenant_id, "omar@example.com")
    omar = browser(api.url)
    await omar.enter(resources, "omar@example.com")
    assert counts(await omar.page("/conversations"))["unread"] == "0"  # it came before Omar did
    await omar.http.aclose()


async def test_a_thread_is_assigned_and_noted_on_the_page(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    omar = await add_person(resources, tenant.tenant_id, "omar.k@example.com")
    _, sent = await a_thread(tenant, firstName="Ann", lastName="X")
    here = f"/conversations/{sent['interactionId']}"
    answer = await sam.submit(await sam.page(here), "/assign", person=omar)
    page = await sam.page(answer.headers["location"])
    assert "Assigned to omar.k" in page
    assert "sam@example.com assigned this to omar.k@example.com." in page
    answer = await sam.submit(page, "/texts", kind="note", message="@omar.k <b>look</b>\r\nplease")
    page = await sam.page(answer.headers["location"])
    assert page.count("@omar.k &lt;b&gt;look&lt;/b&gt;\nplease") >= 2  # in the thread and beside it
    assert "Nothing is snoozed." in await sam.page("/conversations?view=snoozed")
    assert "No conversation matches." in await sam.page("/conversations?view=snoozed&search=zz")
    sam.http.cookies.set("zone", "Asia/Tokyo")
    answer = await sam.submit(page, "/snooze", at=f"{datetime.now(UTC) + timedelta(days=60):%Y-%m-%d}T09:30")
    page = await sam.page(answer.headers["location"])
    assert re.search(r"sam@example.com snoozed this until [^<]*, 09:30\.", page), "by the clock of who reads it"
    refused = await sam.submit(page, "/texts", kind="note", message="  ")
    assert "Note: must have 1 to 5000 characters" in refused.text
    refused = await sam.submit(page, "/assign", person="user_nobody")
    assert (refused.status_code, "is not an active person" in refused.text) == (400, True)
    events = (await tenant.call("GET", "/events?wait=0&types=interaction.assigned"))["events"]
    assert [event["actor"].partition(":")[0] for event in events] in ([], ["person"])  # or not settled yet


async def test_many_threads_are_changed_by_one_form_and_refusals_are_told(
    sam: Browser, tenant: Tenant, ours: Data
) -> None:
    leads = [await a_thread(tenant, firstName=name, lastName="X") for name in ("Ann", "Bob")]
    ids = [sent["interactionId"] for _, sent in leads]
    page = await sam.page("/conversations")
    answer = await sam.submit(page, "/changes", thread=ids, status="qualified", until="reply")
    assert answer.status_code == 303
    for id in ids:
        thread = await tenant.call("GET", f"/interactions/{id}")
        assert (thread["status"], thread["snoozedUntil"]) == ("qualified", "reply")
    refused = await sam.submit(page, "/changes", thread=[ids[0], "int_gone"], status="completed")
    assert "1 of 2 were changed." in refused.text
    assert "A conversation that is gone" in refused.text
    for fields in ({"status": "completed"}, {"thread": ids[0]}):
        refused = await sam.submit(page, "/changes", **fields)
        assert "Tick conversations" in refused.text


async def test_a_filter_is_saved_as_a_view_of_ones_own_or_everybodys(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources, api: Api
) -> None:
    page = await sam.page("/conversations?view=waiting&status=qualified")
    await sam.submit(page, "/views", name="Hot <leads>")
    await sam.submit(page, "/views", name="Shared", shared="1")
    page = await sam.page("/conversations")
    assert "Hot &lt;leads&gt;" in page
    assert 'href="/conversations?view=waiting&amp;status=qualified"' in page
    await add_person(resources, tenant.tenant_id, "omar@example.com")
    omar = browser(api.url)
    await omar.enter(resources, "omar@example.com")
    other = await omar.page("/conversations")
    assert ("Hot" in other, "Shared" in other) == (False, True)
    own = next(view for view in (await tenant.call("GET", "/saved-views"))["savedViews"] if view["personId"])
    foreign = re.sub(
        r"/conversations/views/view_\w+/remove", f"/conversations/views/{own['savedViewId']}/remove", other
    )
    assert (await omar.submit(foreign, "/remove")).status_code == 404
    refused = await omar.submit(await omar.page("/conversations?status=gone"), "/views", name="Gone")
    assert "one of its values is unknown" in refused.text
    await omar.submit(other, "/remove")
    assert "Shared" not in await sam.page("/conversations")
    await omar.http.aclose()


async def test_the_pulse_tells_counts_and_who_else_is_here(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources, api: Api
) -> None:
    _, sent = await a_thread(tenant)
    await let_wait(resources, sent["interactionId"])
    await add_person(resources, tenant.tenant_id, "omar@example.com")
    omar = browser(api.url)
    await omar.enter(resources, "omar@example.com")
    address = f"/conversations/pulse?thread={sent['interactionId']}"
    first = (await sam.get(address)).json()
    assert (first["counts"]["waiting"], first["here"]) == (1, [])
    [other] = (await omar.get(f"{address}&writing=1")).json()["here"]
    assert (other["name"], other["writing"]) == ("sam", False)
    [other] = (await sam.get(address)).json()["here"]
    assert (other["name"], other["writing"]) == ("omar", True)
    assert (await sam.get("/conversations/pulse?thread=int_other")).json()["here"] == []
    await omar.http.aclose()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("", None), ("reply", "reply"), ("1h", datetime(2026, 11, 27, 23, 30, tzinfo=UTC)),
        ("tomorrow", datetime(2026, 11, 28, 9, tzinfo=UTC)), ("monday", datetime(2026, 11, 30, 9, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_snooze_ends_when_its_name_says(choice: str, expected: object) -> None:
    assert find_end(choice, datetime(2026, 11, 27, 22, 30, tzinfo=UTC)) == expected  # a Friday


async def test_a_person_has_a_name_by_which_notes_mention_them(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    _, sent = await a_thread(tenant)
    answer = await sam.submit(await sam.page("/account"), "/name", name="  Sam <the>  Great ")
    assert "Your name was saved." in await sam.page(answer.headers["location"])
    [person] = (await tenant.call("GET", "/people"))["people"]
    assert (person["name"], person["active"]) == ("Sam <the> Great", True)
    assert re.fullmatch("#[0-9a-f]{6}", person["color"])
    note = await tenant.call("POST", f"/interactions/{sent['interactionId']}/notes", {"text": "Ask @sam!"})
    assert note["mentions"] == [person["personId"]]
    await settle(resources)
    assert "A colleague mentions you" in await sam.page("/notices")
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    for form, values in (("/texts", {"message": "Hi"}), ("/status", {"status": "completed"})):
        await sam.submit(page, form, **values)
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    assert re.search(r'title="sam@example.com">Sam &lt;the&gt; Great</span>', page)
    assert "Sam &lt;the&gt; Great set the status to completed." in page
    newest, *_ = (await tenant.call("GET", f"/audit?subject=person&subjectId={person['personId']}"))["audit"]
    assert (newest["changes"][0]["field"], newest["actor"]) == ("name", f"person:{person['personId']}")
    await sam.submit(await sam.page("/account"), "/name", name="")
    async with resources.database.system_tx() as tx:  # however many have names that come before
        await tx.execute(ADD_COLLEAGUES_SQL, tenant.tenant_id)
    assert (await tenant.call("GET", "/people"))["people"][-1]["name"] == "sam"
    assert 'title="sam@example.com">sam</span>' in await sam.page(f"/conversations/{sent['interactionId']}")


async def test_a_text_is_not_sent_over_what_the_agent_wrote_meanwhile(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    lead, sent = await a_thread(tenant)
    here = f"/conversations/{sent['interactionId']}"
    page = await sam.page(here)
    answer = await tenant.call("POST", "/sms/send", {"leadId": lead["leadId"], "message": "By the agent"})
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE messages SET source = 'sms_agent', actor = 'smsagent_x' WHERE message_id = $1", answer["messageId"]
        )
    refused = await sam.submit(page, "/texts", message="By me", **{"from": ""})
    assert (refused.status_code, "The agent wrote since you looked." in refused.text) == (409, True)
    assert (await sam.submit(refused.text, "/texts", message="By me", anyway="1", **{"from": ""})).is_redirect


async def test_only_what_the_person_has_not_read_is_listed_as_unread(
    sam: Browser, tenant: Tenant, ours: Data, resources: Resources
) -> None:
    _, first = await a_thread(tenant, firstName="Ann", lastName="X")
    _, second = await a_thread(tenant, firstName="Bob", lastName="X")
    for sent in (first, second):
        await let_wait(resources, sent["interactionId"])
    await sam.page(f"/conversations/{first['interactionId']}")
    for query in ("unread=1", "view=unread", "view=waiting&unread=1", "view=all&unread=1&search=x"):
        assert names(await sam.page(f"/conversations?{query}")) == ["Bob X"], query

"""Nobody loses their place: in an inbox of 60 threads and a thread of 1,000 texts, what a person
does and what others do changes only the part of the page that it is about."""

import re

import pytest
from playwright.async_api import Locator, ViewportSize, expect

from app.domain.problems import Unavailable
from app.resources import Resources
from app.web.page import threads
from tests.browser.conftest import Enter, Person
from tests.browser.inbox import fill_inbox, fill_thread
from tests.browser.test_in_view import LAPTOP, LARGE, PHONE, TABLET, can_write, named, picture, stands_still
from tests.world import World

VISIBLE_ROWS = {named(LARGE): 11, named(LAPTOP): 7, named(TABLET): 5}


@pytest.fixture
async def inbox(world: World, resources: Resources) -> str:
    """60 threads, and one of 1,000 texts."""
    thread: str = (await world.send("Text 1"))["interactionId"]
    await fill_inbox(resources, world, 60)
    await fill_thread(resources, thread, 1000)
    return thread


def row(person: Person, name: str) -> Locator:
    return person.threads.filter(has=person.page.get_by_text(name, exact=True))


async def scroll_top(person: Person) -> int:
    top: int = await person.page.locator("#list").evaluate("(list) => Math.round(list.scrollTop)")
    return top


@pytest.mark.parametrize("size", [LARGE, LAPTOP, TABLET], ids=named)
async def test_moving_between_threads_keeps_list_focus_filter_and_drafts(
    enter: Enter, world: World, inbox: str, size: ViewportSize
) -> None:
    sam = await enter(viewport=size)
    await sam.open("/conversations")
    visible = await sam.page.evaluate(COUNT_ROWS)
    assert visible >= VISIBLE_ROWS[named(size)]
    stayed = await sam.same_page()
    loaded: list[str] = []
    sam.page.on("request", lambda request: loaded.append(f"{request.resource_type} {request.url}"))
    await row(sam, "Lead 30").scroll_into_view_if_needed()
    top = await scroll_top(sam)
    assert top > 0
    await row(sam, "Lead 30").click()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 30")
    await expect(row(sam, "Lead 30")).to_be_focused()
    await expect(row(sam, "Lead 30")).to_have_attribute("aria-current", "page")
    await expect(sam.page).to_have_title(re.compile(r"^\(\d+\) Lead 30 · Conversations · LeadSail SMS$"))
    assert sam.page.url.endswith("/conversations/int_lead_30")
    assert await scroll_top(sam) == top
    await can_write(sam)
    await sam.box.fill("Half a sentence")
    await row(sam, "Lead 31").click()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 31")
    await expect(sam.box).to_have_value("")
    await sam.page.go_back()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 30")
    await expect(sam.box).to_have_value("Half a sentence")
    await sam.page.go_forward()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 31")
    assert await scroll_top(sam) == top
    await stands_still(sam)
    assert await stayed()
    assert [one for one in loaded if one.startswith(("document", "script", "stylesheet"))] == []
    await sam.page.get_by_role("combobox", name="Status filter").focus()
    await sam.page.get_by_role("combobox", name="Status filter").select_option("qualified")
    await expect(row(sam, "Lead 31")).to_have_count(1)
    await expect(row(sam, "Lead 30")).to_have_count(0)
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 31")
    await expect(sam.page.get_by_role("combobox", name="Status filter")).to_be_focused()
    await row(sam, "Lead 28").click()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 28")
    assert "status=qualified" in sam.page.url
    await sam.page.get_by_role("switch", name="Agent Mode").click()
    await expect(sam.switch).to_have_attribute("aria-checked", "true")
    await expect(sam.switch).to_be_focused()
    assert "status=qualified" in sam.page.url
    assert await stayed()
    await picture(sam, "places", size)
    await sam.page.go_back()
    await sam.page.go_back()
    await expect(row(sam, "Lead 30")).to_have_count(1)
    await expect(sam.page.get_by_role("combobox", name="Status filter")).to_have_value("")
    assert await stayed()


COUNT_ROWS = """() => [...document.querySelectorAll('#list nav li')].filter((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
}).length"""


async def test_what_others_write_changes_one_row_and_one_text_of_a_long_thread(
    enter: Enter, world: World, inbox: str
) -> None:
    sam = await enter(viewport=LARGE)
    await sam.read(inbox)
    await sam.becomes("stream.readyState === 1 && !isFetching && timer === null")
    fetched: list[tuple[str, int]] = []

    async def weigh(request: object) -> None:
        sizes = await request.sizes()  # type: ignore[attr-defined]
        fetched.append((request.url, sizes["responseBodySize"]))  # type: ignore[attr-defined]

    sam.page.on("requestfinished", weigh)
    stayed = await sam.same_page()
    reading = sam.text("Text 980.")
    await reading.scroll_into_view_if_needed()
    await world.text("From the lead")
    await expect(sam.text("From the lead")).to_be_attached()
    await expect(sam.page.get_by_role("link", name="New texts")).to_be_visible()
    await expect(reading).to_be_in_viewport()
    await expect(sam.threads.first).to_contain_text("From the lead")
    await world.send("From a program")
    await expect(sam.text("From a program")).to_contain_text("Delivered")
    lead = await world.tenant.lead(firstName="New", lastName="One", phone="+12125550007")
    await row(sam, "Lead 40").scroll_into_view_if_needed()
    await row(sam, "Lead 40").focus()
    await world.send("To another lead", leadId=lead["leadId"])
    await expect(sam.threads.first).to_contain_text("New One")
    await expect(row(sam, "Lead 40")).to_be_focused()
    await expect(row(sam, "Lead 40")).to_be_in_viewport()
    assert await stayed()
    changes = [(url, size) for url, size in fetched if "/changes" in url]
    assert len(changes) >= 3
    assert max(size for _, size in changes) <= 3000, changes
    others = [url for url, _ in fetched if "/changes" not in url and "/events" not in url]
    assert [url for url in others if "/pulse" not in url and "/icon-dot" not in url] == []


async def test_on_a_phone_the_way_back_leads_to_the_row_one_came_from(enter: Enter, inbox: str) -> None:
    sam = await enter(viewport=PHONE)
    await sam.open("/conversations")
    stayed = await sam.same_page()
    await row(sam, "Lead 20").click()
    await expect(sam.page.get_by_role("heading", level=1)).to_be_focused()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 20")
    await can_write(sam)
    await picture(sam, "places", PHONE)
    await sam.page.get_by_role("link", name="Back to the list").click()
    await expect(row(sam, "Lead 20")).to_be_focused()
    await expect(row(sam, "Lead 20")).to_be_in_viewport()
    await picture(sam, "places-list", PHONE)
    assert await stayed()


async def test_without_connection_a_click_waits_and_is_followed_when_it_is_back(sam: Person, inbox: str) -> None:
    await sam.read(inbox)
    stayed = await sam.same_page()
    await sam.page.context.set_offline(True)
    lost = sam.page.get_by_role("status", name="Connection")
    await expect(lost).to_be_visible()
    await row(sam, "Lead 5").click()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Jane Miller")
    await sam.page.context.set_offline(False)
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 5")
    await expect(lost).to_be_hidden()
    assert await stayed()
    sam.complaints.clear()  # the browser tells of what failed


async def test_a_page_that_failed_after_its_beginning_leads_on(
    enter: Enter, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"/conversations/{(await world.send('Text 1'))['interactionId']}"

    async def fail(*_: object) -> None:
        raise Unavailable

    sam = await enter(viewport=PHONE)
    with monkeypatch.context() as patch:
        patch.setattr(threads, "build_thread_context", fail)
        await sam.open(here)
        await sam.page.get_by_role("link", name="Go to the conversations").click()
        await row(sam, "Jane Miller").wait_for()
        await sam.open(here)
    await sam.page.get_by_role("link", name="Try again").click()
    await expect(sam.text("Text 1")).to_be_visible()


async def test_without_script_links_forms_and_filters_work(enter: Enter, world: World, inbox: str) -> None:
    sam = await enter(viewport=LAPTOP, java_script_enabled=False)
    await sam.open("/conversations")
    await row(sam, "Lead 3").click()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 3")
    await sam.page.get_by_role("combobox", name="Status filter").select_option("qualified")
    await sam.page.get_by_role("button", name="Apply").click()
    await expect(row(sam, "Lead 1")).to_have_count(1)
    await expect(row(sam, "Lead 3")).to_have_count(0)
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 3")
    await sam.box.fill("By form alone")
    await sam.page.get_by_role("button", name="Send", exact=True).click()
    await expect(sam.text("By form alone")).to_be_visible()
    assert "status=qualified" in sam.page.url

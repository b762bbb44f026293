"""What a person works with stays on the screen: the newest text, the box and its button, in an
inbox that is longer than the screen, on large screens, on small ones and at 200 % zoom."""

import pytest
from playwright.async_api import Locator, ViewportSize, expect

from app.resources import Resources
from tests.browser.conftest import UNCOVERED, Enter, Person, take_picture
from tests.browser.inbox import fill_inbox, fill_thread, hold_a_reply
from tests.world import World

LARGE, LAPTOP = ViewportSize(width=1440, height=900), ViewportSize(width=1280, height=720)
TABLET, SMALL = ViewportSize(width=1024, height=600), ViewportSize(width=900, height=600)
FOLDED = ViewportSize(width=1024, height=768)
"""The contact card lies below the thread."""
ZOOMED = ViewportSize(width=640, height=400)
"""A screen of 1280 by 800 at 200 %."""
ZOOMED_MORE = ViewportSize(width=720, height=450)
"""A screen of 1440 by 900 at 200 %."""
PHONE, LYING = ViewportSize(width=390, height=844), ViewportSize(width=844, height=390)
THREE_PANELS = [LARGE, LAPTOP, TABLET, SMALL]
SIZES = [*THREE_PANELS, FOLDED, ZOOMED, ZOOMED_MORE, PHONE, LYING]


def named(size: ViewportSize) -> str:
    return f"{size['width']}x{size['height']}"


@pytest.fixture
async def long_thread(world: World, resources: Resources) -> str:
    """In an inbox of 60 others, all longer than the screen."""
    thread: str = (await world.send("Text 1"))["interactionId"]
    await fill_inbox(resources, world, 60)
    await fill_thread(resources, thread, 80)
    return thread


def send_button(person: Person) -> Locator:
    return person.page.get_by_role("button", name="Send", exact=True)


async def stands_still(person: Person) -> None:
    """The window has not moved, and cannot: what is longer than the screen scrolls in its panel."""
    assert await person.page.evaluate("[scrollX, scrollY]") == [0, 0]
    taller = "document.documentElement.scrollHeight - innerHeight"
    assert await person.page.evaluate(taller) <= 0


async def picture(person: Person, name: str, size: ViewportSize) -> None:
    await take_picture(person.page, f"{name}-{named(size)}")


async def can_write(person: Person) -> None:
    """The box and its button are wholly on the screen, and nothing lies upon them."""
    for part in (person.box, send_button(person)):
        await expect(part).to_be_in_viewport(ratio=1)
        assert await part.evaluate(UNCOVERED), await part.get_attribute("name")


async def reads_and_writes(person: Person, newest: str) -> None:
    await expect(person.texts.last).to_contain_text(newest)
    await expect(person.texts.last.locator(".words")).to_be_in_viewport(ratio=1)
    await can_write(person)
    await stands_still(person)


async def reads_note_and_writes(person: Person, newest: str) -> None:
    await expect(person.texts.last).to_contain_text(newest)
    await expect(person.texts.last).to_be_in_viewport(ratio=1)
    await can_write(person)
    await stands_still(person)


async def reads_and_writes_at_top(person: Person, newest: str) -> None:
    """As above, where the contact card lies below and the window could scroll to it."""
    await expect(person.texts.last).to_contain_text(newest)
    await expect(person.texts.last.locator(".words")).to_be_in_viewport(ratio=1)
    await can_write(person)
    assert await person.page.evaluate("[scrollX, scrollY]") == [0, 0]


async def send(person: Person, text: str) -> None:
    await person.box.fill(text)
    await send_button(person).click()
    await is_taken(person, text)


async def is_taken(person: Person, text: str) -> None:
    """The text stands among the others, and none is on its way."""
    await expect(person.text(text)).to_be_visible()
    await expect(person.page.locator("#unsent article")).to_have_count(0)


@pytest.mark.parametrize("size", [LARGE, SMALL], ids=named)
async def test_without_script_every_send_leaves_the_newest_text_and_the_box_on_the_screen(
    enter: Enter, world: World, long_thread: str, size: ViewportSize
) -> None:
    sam = await enter(viewport=size, java_script_enabled=False)
    await sam.open(f"/conversations/{long_thread}")
    await expect(sam.text("Text 80.")).to_be_in_viewport(ratio=1)
    for text in ("First by hand", "Second by hand"):
        await send(sam, text)
        newest = sam.texts.last
        await expect(newest).to_contain_text(text)
        await expect(newest.locator(".words")).to_be_in_viewport(ratio=1)
        await expect(sam.box).to_be_in_viewport(ratio=1)
        await expect(send_button(sam)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("size", THREE_PANELS, ids=named)
async def test_after_each_action_the_window_stands_still_and_the_box_is_on_the_screen(
    enter: Enter, world: World, long_thread: str, size: ViewportSize
) -> None:
    sam = await enter(viewport=size)
    await sam.open("/conversations")
    await stands_still(sam)
    await sam.threads.filter(has_text="Jane Miller").click()
    await reads_and_writes(sam, "Text 80.")
    await picture(sam, "in-view", size)
    await send(sam, "By its button")
    await reads_and_writes(sam, "By its button")
    await expect(sam.box).to_be_focused()
    await sam.box.fill("By Enter")
    await sam.box.press("Enter")
    await is_taken(sam, "By Enter")
    await reads_and_writes(sam, "By Enter")
    await _pill(sam, world)
    await reads_and_writes(sam, "Below the fold")
    skip = sam.page.get_by_role("link", name="Skip to the message box")
    await skip.focus()
    await skip.press("Enter")
    await expect(sam.box).to_be_focused()
    await reads_and_writes(sam, "Below the fold")
    status = sam.page.get_by_role("combobox", name="Status", exact=True)
    await status.select_option("follow_up")
    await reads_note_and_writes(sam, "set the status to follow up")
    await sam.page.get_by_role("combobox", name="Status filter").select_option("follow_up")
    await expect(sam.threads).to_have_count(1)
    await reads_note_and_writes(sam, "set the status to follow up")
    await sam.page.get_by_role("link", name="Clear").click()
    await expect(sam.threads).to_have_count(50)
    await sam.threads.last.click()
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 49")
    await reads_and_writes(sam, "Are you there?")


@pytest.mark.parametrize("size", [FOLDED, ZOOMED, ZOOMED_MORE, PHONE, LYING], ids=named)
async def test_on_small_screens_what_leads_down_leaves_the_newest_text_and_the_box_on_the_screen(
    enter: Enter, world: World, long_thread: str, size: ViewportSize
) -> None:
    await _fill_contact(world, long_thread)
    sam = await enter(viewport=size)
    await sam.read(long_thread)
    skip = sam.page.get_by_role("link", name="Skip to the message box")
    await skip.focus()
    await skip.press("Enter")
    await expect(sam.box).to_be_focused()
    await reads_and_writes_at_top(sam, "Text 80.")
    await _pill(sam, world)
    await reads_and_writes_at_top(sam, "Below the fold")


async def _pill(person: Person, world: World) -> None:
    """Reads further up while the lead writes, and follows the link down to it."""
    await person.page.get_by_role("log").evaluate("(log) => { log.scrollTop = -1500; }")
    await world.text("Below the fold")
    pill = person.page.get_by_role("link", name="New texts")
    await expect(pill).to_be_visible()
    await expect(person.texts.last).not_to_be_in_viewport()
    await pill.click()
    await expect(pill).to_be_hidden()


@pytest.mark.parametrize("size", SIZES, ids=named)
async def test_at_every_size_a_person_can_write_with_a_held_reply_and_a_long_contact_card(
    enter: Enter, world: World, resources: Resources, size: ViewportSize
) -> None:
    thread = await hold_a_reply(world)
    await fill_inbox(resources, world, 60)
    await world.tenant.call("POST", "/canned-replies", {"title": "Hours", "text": "9 to 5."})
    await _fill_contact(world, thread)
    sam = await enter(viewport=size)
    await sam.read(thread)
    await picture(sam, "in-view-held", size)
    await can_write(sam)
    if size in (*THREE_PANELS, FOLDED):
        await stands_still(sam)
    sent = sam.page.get_by_role("button", name="Send it")
    await sent.scroll_into_view_if_needed()
    await sent.click(trial=True)
    await can_write(sam)
    await picture(sam, "in-view-held-scrolled", size)
    await sam.page.get_by_text("Replies", exact=True).locator("..").click()
    await sam.page.get_by_text("Hours", exact=True).click()
    await expect(sam.box).to_have_value("9 to 5.")
    await can_write(sam)
    await send_button(sam).click()
    await expect(sam.text("9 to 5.").locator(".words")).to_be_in_viewport(ratio=1)
    await can_write(sam)


@pytest.mark.parametrize("size", [LAPTOP, ZOOMED, PHONE], ids=named)
async def test_a_refused_text_stays_in_a_box_that_can_be_used_with_the_reason_in_view(
    enter: Enter, world: World, long_thread: str, size: ViewportSize
) -> None:
    sam = await enter(viewport=size)
    await sam.read(long_thread)
    await sam.box.fill("Your roof is ours… " * 90)
    await send_button(sam).click()
    await expect(sam.page.get_by_role("alert")).to_be_in_viewport(ratio=1)
    sam.complaints.clear()  # the browser tells of the 400
    await picture(sam, "in-view-refused", size)
    await can_write(sam)
    await sam.box.fill("Shorter")
    await send_button(sam).click()
    await expect(sam.texts.last).to_contain_text("Shorter")
    await expect(sam.texts.last.locator(".words")).to_be_in_viewport(ratio=1)
    await can_write(sam)


async def _fill_contact(world: World, thread: str) -> None:
    """A contact card that is longer than the screen."""
    lead = (await world.thread(thread))["leadId"]
    answers = [
        {"key": f"q{n}", "question": f"What about the roof, {n}?", "answer": "It is flat. " * 5} for n in range(20)
    ]
    await world.tenant.call("PATCH", f"/leads/{lead}", {"questionnaire": answers})

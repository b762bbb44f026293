"""Writing fast, with the keyboard alone, and finding as one types. The focus never falls to the body."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Route, ViewportSize, expect

from app.resources import Resources
from tests.browser.conftest import ZONE, Enter, Person
from tests.browser.inbox import fill_inbox, fill_thread
from tests.browser.test_in_view import LARGE, PHONE, can_write, named, picture
from tests.browser.test_looks import findings
from tests.browser.test_places import row
from tests.world import World

FOCUSED = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"
MAX_TABS = 6


async def add_replies(world: World) -> None:
    for title, text in (
        ("Hours", "Hi {{firstName}}, we are here from 9 to 5."),
        ("Plan", "Your plan {{customFields.plan}} is fine."),
        ("Adiós", "Bye, {{firstName}} {{lastName}}!"),
    ):
        await world.tenant.call("POST", "/canned-replies", {"title": title, "text": text})


@pytest.mark.parametrize("size", [LARGE, PHONE], ids=named)
async def test_everything_that_one_writes_with_is_a_few_keys_away(
    enter: Enter, world: World, size: ViewportSize
) -> None:
    await add_replies(world)
    sam = await enter(viewport=size)
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"timezone": ZONE})
    thread = (await world.send(agentMode=True))["interactionId"]
    await sam.read(thread)
    keys = sam.page.keyboard
    await sam.box.focus()
    reached = []
    for _ in range(MAX_TABS):
        await keys.press("Tab")
        reached.append(await sam.page.evaluate(FOCUSED))
    assert reached[:5] == ["Attach", "Emoji", "Replies", "Later", "Send"]
    await sam.box.focus()
    await keys.press("Shift+Tab")
    assert await sam.page.evaluate("document.activeElement.name") == "from"

    await keys.press("Tab")
    await keys.type("/")
    field = sam.page.get_by_role("combobox", name="Canned replies")
    await expect(field).to_be_focused()
    await keys.type("plan")
    await expect(sam.page.get_by_role("listbox", name="Canned replies").get_by_role("option")).to_have_count(1)
    await keys.press("Enter")
    await expect(sam.box).to_be_focused()
    await expect(sam.box).to_have_value("Your plan {{customFields.plan}} is fine.")
    await keys.type("Gold")  # the gap was selected
    await expect(sam.box).to_have_value("Your plan Gold is fine.")
    await keys.press("End")
    await sam.page.get_by_text("Emoji", exact=True).locator("..").focus()
    await keys.type("u")  # no key to mark as unread, here
    await keys.press("Enter")
    await expect(sam.page.get_by_role("combobox", name="Search emoji")).to_be_focused()
    await keys.type("thumbs up")
    await keys.press("Enter")
    await expect(sam.box).to_be_focused()
    await expect(sam.box).to_have_value("Your plan Gold is fine.👍")
    await sam.box.fill("/")
    await keys.press("End")
    await sam.box.press_sequentially("adios")  # no list: the slash was not typed
    await expect(sam.box).to_have_value("/adios")

    await sam.box.fill("Until then")
    later = sam.page.get_by_text("Later", exact=True).locator("..")
    await later.focus()
    await keys.press("Enter")
    await sam.page.get_by_role("radio", name=re.compile("^Tomorrow, 9:00")).check()
    await picture(sam, "writing-later", size)
    await keys.press("Escape")
    await expect(sam.box).to_be_focused()
    await expect(sam.page.get_by_role("button", name="Schedule")).to_be_visible()
    await keys.press("Enter")
    waiting = sam.text("Until then")
    await expect(waiting).to_contain_text(re.compile("Will be sent .*, 9:00 AM"))
    await expect(sam.page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    await waiting.get_by_text("Edit", exact=True).click()
    await waiting.get_by_label("Words of the scheduled text").fill("Sooner")
    await waiting.get_by_role("button", name="Send now").click()
    await expect(sam.text("Sooner")).to_contain_text("Delivered")
    await expect(sam.text("Until then")).to_have_count(0)

    await sam.page.get_by_role("radio", name="Note").check()
    await sam.box.fill("She hates mornings")
    await picture(sam, "writing-note", size)
    await sam.page.reload()
    await expect(sam.box).to_have_value("She hates mornings")
    await expect(sam.page.get_by_role("radio", name="Note")).to_be_checked()  # a draft stays what it was
    await sam.box.press("Enter")
    await expect(sam.texts.filter(has_text="She hates mornings")).to_contain_text("Note for colleagues")
    await expect(sam.box).to_be_focused()
    assert "She hates mornings" not in world.carrier.received(world.phone)
    await sam.page.get_by_role("radio", name="Reply").check()
    await can_write(sam)
    assert await findings(sam.page, {}) == []


async def test_the_palette_and_single_keys_lead_everywhere(sam: Person, world: World, resources: Resources) -> None:
    await fill_inbox(resources, world, 12)
    thread = (await world.send())["interactionId"]
    await sam.page.set_viewport_size(LARGE)
    await sam.read(thread)
    stayed, keys = await sam.same_page(), sam.page.keyboard

    async def choose(words: str, option: str) -> None:
        await keys.press("Control+k")
        await expect(sam.page.get_by_role("combobox", name="Go to or do")).to_be_focused()
        await keys.type(words)
        chosen = sam.page.get_by_role("dialog").get_by_role("option", selected=True)
        await expect(chosen).to_contain_text(option)
        await keys.press("Enter")

    await choose("qualified", "Qualified")
    await expect(sam.page.get_by_role("combobox", name="Status", exact=True)).to_have_value("qualified")
    await choose("assign me", "Me")
    await expect(sam.page.get_by_label("Assigned to")).to_have_value(re.compile("user_"))
    await choose("4155560007", "Lead 7")  # an id may have any letters
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 7")
    await expect(sam.box).to_be_focused()
    await keys.press("Control+k")
    await keys.press("Escape")
    await expect(sam.box).to_be_focused()  # where it was
    await sam.page.get_by_role("log").focus()
    await keys.press("j")
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 8")
    await keys.press("k")
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 7")
    await keys.press("n")
    await expect(sam.box).to_be_focused()
    await expect(sam.page.get_by_role("radio", name="Note")).to_be_checked()
    await keys.type("?jkn")
    await expect(sam.box).to_have_value("?jkn")  # in a field they are letters
    await sam.box.fill("")
    await sam.page.get_by_role("log").focus()
    await keys.press("?")
    dialog = sam.page.get_by_role("dialog", name="Keys")
    await expect(dialog).to_be_visible()
    assert await findings(sam.page) == []
    await dialog.get_by_role("checkbox").uncheck()
    await keys.press("Escape")
    await keys.press("j")
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Lead 7")  # they were switched off
    assert await stayed()
    await choose("audit", "Audit")
    await expect(sam.page.get_by_role("heading", name="Audit")).to_be_visible()
    await choose("leads", "Leads")
    await expect(sam.page).to_have_url(re.compile("/leads$"))


async def test_a_search_finds_as_one_types_and_leads_to_the_text(
    sam: Person, world: World, resources: Resources
) -> None:
    await fill_inbox(resources, world, 60)
    thread = (await world.send("Text 1"))["interactionId"]
    await fill_thread(resources, thread, 300)
    await sam.page.set_viewport_size(LARGE)
    await sam.read(thread)
    stayed, keys = await sam.same_page(), sam.page.keyboard
    field = sam.page.get_by_role("searchbox", name="Search", exact=True)
    await sam.page.get_by_role("log").focus()
    await keys.press("/")
    await expect(field).to_be_focused()
    await field.press_sequentially("415556004", delay=30)
    await expect(sam.threads).to_have_count(10)  # 40 to 49; an id may have any letters
    await field.press_sequentially("2", delay=30)
    await expect(sam.threads).to_have_count(1)
    await expect(field).to_be_focused()
    await expect(field).to_have_value("4155560042")
    assert thread in sam.page.url
    await sam.page.go_back()
    await expect(sam.threads).to_have_count(50)
    await expect(field).to_have_value("")
    await field.fill("")
    await sam.page.get_by_label("In texts").check()
    await field.fill("“text 60”")
    await expect(sam.threads).to_have_count(1)
    await expect(sam.threads.locator("mark")).to_have_text("Text 60")
    await field.press("ArrowDown")
    await expect(row(sam, "Jane Miller")).to_be_focused()
    await keys.press("Enter")
    found = sam.text("Text 60.")
    await expect(found).to_have_class(re.compile("sought"))
    await expect(found).to_be_in_viewport(ratio=1)
    await expect(found.locator("mark")).to_have_text("Text 60")
    await expect(row(sam, "Jane Miller")).to_be_focused()
    await picture(sam, "writing-found", LARGE)
    place: Any = await sam.page.evaluate("[scrollX, scrollY]")
    assert place == [0, 0]
    await can_write(sam)
    assert await stayed()


async def test_a_text_that_comes_back_never_joins_a_note_nor_a_note_a_text(sam: Person, world: World) -> None:
    await world.tenant.call("PATCH", "/settings", {"undoSeconds": 60})
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    note, reply = sam.page.get_by_role("radio", name="Note"), sam.page.get_by_role("radio", name="Reply")
    answered = asyncio.Event()

    async def wait(route: Route) -> None:
        await answered.wait()
        await route.continue_()

    await sam.page.route("**/texts*", wait, times=1)
    await sam.box.fill("Hi {{gap}}")
    await sam.page.get_by_text("Later", exact=True).click()
    await sam.page.get_by_role("radio", name=re.compile("^Tomorrow, 9:00")).press("Space")
    await sam.page.keyboard.press("Enter")  # ends the choice
    await expect(sam.box).to_be_focused()
    await expect(sam.box).to_have_value("Hi {{gap}}")
    await sam.box.press("Enter")
    await note.check()
    await sam.box.fill("She pays late")
    answered.set()
    refused = sam.page.locator("#unsent article")
    await expect(refused).to_contain_text("Not sent")
    await refused.get_by_role("button", name="Edit").click()
    await expect(sam.page.get_by_role("alert")).to_contain_text("There is a note in the box")
    await sam.page.get_by_role("log").focus()
    for key in ("r", "l"):
        await sam.page.keyboard.press(key)
        await expect(sam.box).to_be_focused()
        await expect(note).to_be_checked()  # it has words
        await sam.page.get_by_role("log").focus()
    await expect(sam.box).to_have_value("She pays late")
    await sam.box.press("Enter")
    await expect(sam.texts.filter(has_text="She pays late")).to_contain_text("Note for colleagues")
    await refused.get_by_role("button", name="Edit").click()
    await expect(sam.box).to_have_value("Hi {{gap}}")
    await expect(reply).to_be_checked()
    await expect(sam.page.get_by_role("button", name="Schedule")).to_be_visible()  # for the same time

    await sam.box.fill("A slip")
    await sam.page.locator(".later summary").click()
    await sam.page.get_by_role("radio", name="Now").check()
    await sam.box.press("Enter")
    await expect(sam.text("A slip")).to_contain_text("Leaves in")
    await note.check()
    await sam.box.fill("No hurry")
    await sam.text("A slip").get_by_role("button", name="Undo").click()
    await expect(refused).to_contain_text("A slip")
    await expect(sam.box).to_have_value("No hurry")
    await expect(note).to_be_checked()
    await sam.box.fill("")
    await refused.get_by_role("button", name="Edit").click()
    await expect(sam.box).to_have_value("A slip")
    await expect(reply).to_be_checked()
    await expect(sam.box).to_have_attribute("placeholder", re.compile("^Write a text"))
    assert world.carrier.received(world.phone)[1:] == []
    sam.complaints.clear()  # the browser tells of the refusal


async def test_words_of_a_form_stay_when_the_connection_drops_and_a_menu_goes_back(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    await sam.box.fill("Until then")
    await sam.page.get_by_text("Later", exact=True).click()
    await sam.page.get_by_role("radio", name=re.compile("^Tomorrow, 9:00")).check()
    await sam.box.press("Enter")
    waiting = sam.text("Until then")
    await waiting.get_by_text("Edit", exact=True).click()
    words = waiting.get_by_label("Words of the scheduled text")
    await words.fill("Many new words")
    await sam.page.context.set_offline(True)
    await waiting.get_by_role("button", name="Save").click()
    await expect(sam.page.get_by_role("status", name="Connection")).to_be_visible()
    await expect(words).to_have_value("Many new words")
    status = sam.page.get_by_role("combobox", name="Status", exact=True)
    await status.select_option("qualified")
    await expect(status).to_have_value("in_progress")
    await sam.page.context.set_offline(False)
    await waiting.get_by_role("button", name="Save").click()
    await expect(sam.text("Many new words")).to_have_count(1)
    sam.complaints.clear()  # the browser tells of what failed


async def test_without_script_a_text_is_scheduled_by_the_leads_clock_and_a_note_stays_a_note(
    enter: Enter, world: World
) -> None:
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"timezone": "America/Los_Angeles"})
    thread = (await world.send())["interactionId"]
    sam = await enter(viewport=LARGE, java_script_enabled=False)
    await sam.open(f"/conversations/{thread}")
    await sam.page.get_by_text("Later", exact=True).click()
    await sam.page.get_by_role("radio", name=re.compile("^Tomorrow, 9:00 AM.*12:00 PM for you")).check()
    await picture(sam, "writing-no-script", LARGE)
    await sam.box.fill("Good morning")
    await sam.page.get_by_role("button", name="Send", exact=True).click()
    await expect(sam.text("Good morning")).to_contain_text(re.compile("Will be sent .*, 12:00 PM"))
    await sam.page.get_by_role("radio", name="Note").check()
    await sam.box.fill("Only for us")
    await sam.page.get_by_role("button", name="Add note").click()
    await expect(sam.texts.filter(has_text="Only for us")).to_contain_text("Note for colleagues")

"""Two people in one inbox: what waits, whose it is, and who is here."""

import re

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import ViewportSize, expect

from app.resources import Resources
from tests.browser.conftest import UNCOVERED, Enter, take_picture
from tests.browser.inbox import fill_inbox
from tests.world import World


async def test_two_people_see_what_waits_who_is_here_and_what_the_other_did(
    enter: Enter, idle_world: World, resources: Resources
) -> None:
    world = idle_world
    await fill_inbox(resources, world, 12)
    thread = (await world.send("Hi Jane!"))["interactionId"]
    sam = await enter("sam@example.com", viewport=ViewportSize(width=1440, height=900))
    omar = await enter("omar@example.com", viewport=ViewportSize(width=1280, height=720), color_scheme="dark")
    await sam.open("/conversations")
    views = sam.page.get_by_role("navigation", name="Views")
    waiting = views.get_by_role("link", name=re.compile("^Waiting"))
    await expect(waiting).to_have_text("Waiting 12")
    await expect(sam.page).to_have_title(re.compile(r"^\(12\) "))
    await expect(sam.page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("icon-dot"))

    await omar.read(thread)
    await world.text("Are you there?")
    await expect(waiting).to_have_text("Waiting 13")  # by itself
    await sam.read(thread)
    here = sam.page.get_by_role("status", name="Who else is here")
    await expect(here).to_have_text("omar reads this")
    await omar.box.fill("Yes, I")
    await expect(here).to_have_text("omar is writing…")
    await sam.page.set_viewport_size(ViewportSize(width=390, height=844))
    for part in (here, sam.box, sam.page.get_by_role("status", name="Agent state")):
        await expect(part).to_be_in_viewport(ratio=1)
        assert await part.evaluate(UNCOVERED), "on a phone one sees it where one writes"
    await take_picture(sam.page, "together-here-phone")
    await sam.page.set_viewport_size(ViewportSize(width=1440, height=900))
    work = sam.page.get_by_role("region", name="Work")
    await sam.page.get_by_role("radio", name="Note").check()
    await sam.box.fill("@omar: she is a friend")
    await sam.page.get_by_role("button", name="Add note").click()
    await expect(sam.texts.filter(has_text="she is a friend")).to_contain_text("Note for colleagues")
    await expect(sam.box).to_have_value("")
    await expect(omar.texts.filter(has_text="she is a friend")).to_be_visible()
    await omar.open("/conversations")
    await expect(omar.page.get_by_role("link", name=re.compile("^Needs you 1"))).to_be_visible()

    await work.get_by_label("Assigned to").select_option(label="omar")
    row = sam.page.locator(f"li[data-key={thread}]")
    await expect(row).to_contain_text("Assigned to omar")
    for person, name in ((sam, "together-light"), (omar, "together-dark")):
        await person.open(f"/conversations/{thread}?view=waiting")
        for summary in ("More", "Select"):
            await person.page.get_by_role("navigation", name="Views").get_by_text(summary, exact=True).click()
            await take_picture(person.page, f"{name}-{summary.lower()}")
        await expect(person.page.get_by_role("button", name="Mark all as read")).to_be_hidden()  # it lay above the list
    stayed = await sam.same_page()
    found = await Axe().run(sam.page)
    assert [violation["id"] for violation in found.response["violations"]] == []

    tick_box = sam.page.locator(f"li[data-key={thread}]").get_by_role("checkbox")
    await tick_box.check()
    await world.text("Hello?")
    await expect(row).to_contain_text("Hello?")
    await expect(tick_box).to_be_checked()
    await tick_box.uncheck()

    rows = sam.threads
    count = await rows.count()
    for n in range(2):
        await sam.page.get_by_role("checkbox", name=re.compile("^Select ")).nth(n).check()
    await views.get_by_label("Snooze").select_option(label="Until the lead writes")
    await views.get_by_role("button", name="Apply").click()
    await expect(rows).to_have_count(count - 2)
    await expect(views.get_by_role("link", name="Snoozed 2")).to_be_visible()
    await expect(sam.page.get_by_role("checkbox", name=re.compile("^Select "), checked=True)).to_have_count(0)
    await expect(sam.page.get_by_role("heading", level=1)).to_have_text("Jane Miller")

    await work.get_by_role("button", name="Mark as unread").click()
    await expect(row).to_contain_text("1 unread")
    await expect(views.get_by_role("link", name="Unread 1")).to_be_visible()
    assert await stayed()


async def test_many_conversations_are_chosen_without_a_script(
    enter: Enter, idle_world: World, resources: Resources
) -> None:
    await fill_inbox(resources, idle_world, 12)
    sam = await enter(viewport=ViewportSize(width=390, height=844), java_script_enabled=False)
    await sam.open("/conversations?view=waiting")
    views = sam.page.get_by_role("navigation", name="Views")
    await views.get_by_text("Select", exact=True).click()
    await take_picture(sam.page, "together-phone")
    await sam.page.get_by_role("checkbox", name=re.compile("^Select ")).first.check()
    await views.get_by_label("New status").select_option(label="Completed")
    await views.get_by_role("button", name="Apply").click()
    await expect(views.get_by_role("link", name=re.compile("^Waiting"))).to_have_text("Waiting 11")

"""The leads pages and the first steps in a real browser: at five sizes, light and dark, by keyboard alone."""

from typing import Literal

import pytest
from playwright.async_api import ViewportSize, expect

from app.resources import Resources
from tests.browser.conftest import Enter, Person, take_picture
from tests.browser.inbox import fill_inbox, fill_thread
from tests.browser.test_looks import COLOURS, EVERYTHING, LONG_WORD, findings
from tests.browser.test_looks import SIZES as SIZE_RULES
from tests.world import World

SIZES = {
    "desk": ViewportSize(width=1440, height=900),
    "laptop": ViewportSize(width=1280, height=720),
    "tablet": ViewportSize(width=1024, height=600),
    "phone": ViewportSize(width=390, height=844),
    "zoomed": ViewportSize(width=720, height=450),  # a screen of 1440 by 900 at 200 %
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
ASKED = {
    ("desk", "light"): EVERYTHING,
    ("desk", "dark"): COLOURS,
    ("phone", "light"): SIZE_RULES,
    ("zoomed", "dark"): SIZE_RULES,
}
"""What axe-core is asked: in the dark only the colours are others, on a small screen only the sizes."""


async def is_for_everybody(person: Person, name: str) -> list[str]:
    found = []
    for size, viewport in SIZES.items():
        await person.page.set_viewport_size(viewport)
        for scheme in SCHEMES:
            await person.page.emulate_media(color_scheme=scheme)
            await take_picture(person.page, f"{name}-{size}-{scheme}", full_page=size == "desk")
            found += [
                f"{name} {size} {scheme}: {finding}"
                for finding in await findings(person.page, ASKED.get((size, scheme)))
            ]
    return found


async def test_leads_and_first_steps_are_for_everybody_at_every_size(
    enter: Enter, world: World, resources: Resources
) -> None:
    sam, tenant = await enter(), world.tenant
    found = []
    for path, name in (("/conversations", "start-empty"), ("/start", "start"), ("/leads?search=nobody", "leads-none")):
        await sam.open(path)
        found += await is_for_everybody(sam, name)
        if name == "start-empty":
            await sam.page.set_viewport_size(SIZES["tablet"])
            await expect(sam.page.get_by_role("heading", name="First steps")).to_be_in_viewport()
    lead = await tenant.lead(
        firstName="Amara",
        lastName="Okafor",
        email="amara.okafor@example.com",
        campaignId=world.campaign["campaignId"],
        timezone="America/New_York",
        tags=["solar", "far west", "called twice"],
        customFields={"plan": "gold", "monthlyBill": 120, "owner": True},
        questionnaire=[{"key": "owner", "question": "Do you own your home?", "answer": "yes, since 2011"}],
    )
    twin = await tenant.lead(firstName="A.", lastName="Okafor", tags=["west"])
    stopped = await tenant.lead(firstName="Stan", lastName=LONG_WORD, isTest=True)
    await tenant.campaign(name="Roofs in the south-west, the second wave of autumn, for owners with batteries")
    await tenant.call("PUT", f"/leads/{stopped['leadId']}/dnc", {"channels": ["sms"], "reason": "Asked on the phone"})
    await world.send("Hi Amara!", leadId=lead["leadId"])
    await fill_inbox(resources, world, 60)
    here = f"/leads/{lead['leadId']}"
    for path, name in (
        ("/leads", "leads"),
        ("/leads?search=lead&contact=allowed&tag=solar", "leads-narrowed"),
        (here, "lead"),
        (f"/leads/{stopped['leadId']}", "lead-stopped"),
        ("/leads/_new", "lead-new"),
        (f"{here}/do-not-contact", "lead-consent"),
        (f"{here}/consents", "lead-ledger"),
        (f"{here}/erase", "lead-erase"),
        (f"{here}/merge", "lead-find"),
        (f"{here}/merge?from={twin['leadId']}", "lead-merge"),
        (f"/settings/accounts/{world.account['accountId']}", "carrier-account"),
        (f"/settings/agents/{world.smsagent['smsAgentId']}", "agent"),
    ):
        response = await sam.open(path)
        assert response.status == 200, path
        found += await is_for_everybody(sam, name)
    assert found == []


async def test_a_thread_is_printed_from_first_to_last(enter: Enter, world: World, resources: Resources) -> None:
    thread: str = (await world.send("Text 1"))["interactionId"]
    await fill_inbox(resources, world, 20)
    await fill_thread(resources, thread, 45)
    sam = await enter(viewport=SIZES["laptop"], color_scheme="dark")
    await sam.open(f"/conversations/{thread}")
    await sam.page.emulate_media(media="print")
    await expect(sam.texts).to_have_count(45)
    for part in (sam.threads.first, sam.box, sam.page.get_by_role("navigation", name="Pages")):
        await expect(part).to_be_hidden()
    await expect(sam.page.get_by_role("complementary", name="Contact")).to_be_visible()
    await take_picture(sam.page, "print", full_page=True)
    heights = "[document.documentElement.scrollHeight, document.querySelector('.texts').scrollHeight]"
    page_height, texts_height = await sam.page.evaluate(heights)
    assert page_height > texts_height > 45 * 20, "nothing scrolls in a box of its own"
    assert await sam.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("script", [True, False])
async def test_a_lead_is_found_added_and_corrected_by_keyboard_alone(
    idle_world: World, enter: Enter, script: bool
) -> None:
    sam = await enter(java_script_enabled=script)
    page, press = sam.page, sam.page.keyboard.press

    async def tab_to(name: str) -> None:
        for _ in range(60):
            await press("Tab")
            focused = page.locator(":focus")
            words = await focused.evaluate("(one) => one.labels?.[0]?.innerText ?? one.ariaLabel ?? one.innerText")
            if words and words.strip().startswith(name):
                outline = await focused.evaluate("(one) => getComputedStyle(one).outlineStyle")
                assert outline != "none", f"nobody sees where the focus is: {name}"
                return
        raise AssertionError(f"nobody gets to {name} by Tab")

    await sam.open("/leads")
    await press("Tab")
    await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    await press("Enter")
    await tab_to("Add a lead")
    await press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("New lead")
    for field, words in (("First name", "Ann"), ("Phone", "12"), ("Tags", "solar, west")):
        await tab_to(field)
        await page.keyboard.type(words)
    await press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("Lead: Phone")
    await page.get_by_role("link", name="Lead: Phone").focus()
    await press("Enter")
    phone = page.get_by_role("textbox", name="Phone")
    await phone.focus()
    await press("ControlOrMeta+a")
    await page.keyboard.type("(212) 555-0187")
    await press("Enter")
    await expect(page.get_by_role("status").first).to_have_text("The lead was added.")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ann")
    if script:
        copy = page.get_by_role("button", name="Copy the id")
        await copy.focus()
        await press("Enter")
        await expect(copy).not_to_have_text("Copy", use_inner_text=True)
    await tab_to("Do not contact…")
    await press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Do not contact Ann")
    await tab_to("Texts")
    await press("Space")
    await tab_to("Save")
    await press("Enter")
    await expect(page.get_by_text("May not be texted")).to_be_visible()
    sam.complaints.clear()  # the browser's console notes the one answer that was a refusal

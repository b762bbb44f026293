"""The settings in a real browser: for people with screen readers, small screens, no script."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Enter, Person, take_picture
from tests.browser.test_looks import DESK, EVERYTHING, PHONE, findings
from tests.world import World

LOOKS = {
    "desk-light": {"color_scheme": "light", "viewport": DESK},
    "phone-dark": {"color_scheme": "dark", "viewport": PHONE},
}
ASKED: dict[str, dict[str, object]] = {
    "desk-light": EVERYTHING,
    "phone-dark": {"runOnly": ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"]},
}
"""What axe-core is asked: on a dark phone only colours and sizes are others."""


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_of_the_settings_is_for_everybody(idle_world: World, enter: Enter, look: str) -> None:
    world, sam = idle_world, await enter(**LOOKS[look])
    await world.tenant.call("POST", "/canned-replies", {"title": "Hours", "text": "From 9 to 5."})
    hook = await world.tenant.call("POST", "/webhook-endpoints", {"url": "https://backend.example.com"})
    agent = world.smsagent["smsAgentId"]
    paths = [
        "/account", "/settings/general", "/settings/people", "/settings/people/new",
        "/settings/accounts", "/settings/accounts/new", "/settings/accounts/new?provider=vonage",
        f"/settings/accounts/{world.account['accountId']}",
        f"/settings/numbers/{world.number['phoneNumberId']}",
        f"/settings/agents/{agent}", f"/settings/agents/{agent}/shadow",
        f"/settings/campaigns/{world.campaign['campaignId']}",
        "/settings/keys", "/settings/keys/new", "/settings/canned", "/settings/canned/new",
        "/settings/webhooks", "/settings/webhooks/new", f"/settings/webhooks/{hook['endpointId']}",
        f"/settings/webhooks/{hook['endpointId']}/deliveries", "/settings/audit", "/notices",
        "/settings/trials/new", "/settings/experiments", f"/settings/experiments/new?agent={agent}",
    ]  # fmt: skip
    for path in paths:
        response = await sam.open(path)
        assert response.status == 200, path
        name = re.sub(r"\w+_\w+", "one", path.strip("/")).translate(str.maketrans("/?=", "---"))
        await take_picture(sam.page, f"page-{name}-{look}", full_page=True)
        assert await findings(sam.page, ASKED[look]) == [], path


@pytest.mark.parametrize("script", [True, False])
async def test_a_refused_form_leads_to_what_is_to_be_put_right(idle_world: World, enter: Enter, script: bool) -> None:
    sam = await enter(java_script_enabled=script)
    page = sam.page
    await sam.open(f"/settings/agents/{idle_world.smsagent['smsAgentId']}")
    window = page.get_by_role("textbox", name="Collect texts for")
    await window.fill("soon")
    await page.get_by_role("textbox", name="Name").fill("Renamed")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("Turns: Collect texts for")
    await expect(window).to_have_value("soon")
    await expect(window).to_have_accessible_description("Counted from the newest text. 1 to 60. "
                                                        "Must be a valid number.")  # fmt: skip
    if script:
        assert await findings(page, {}) == []
    await page.get_by_role("link", name="Turns: Collect texts for").click()
    await window.fill("2")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_have_text("Saved.")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Renamed")
    # The browser's console notes the one answer that was a refusal.
    assert all("400" in complaint for complaint in sam.complaints)
    sam.complaints.clear()


async def test_a_key_is_shown_once_whatever_is_clicked(idle_world: World, sam: Person) -> None:
    page = sam.page
    await sam.open("/settings/keys/new")
    await page.get_by_role("textbox", name="Name").fill("CRM")
    await page.get_by_role("button", name="Add").dblclick()
    shown = page.get_by_role("status", name="API key")
    await expect(shown).to_contain_text("lss_")
    assert await findings(page, {}) == []
    await page.get_by_role("link", name="Continue").click()
    await expect(page.get_by_role("link", name="CRM")).to_have_count(1)


@pytest.mark.parametrize("script", [True, False])
async def test_a_canned_reply_is_put_into_the_box(idle_world: World, enter: Enter, script: bool) -> None:
    world, sam = idle_world, await enter(java_script_enabled=script)
    await world.tenant.call("POST", "/canned-replies", {"title": "Hours", "text": "From 9\nto 5."})
    sent = await world.send("Hi Jane")
    await sam.open(f"/conversations/{sent['interactionId']}")
    if script:
        await sam.box.fill("Hi! ")
    await sam.page.get_by_text("Replies", exact=True).click()
    await sam.page.get_by_text("Hours", exact=True).click()
    await expect(sam.box).to_have_value(("Hi! " if script else "") + "From 9\nto 5.")

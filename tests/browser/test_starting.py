"""Conversations that people start, and what they narrow, correct and send there."""

import re
import struct
import zlib

from playwright.async_api import FilePayload, expect

from tests.browser.conftest import Person
from tests.world import World


def draw_png(width: int, height: int) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x0b\x6e\x63" * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def test_a_person_finds_a_lead_sees_who_sends_and_starts_the_conversation(sam: Person, world: World) -> None:
    lead = await world.tenant.lead(firstName="Nora", lastName="New", campaignId=world.campaign["campaignId"])
    await sam.open("/conversations")
    await sam.page.get_by_role("link", name="New conversation").click()
    await sam.page.get_by_role("searchbox", name="To whom?").fill("nora")
    await sam.page.keyboard.press("Enter")
    await sam.page.get_by_role("main").get_by_role("link", name="Nora New").click()
    why = sam.page.locator("#resolution")
    await expect(why).to_contain_text("because it is the number of the agent of the campaign “Campaign”.")
    sender = sam.page.get_by_role("combobox", name="From")
    await sender.select_option(world.ours)
    await expect(why).to_contain_text("because you chose it.")
    await sender.select_option("")
    await expect(why).to_contain_text("the number of the agent")
    await sam.box.fill("Hi Nora, shall we talk?")
    await expect(sam.page.locator("#counter")).to_contain_text("1 segment")
    await sam.page.get_by_role("link", name="Conversations", exact=True).click()
    await expect(sam.box).to_have_count(0)
    await sam.page.go_back()
    await expect(sam.box).to_have_value("Hi Nora, shall we talk?")  # a draft is not lost
    await sam.page.get_by_role("button", name="Send", exact=True).click()
    await expect(sam.text("Hi Nora, shall we talk?")).to_contain_text("Delivered")
    await expect(sam.threads.first).to_contain_text("Nora New")
    assert world.carrier.received(lead["phone"]) == ["Hi Nora, shall we talk?"]
    await sam.open(f"/conversations/new?lead={lead['leadId']}")
    await expect(sam.box).to_have_value("")
    await expect(sam.page.get_by_role("main")).to_contain_text("Conversations so far")


async def test_a_new_number_becomes_a_lead_with_the_keyboard_alone(sam: Person, world: World) -> None:
    await sam.open("/conversations/new")
    await expect(sam.page.get_by_role("searchbox", name="To whom?")).to_be_focused()
    await sam.page.keyboard.type("(212) 555-0187")
    await sam.page.keyboard.press("Enter")
    await sam.page.get_by_role("textbox", name="First name").press("A")
    await sam.page.keyboard.type("da")
    await sam.page.keyboard.press("Enter")
    await expect(sam.page.get_by_role("heading", name="New conversation with Ada")).to_be_visible()
    await expect(sam.box).to_be_focused()
    await sam.page.keyboard.type("Hello")
    await sam.page.keyboard.press("Enter")
    await expect(sam.text("Hello")).to_be_visible()
    await expect(sam.page.get_by_role("complementary", name="Contact")).to_contain_text("Ada")


async def test_filters_combine_and_each_is_taken_away_and_a_search_finds_leads_too(sam: Person, world: World) -> None:
    await world.send()
    other = await world.tenant.campaign(name="Roofs")
    bob = await world.tenant.lead(firstName="Bob", lastName="Roof", campaignId=other["campaignId"])
    await world.send(leadId=bob["leadId"])
    await world.tenant.lead(firstName="Bobby", lastName="Nothread")
    await sam.open("/conversations")
    campaign = sam.page.get_by_role("combobox", name="Campaign", exact=True)
    await campaign.select_option(label="Roofs")
    await expect(sam.threads).to_have_count(1)
    await sam.page.get_by_role("combobox", name="Another campaign").select_option(label="Campaign")
    await expect(sam.threads).to_have_count(2)
    await expect(campaign).to_have_value(re.compile(","))
    await sam.page.get_by_role("combobox", name="Status filter").select_option(label="In progress")
    filters = sam.page.get_by_role("list", name="Active filters")
    await expect(filters.get_by_role("listitem")).to_have_count(3)
    await filters.get_by_role("link", name="Remove Campaign: Campaign").click()
    await expect(sam.threads).to_have_count(1)
    await expect(sam.threads).to_contain_text("Bob Roof")
    await sam.page.get_by_role("link", name="Clear").click()
    await sam.page.get_by_role("searchbox", name="Search").fill("bob")
    await sam.page.keyboard.press("Enter")
    await expect(sam.threads).to_have_count(1)
    lonely = sam.page.get_by_role("navigation", name="Leads without a conversation").get_by_role("link")
    await expect(lonely).to_have_count(1)
    await lonely.click()
    await expect(sam.page.get_by_role("heading", name="New conversation with Bobby Nothread")).to_be_visible()


async def test_a_person_sends_a_picture_and_sees_it(sam: Person, world: World) -> None:
    path = f"/phone-numbers/{world.number['phoneNumberId']}"
    await world.tenant.call("PATCH", path, {"capabilities": ["sms", "mms"]})
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    await sam.page.get_by_text("Attach", exact=True).click()
    picture = FilePayload(name="roof.png", mimeType="image/png", buffer=draw_png(160, 90))
    large = FilePayload(name="film.mp4", mimeType="video/mp4", buffer=bytes(1_200_000))
    await sam.page.get_by_label("Files", exact=True).set_input_files([picture, large])
    chosen = sam.page.get_by_role("list", name="Chosen files")
    await expect(chosen.get_by_role("listitem")).to_have_count(2)
    await expect(chosen.locator("canvas")).to_have_count(1)
    await expect(sam.page.locator("#carries")).to_have_text("The files have 1.2 MB. This number carries up to 1 MB.")
    await chosen.get_by_role("button", name="Remove film.mp4").click()
    await expect(sam.page.locator("#carries")).to_contain_text("together 1 MB")
    await sam.box.fill("Your roof")
    await sam.page.get_by_role("button", name="Send", exact=True).click()
    image = sam.text("Your roof").get_by_role("img", name="Attachment 1")
    await expect(image).to_be_visible()
    await sam.becomes("document.querySelector('.media img').naturalWidth === 160")
    await expect(sam.text("Your roof")).to_contain_text("Delivered")


async def test_a_person_corrects_an_answer_and_reads_what_happened_and_by_whom(sam: Person, world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    world.agent.answers = [(200, {"handoff": True, "reason": "the lead is angry"})]
    await world.text("Grr")
    await world.turn_is(thread, "handed_off")
    await sam.read(thread)
    contact = sam.page.get_by_role("complementary", name="Contact")
    await contact.get_by_text("Correct", exact=True).click()
    await contact.get_by_role("textbox", name="Answer: Do you own your home?").fill("no, rented")
    await contact.get_by_role("button", name="Save").first.click()
    await expect(contact).to_contain_text("no, rented")
    await expect(contact.locator(".answers")).to_contain_text("sam · ")
    await contact.get_by_text("History").click()
    await expect(contact).to_contain_text("The agent handed over to a person: the lead is angry")
    await sam.page.get_by_role("combobox", name="Status", exact=True).select_option(label="Do not contact")
    await contact.get_by_text("Consent record").click()
    await expect(contact.locator("[data-key=consent]")).to_contain_text(sam.email)
    lead = await world.tenant.call("GET", f"/leads/{world.lead['leadId']}")
    assert lead["questionnaire"][0]["answer"] == "no, rented"

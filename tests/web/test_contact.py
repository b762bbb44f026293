"""The contact panel: who the lead is, what it answered, and what it said about being texted."""

from html import unescape

from tests.web.people import Browser
from tests.world import World


async def panel(sam: Browser, thread: str) -> str:
    page = await sam.page(f"/conversations/{thread}")
    return unescape(page.split('aria-label="Contact"')[1].split("</aside>")[0])


async def test_the_questionnaire_shows_answers_and_what_is_still_to_ask(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    shown = await panel(sam, sent["interactionId"])
    assert "<dt>Do you own your home?</dt><dd>yes</dd>" in shown
    assert '<dt>How high is your bill?</dt><dd class="quiet">Not answered yet</dd>' in shown
    assert "May be contacted" in shown


async def test_do_not_contact_is_told_with_its_causes_reason_and_history(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    lead = f"/leads/{idle_world.lead['leadId']}/dnc"
    await idle_world.tenant.call("PUT", lead, {"channels": ["sms", "phone"], "reason": "asked on the phone"})
    await idle_world.text("STOP <now>")
    await idle_world.text("STOP")
    shown = await panel(sam, sent["interactionId"])
    assert "Texts are blocked" in shown
    assert "the lead opted out, blocked by a person" in shown
    assert "Reason: asked on the phone" in shown
    assert "Calls: not allowed" in shown
    assert "Consent record" in shown
    assert "<strong>Opted out</strong> <q>STOP</q>" in shown
    assert shown.index("Opted out") < shown.index("Blocked"), "the newest first"


async def test_other_threads_of_the_lead_are_one_click_away(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    other = await idle_world.tenant.number(providerAccountId=idle_world.account["accountId"])
    elsewhere = await idle_world.send(**{"from": other["phoneNumber"]})
    shown = await panel(sam, sent["interactionId"])
    assert f'href="/conversations/{elsewhere["interactionId"]}"' in shown
    assert f'href="/conversations/{sent["interactionId"]}"' not in shown


async def test_a_person_blocks_texts_with_a_reason_and_allows_them_again(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    here = f"/conversations/{sent['interactionId']}"
    answer = await sam.submit(await sam.page(here), "/do-not-contact", texts="block", reason="sold the house")
    assert answer.status_code == 303
    shown = await panel(sam, sent["interactionId"])
    assert "blocked by a person" in shown
    assert "<q>sold the house</q>" in shown
    assert (await idle_world.thread(sent["interactionId"]))["status"] == "dnc"
    await idle_world.tenant.call("PUT", f"/leads/{idle_world.lead['leadId']}/dnc", {"channels": ["sms", "email"]})
    await sam.submit(await sam.page(here), "/do-not-contact", texts="allow")
    shown = await panel(sam, sent["interactionId"])
    assert "Texts are blocked" not in shown
    assert "E-mail: not allowed" in shown
    assert (await idle_world.thread(sent["interactionId"]))["status"] == "in_progress"


async def test_what_the_lead_asked_for_itself_no_hand_lifts(sam: Browser, idle_world: World) -> None:
    sent = await idle_world.send()
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    await idle_world.text("STOP")
    answer = await sam.submit(page, "/do-not-contact", texts="allow")
    assert answer.status_code == 409
    shown = await panel(sam, sent["interactionId"])
    assert "Texts are blocked" in shown
    assert "Only Jane can allow texts again, by sending START." in shown
    assert "Allow" not in shown

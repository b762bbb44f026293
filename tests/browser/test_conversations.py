"""The Conversations page as people use it."""

import asyncio
import re
from base64 import b64decode
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Route, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from app.domain import segments
from app.resources import Resources
from tests.browser.conftest import ZONE, Enter, Person, take_picture
from tests.browser.inbox import fill_thread
from tests.makers import phone
from tests.world import World, served, until


async def test_four_steps_lead_from_the_list_to_the_leads_phone(sam: Person, world: World) -> None:
    await world.send("Hi Jane, is now a good time?")
    await sam.open("/conversations")
    await sam.threads.filter(has_text="Jane Miller").click()
    await sam.page.get_by_role("combobox", name="From").select_option(world.ours)
    await sam.box.fill("Sam here. Shall I call at five?")
    await sam.page.get_by_role("button", name="Send", exact=True).click()
    bubble = sam.text("Shall I call at five?")
    await expect(bubble).to_contain_text("sam")
    await expect(bubble).to_contain_text("Delivered")
    await expect(sam.box).to_be_focused()
    assert world.carrier.received(world.phone)[-1] == "Sam here. Shall I call at five?"


async def test_a_burst_appears_by_itself_the_countdown_runs_and_the_agent_answers(sam: Person, demo: World) -> None:
    thread = (await demo.send(agentMode=True))["interactionId"]
    await sam.read(thread)
    await expect(sam.state).to_have_text("The agent is waiting for the lead.")
    stayed = await sam.same_page()
    await sam.page.evaluate(LISTEN)
    for text in ("Hi!", "yes, I have a question", "do I need to own my home?"):
        await demo.text(text)
    await expect(sam.text("do I need to own my home?")).to_be_visible()
    answer = sam.text("the roof has to be yours")
    await expect(answer).to_contain_text("AI agent")
    await expect(answer).to_contain_text("Delivered")
    await expect(sam.state).to_have_text("The agent is waiting for the lead.")
    assert len(await demo.turns(thread)) == 1
    said = " / ".join(await sam.page.evaluate("window.said"))
    seconds = [int(n) for n in re.findall(r"Collecting texts for the agent · (\d) s", said)]
    assert seconds[-1] < max(seconds) <= 4, said
    assert await stayed()


LISTEN = """() => {
    window.said = [];
    setInterval(() => {
        const now = document.querySelector('[aria-label="Agent state"]').textContent;
        if (now !== window.said.at(-1)) window.said.push(now);
    }, 20);
}"""


async def test_a_dropped_connection_misses_nothing(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    stayed = await sam.same_page()
    await sam.page.context.set_offline(True)
    await world.text("Are you there?")
    await sam.page.evaluate("dispatchEvent(new Event('focus'))")  # comes back to the window
    lost = sam.page.get_by_role("status", name="Connection")
    await expect(lost).to_be_visible()
    await expect(sam.text("Are you there?")).to_have_count(0)
    await sam.page.context.set_offline(False)
    await expect(sam.text("Are you there?")).to_be_visible()
    await expect(lost).to_be_hidden()
    await world.text("And still?")
    await expect(sam.text("And still?")).to_be_visible()
    assert await stayed()
    assert all("ERR_INTERNET_DISCONNECTED" in said for said in sam.complaints)
    sam.complaints.clear()


async def test_what_happens_while_the_page_is_looking_is_not_missed(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    await until_settled(world, thread)
    await sam.read(thread)
    looked, heard = asyncio.Event(), asyncio.Event()

    async def slowly(route: Route) -> None:
        seen = await route.fetch()
        looked.set()
        await heard.wait()
        await route.fulfill(response=seen)

    await sam.becomes("stream.readyState === 1 && !isFetching && timer === null")
    await sam.page.route("**/conversations/changes?*", slowly, times=1)
    await world.text("First")
    await looked.wait()
    await sam.page.evaluate("stream.addEventListener('message', () => { window.heard = true; })")
    await world.text("Second")
    await sam.becomes("window.heard")
    heard.set()
    await expect(sam.text("First")).to_be_visible()
    await expect(sam.text("Second")).to_be_visible()


async def test_a_text_of_which_the_page_did_not_hear_comes_with_the_next_one(
    sam: Person, world: World, resources: Resources
) -> None:
    thread = (await world.send())["interactionId"]
    await until_settled(world, thread)
    await sam.read(thread)
    await sam.becomes("stream.readyState === 1 && !isFetching && timer === null")
    await sam.page.evaluate("() => { stream.onmessage = () => { window.missed = true; }; }")
    await fill_thread(resources, thread, 2)
    await sam.becomes("window.missed")
    await sam.page.evaluate("() => { stream.onmessage = handleEvent; }")
    await world.text("After the gap")
    await expect(sam.text("After the gap")).to_be_visible()
    await expect(sam.text("Text 2.")).to_be_visible()


async def test_status_and_agent_mode_are_set_with_the_mouse_and_with_keys(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    status = sam.page.get_by_role("combobox", name="Status", exact=True)
    await expect(status.get_by_role("option")).to_have_count(7)
    await status.select_option(label="Follow up")
    await expect(sam.threads.first).to_contain_text("Follow up")
    await expect(sam.page.get_by_role("heading", name="Needs a person")).to_be_visible()
    await status.focus()
    await sam.page.keyboard.press("q")  # chooses the word that begins so
    confirm = sam.page.get_by_role("button", name="Set", exact=True)
    await expect(confirm).to_be_visible()
    await sam.box.focus()  # thinks better of it
    await expect(confirm).to_be_hidden()
    await expect(status).to_have_value("follow_up")
    await status.focus()
    await sam.page.keyboard.press("q")
    await expect(confirm).to_be_visible()
    await confirm.press("Enter")
    await expect(sam.threads.first).to_contain_text("Qualified")
    await expect(sam.switch).to_have_attribute("aria-checked", "false")
    knob = "track => { const at = getComputedStyle(track, '::after'); return [at.left, at.right]; }"
    assert await sam.switch.locator(".track").evaluate(knob) == ["4px", "20px"]  # off; on, it slides by its own 16
    await sam.switch.press("Space")
    await expect(sam.switch).to_have_attribute("aria-checked", "true")
    assert await sam.switch.evaluate(KNOB_LEFT) == "4px"
    await expect(sam.state).to_have_text("The agent is waiting for the lead.")
    await sam.switch.click()
    await expect(sam.state).to_have_text("The agent is off.")
    seen = await world.thread(thread)
    assert (seen["status"], seen["sms"]["agentMode"]) == ("qualified", False)


KNOB_LEFT = "button => getComputedStyle(button.querySelector('.track'), '::after').left"


async def test_a_script_in_a_text_a_name_or_an_address_of_an_attachment_stays_text(sam: Person, world: World) -> None:
    script = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
    path = f"/leads/{world.lead['leadId']}"
    await world.tenant.call("PATCH", path, {"firstName": script[:100], "lastName": "{{ 7 * 7 }}"})
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    media = [{"url": f"javascript:window.ran=1//\"'>{script}", "contentType": "text/html"}]
    assert await world.carrier.text(world.phone, world.ours, f"Look: {script}", media) == 200
    bubble = sam.text("Look: ")
    await expect(bubble).to_contain_text(script)
    await expect(sam.page.get_by_role("heading", level=1)).to_contain_text("window.ran")
    await expect(sam.page.get_by_role("heading", level=1)).to_contain_text("{{ 7 * 7 }}")
    for link in await bubble.get_by_role("link").all():
        assert (await link.get_attribute("href") or "").startswith(f"/conversations/{thread}/")
    assert await sam.page.evaluate("window.ran") is None
    assert await sam.page.locator("script:not([src]), article img").count() == 0


async def test_a_picture_that_the_lead_sent_is_seen_without_asking_its_host_from_the_browser(
    sam: Person, world: World
) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    asked: list[str] = []
    sam.page.on("request", lambda request: asked.append(request.url))

    async def picture(_: Request) -> Response:
        return Response(PIXEL, media_type="image/png")

    async with served(Starlette(routes=[Path("/roof.png", picture)])) as elsewhere:
        media = [{"url": f"{elsewhere}/roof.png", "contentType": "image/png"}]
        assert await world.carrier.text(world.phone, world.ours, "My roof", media) == 200
        shown = sam.text("My roof").get_by_role("img", name="Attachment 1")
        await expect(shown).to_be_visible()
        await expect(shown).to_have_js_property("naturalWidth", 1)
    assert any(f"/conversations/{thread}/texts/" in url for url in asked)
    assert not any(url.startswith(elsewhere) for url in asked)


PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")


async def test_two_people_in_one_thread_see_each_other_and_keep_their_drafts(
    sam: Person, enter: Enter, world: World
) -> None:
    ann = await enter("ann@example.com")
    thread = (await world.send())["interactionId"]
    for one in (sam, ann):
        await one.read(thread)
    await ann.box.fill("Half a sentence")
    stayed = await ann.same_page()
    await sam.box.fill("I take this one.")
    await sam.box.press("Enter")
    await expect(ann.text("I take this one.")).to_contain_text("sam")
    await expect(ann.box).to_have_value("Half a sentence")
    await expect(ann.box).to_be_focused()
    await sam.page.get_by_role("combobox", name="Status", exact=True).select_option("qualified")
    menu = ann.page.get_by_role("combobox", name="Status", exact=True)
    await expect(menu).to_have_value("qualified")
    assert await stayed()
    await ann.open("/conversations")
    await ann.threads.first.click()
    await expect(ann.box).to_have_value("Half a sentence")


async def test_enter_sends_once_and_shift_enter_breaks_the_line(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    await sam.box.press_sequentially("One")
    await sam.box.press("Shift+Enter")
    await sam.box.press_sequentially("two")
    await sam.page.evaluate(
        """() => {
            const box = document.querySelector('[name=message]');
            for (let n = 0; n < 5; n += 1) box.dispatchEvent(
                new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true}));
        }"""
    )
    await expect(sam.text("One\ntwo")).to_contain_text("Delivered")
    await expect(sam.box).to_have_value("")
    said = [entry["message"] for entry in (await world.thread(thread))["transcript"]]
    assert said == ["Hi Jane", "One\ntwo"]


async def test_enter_that_ends_an_input_method_sends_nothing(sam: Person, world: World) -> None:
    await sam.read((await world.send())["interactionId"])
    await sam.box.fill("日本")
    for event in ({"isComposing": True}, {"keyCode": 229}, {"isComposing": True, "keyCode": 229}):
        is_prevented = await sam.page.evaluate(
            """(init) => !document.querySelector('[name=message]').dispatchEvent(
                new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true, ...init}))""",
            event,
        )
        assert not is_prevented
    await expect(sam.box).to_have_value("日本")
    await sam.box.press("Enter")
    await expect(sam.text("日本")).to_be_visible()


async def test_each_text_and_name_runs_in_its_own_direction(sam: Person, world: World) -> None:
    await world.tenant.call("PATCH", f"/leads/{world.lead['leadId']}", {"firstName": "שרה", "lastName": "כהן"})
    await sam.read((await world.send("Hello"))["interactionId"])
    await world.text("مرحبا, how are you?")
    await expect(sam.text("مرحبا")).to_be_visible()
    find_direction = "(one) => getComputedStyle(one).direction"
    for place, words in (
        (sam.threads, "שרה כהן"),
        (sam.threads, "مرحبا, how are you?"),
        (sam.page.get_by_role("heading", level=1), "שרה כהן"),
        (sam.page.get_by_role("complementary", name="Contact"), "שרה כהן"),
        (sam.texts, "مرحبا, how are you?"),
    ):
        innermost = place.get_by_text(words).last
        assert await innermost.evaluate(find_direction) == "rtl", words
    assert await sam.text("Hello").get_by_text("Hello").last.evaluate(find_direction) == "ltr"
    for words, direction in (("שלום", "rtl"), ("Hello", "ltr")):
        await sam.box.fill(words)
        assert await sam.box.evaluate(find_direction) == direction


async def test_a_text_shows_at_once_and_one_that_cannot_be_sent_stays_with_a_way_to_try_again(
    sam: Person, world: World
) -> None:
    thread = (await world.send())["interactionId"]
    send = sam.page.get_by_role("button", name="Send", exact=True)
    await sam.read(thread)
    stayed = await sam.same_page()
    answered = asyncio.Event()

    async def wait(route: Route) -> None:
        await answered.wait()
        await route.continue_()

    await sam.page.route("**/texts*", wait, times=1)
    await sam.box.fill("Taken")
    await send.click()
    await expect(sam.text("Taken")).to_contain_text("Sending")
    await expect(sam.box).to_have_value("")
    await expect(sam.box).to_be_focused()
    await sam.box.fill("And the next")
    await send.click()
    answered.set()
    await expect(sam.text("And the next")).to_contain_text("Delivered")
    assert [text["message"] for text in (await world.thread(thread))["transcript"]][1:] == ["Taken", "And the next"]
    await sam.page.context.set_offline(True)
    await expect(sam.page.get_by_role("status", name="Connection")).to_be_visible()
    await sam.box.fill("Not lost")
    await send.click()
    failed = sam.text("Not lost")
    await expect(failed).to_contain_text("Not sent")
    await sam.page.context.set_offline(False)
    await expect(sam.page.get_by_role("status", name="Connection")).to_be_hidden()
    await failed.get_by_role("button", name="Try again").click()
    await expect(sam.text("Not lost")).to_contain_text("Delivered")
    await expect(sam.text("Not lost")).to_have_count(1)
    await sam.page.context.set_offline(True)
    await sam.box.fill("A draft after a reload")
    await send.click()
    await expect(sam.text("A draft after a reload")).to_contain_text("Not sent")
    await sam.page.context.set_offline(False)
    assert await stayed()
    await sam.page.reload()
    await expect(sam.box).to_have_value("A draft after a reload")
    sam.complaints.clear()  # the browser tells of what failed


async def test_a_text_whose_answer_is_lost_leaves_once(sam: Person, world: World) -> None:
    thread = (await world.send("Yes"))["interactionId"]
    await sam.read(thread)

    async def lose_answer(route: Route) -> None:
        await route.fetch(max_redirects=0)
        await route.abort("connectionreset")

    async def be_away(route: Route) -> None:
        await route.fulfill(status=503, content_type="text/html", body="Away")

    for lose, text in ((lose_answer, "Taken"), (be_away, "Yes")):
        await sam.page.route("**/texts*", lose, times=1)
        await sam.box.fill(text)
        await sam.box.press("Enter")
        await expect(sam.texts.last).to_contain_text("Delivered")
        await expect(sam.page.locator("#unsent article")).to_have_count(0)
    said = [text["message"] for text in (await world.thread(thread))["transcript"]]
    assert said == ["Yes", "Taken", "Yes"]
    sam.complaints.clear()  # the browser tells of both


async def test_a_text_is_undone_and_goes_on_in_the_box_or_leaves_after_its_time(sam: Person, world: World) -> None:
    await world.tenant.call("PATCH", "/settings", {"undoSeconds": 60})
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    await sam.box.fill("A slip")
    await sam.box.press("Enter")
    await expect(sam.text("A slip")).to_contain_text(re.compile(r"Leaves in \d+ s"))
    await take_picture(sam.page, "undo")
    await sam.text("A slip").get_by_role("button", name="Undo").click()
    await expect(sam.box).to_have_value("A slip")
    await expect(sam.box).to_be_focused()
    await expect(sam.text("A slip")).to_have_count(0)
    await world.tenant.call("PATCH", "/settings", {"undoSeconds": 1})
    await sam.box.fill("Meant so")
    await sam.box.press("Enter")
    await expect(sam.text("Meant so")).to_contain_text("Delivered")
    assert world.carrier.received(world.phone)[1:] == ["Meant so"]


COUNTED = [
    "", "a", "a" * 160, "a" * 161, "a" * 306, "a" * 307, "€" * 80, "€" * 81, "^" * 77 + "a" * 153,
    "ж", "ж" * 70, "ж" * 71, "😀" * 35, "😀" * 36, "ж" + "😀" * 100, "it’s", "line\nbreak",
    "ç", "Ç",
]  # fmt: skip


async def test_segments_are_counted_as_one_types_and_as_the_service_counts_them(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    counter = sam.page.locator("#counter")
    await sam.box.fill("a" * 161)
    await expect(counter).to_have_text("2 segments, 145 left")
    await sam.box.fill("It’s on")
    await expect(counter).to_have_text("1 segment, 63 left (because of “’”)")
    await sam.box.fill("a" * 1603)
    await expect(counter).to_have_text("3 characters too many")
    await sam.box.fill("")
    await expect(counter).to_have_text("")
    for text in COUNTED[1:]:
        counted = await sam.page.evaluate("(text) => segments(text)", text)
        known = segments.count(text)
        assert (counted["count"], counted.get("culprit")) == (known.segments, known.culprit), text


async def test_with_smart_encoding_the_counter_counts_what_will_be_sent(sam: Person, world: World) -> None:
    await world.tenant.call("PATCH", "/settings", {"smartEncoding": True})
    await sam.read((await world.send())["interactionId"])
    counter = sam.page.locator("#counter")
    await sam.box.fill("It’s on…")
    await expect(counter).to_have_text("1 segment, 150 left")
    await sam.box.fill("…" * 534)
    await expect(counter).to_have_text("2 characters too many")
    await sam.box.fill("It’s on 😀")
    await expect(counter).to_have_text("1 segment, 60 left (because of “’”)")


async def test_a_text_is_scheduled_by_the_persons_clock_and_cancelled(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    await sam.page.get_by_text("Later", exact=True).click()
    later = (datetime.now(ZoneInfo(ZONE)) + timedelta(days=2)).strftime("%Y-%m-%dT10:00")
    await sam.page.get_by_label("Send at").fill(later)
    await sam.box.fill("See you tomorrow")
    await sam.box.press("Enter")
    waiting = sam.text("See you tomorrow")
    await expect(waiting).to_contain_text(re.compile(r"Will be sent \w+, .*, 10:00 AM"))
    await waiting.get_by_role("button", name="Cancel").click()
    await expect(sam.text("See you tomorrow")).to_have_count(0)
    assert (await world.thread(thread))["scheduled"] == []


async def test_what_the_lead_wrote_meanwhile_is_shown_before_a_text_leaves(enter: Enter, world: World) -> None:
    """Without script, so that the page cannot have shown it."""
    sam = await enter(java_script_enabled=False)
    thread = (await world.send())["interactionId"]
    await sam.open(f"/conversations/{thread}")
    await world.text("Wait, one thing!")
    await sam.box.fill("Bye then")
    await sam.page.get_by_role("button", name="Send", exact=True).click()
    await expect(sam.page.get_by_role("alert")).to_contain_text("The lead wrote since you looked")
    await expect(sam.text("Wait, one thing!")).to_be_visible()
    await expect(sam.box).to_have_value("Bye then")
    sam.complaints.clear()  # the browser tells of the 409
    await sam.page.get_by_role("button", name="Send anyway").click()
    await expect(sam.text("Bye then")).to_be_visible()


async def test_a_text_begun_below_what_the_lead_wrote_leaves_at_once(sam: Person, world: World) -> None:
    await sam.read((await world.send())["interactionId"])
    await world.text("Are you there?")
    await expect(sam.text("Are you there?")).to_be_visible()
    await sam.box.fill("I am")
    await sam.page.get_by_role("button", name="Send", exact=True).click()
    await expect(sam.text("I am")).to_be_visible()


async def test_who_writes_while_the_agent_is_on_may_switch_it_off_with_the_text(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    await sam.read(thread)
    offer = sam.page.get_by_role("checkbox", name="Switch the agent off")
    await expect(offer).to_have_count(0)
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": True})
    await expect(offer).to_be_visible()
    await offer.check()
    await sam.box.fill("I am a person.")
    await sam.box.press("Enter")
    await expect(sam.text("I am a person.")).to_be_visible()
    await expect(sam.switch).to_have_attribute("aria-checked", "false")


async def test_a_held_reply_appears_by_itself_and_is_edited_and_sent(sam: Person, world: World) -> None:
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"staleReply": "hold"})
    thread = (await world.send(agentMode=True))["interactionId"]
    await sam.read(thread)

    async def write_on(_: object) -> None:
        world.agent.meanwhile = None
        await world.text("No wait, two questions")

    world.agent.meanwhile = write_on
    world.agent.answers = [(200, {"reply": "It is free."})]
    await world.text("What does it cost?")
    held = sam.page.get_by_role("textbox", name="Held reply")
    await expect(held).to_have_value("It is free.")
    await expect(sam.threads.first).to_contain_text("Reply held")
    await held.fill("It is free. And the second?")
    await sam.page.get_by_role("button", name="Send it").click()
    await expect(sam.text("And the second?")).to_contain_text("sam for the AI agent")
    await expect(held).to_have_count(0)
    await sam.text("What does it cost?").get_by_role("link", name="Turn").click()
    refused = sam.page.get_by_role("region", name="Refused")
    await expect(refused).to_contain_text("It is free.")
    await expect(refused).to_contain_text("The lead had written again.")
    attempts = sam.page.get_by_role("region", name="Attempts")
    await attempts.get_by_text("Request").click()
    await expect(attempts).to_contain_text('"combinedText": "What does it cost?"')


async def test_an_unclear_text_appears_with_two_buttons_and_is_decided(sam: Person, world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await sam.read(thread)
    stayed = await sam.same_page()
    for text in ("wrong number", "How much is it?"):
        await world.text(text)
    unclear = sam.text("wrong number")
    await expect(unclear).to_contain_text("Possible opt-out")
    await expect(sam.text("How much is it?")).to_contain_text("Waits for your decision")
    await expect(sam.state).to_have_text("The agent waits for your decision: Jane Miller may have opted out.")
    await expect(sam.page.get_by_role("heading", name="Needs a person")).to_be_visible()
    assert await stayed()
    await take_picture(sam.page, "unclear")
    await unclear.get_by_role("button", name="It is not").click()
    await expect(unclear).to_contain_text("Not an opt-out")
    await expect(sam.page.get_by_role("button", name="It is an opt-out")).to_have_count(0)
    told = await world.told(1)
    assert [text["text"] for text in told["message"]["messages"]] == ["wrong number", "How much is it?"]
    await world.text("leave me alone")
    await sam.text("leave me alone").get_by_role("button", name="It is an opt-out").click()
    await expect(sam.page.get_by_role("combobox", name="Status", exact=True)).to_have_value("dnc")
    contact = sam.page.get_by_role("complementary", name="Contact")
    await contact.get_by_text("Undo a mistaken opt-out").click()
    await contact.get_by_role("textbox", name="Reason").first.fill("She meant another company")
    await contact.get_by_role("button", name="Undo").click()
    await expect(contact).to_contain_text("May be contacted")


async def test_an_agent_out_of_reach_is_told_with_the_next_try(sam: Person, world: World) -> None:
    world.agent.answers = [(503, {})] * 3
    thread = (await world.send(agentMode=True))["interactionId"]
    await sam.read(thread)
    await world.text("Hello?")
    words = r"The agent could not be reached \(attempt \d failed\). Next try in \d+ s"
    await expect(sam.state).to_have_text(re.compile(words))


async def test_a_failed_text_says_why_in_words_and_comes_first(sam: Person, world: World) -> None:
    await world.send()
    lead = await world.tenant.lead(firstName="Al", lastName="Bad", phone="+12125550001")
    await sam.open("/conversations")
    sent = await world.send(leadId=lead["leadId"])
    await expect(sam.threads.first).to_contain_text("Al Bad")
    await expect(sam.threads.first).to_contain_text("Not delivered")
    await world.send("Newer")
    await expect(sam.threads.last).to_contain_text("Newer")
    await sam.read(sent["interactionId"])
    await expect(sam.texts.first).to_contain_text("Failed: The recipient's number is not valid.")
    await expect(sam.texts.locator(".why")).to_be_visible()


async def test_a_thread_of_ten_thousand_texts_opens_at_its_end_and_loads_upwards(
    sam: Person, world: World, resources: Resources
) -> None:
    thread = (await world.send("Text 1"))["interactionId"]
    await until_settled(world, thread)
    await fill_thread(resources, thread, 10_000)
    await sam.read(thread)
    await expect(sam.text("Text 10000.")).to_be_in_viewport()
    await expect(sam.texts).to_have_count(50)
    await sam.page.get_by_role("log").press("Home")
    await expect(sam.text("Text 9901.")).to_be_attached()
    await world.text("Newest of all")
    await expect(sam.text("Newest of all")).to_be_attached()
    await expect(sam.text("Newest of all")).not_to_be_in_viewport()
    shown = await sam.texts.locator(".words").all_inner_texts()
    numbers = [int(text[5:-1]) for text in shown[:-1]]
    assert numbers == list(range(numbers[0], 10_001))
    assert len(numbers) in range(100, 1000, 50)
    days = await sam.page.locator(".day").all_inner_texts()
    assert len(days) == len(set(days))
    await sam.page.get_by_role("link", name="New texts").click()
    await expect(sam.text("Newest of all")).to_be_in_viewport()
    await expect(sam.page.get_by_role("link", name="New texts")).to_be_hidden()


async def until_settled(world: World, thread: str) -> None:
    """Nothing of the thread is on its way any more."""

    async def look() -> bool:
        transcript = (await world.thread(thread))["transcript"]
        return all(entry["status"] == "delivered" for entry in transcript)

    await until(look)


async def test_filters_and_search_stand_in_the_address_and_keep_the_thread_open(sam: Person, world: World) -> None:
    thread = (await world.send())["interactionId"]
    other = await world.tenant.lead(firstName="Bob", lastName="Second", phone=phone())
    await world.send("About solar", leadId=other["leadId"])
    await sam.read(thread)
    await expect(sam.threads).to_have_count(2)
    await sam.page.get_by_role("searchbox", name="Search").fill("bob second")  # "bob" may stand in an id
    await sam.page.get_by_role("searchbox", name="Search").press("Enter")
    await expect(sam.threads).to_have_count(1)
    await expect(sam.threads).to_contain_text("Bob Second")
    assert "search=bob+second" in sam.page.url
    assert thread in sam.page.url
    await sam.page.get_by_role("combobox", name="Status filter").select_option("qualified")
    await expect(sam.page.get_by_text("No conversation matches.")).to_be_visible()
    await sam.page.go_back()
    await expect(sam.threads).to_contain_text("Bob Second")
    await sam.page.get_by_role("link", name="Clear").click()
    await expect(sam.threads).to_have_count(2)


async def test_the_filters_are_at_hand_and_act_when_they_are_chosen_from(sam: Person, world: World) -> None:
    await world.send()
    await sam.open("/conversations")
    for name in ("Campaign", "Client", "Offer", "Status filter", "Date range"):
        await expect(sam.page.get_by_role("combobox", name=name, exact=True)).to_be_visible()
    await expect(sam.threads).to_have_count(1)
    await sam.page.get_by_role("combobox", name="Status filter").select_option("qualified")
    await expect(sam.threads).to_have_count(0)
    await sam.page.get_by_role("combobox", name="Status filter").select_option("")
    await expect(sam.threads).to_have_count(1)
    await sam.page.get_by_role("combobox", name="Date range").select_option("custom")
    await expect(sam.page.get_by_label("From day")).to_be_visible()


async def test_everything_is_reached_with_the_keyboard_and_the_focus_is_seen(sam: Person, world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await sam.read(thread)
    keys, reached = sam.page.keyboard, []
    await keys.press("Tab")
    await expect(sam.page.get_by_role("link", name="Skip to the message box")).to_be_in_viewport()
    for _ in range(90):
        name = await sam.page.evaluate(FOCUSED)
        if name is None:
            break
        reached.append(name)
        await keys.press("Tab")
    assert "unseen" not in reached
    for wanted in ("Search", "Status filter", "Jane Miller", "Status", "Agent Mode", "Transcript",
                   "From", "Later", "Message", "Send", "Switch the agent off",
                   "Block texts"):  # fmt: skip
        assert any(wanted in name for name in reached), (wanted, reached)
    await sam.page.get_by_role("link", name="Skip to the message box").press("Enter")
    await keys.type("By hand")
    await keys.press("Enter")
    await expect(sam.text("By hand")).to_be_visible()


FOCUSED = """() => {
    const here = document.activeElement;
    if (here === document.body) return null;
    const style = getComputedStyle(here);
    if (parseFloat(style.outlineWidth) < 2 || style.outlineStyle === 'none') return 'unseen';
    return here.getAttribute('aria-label') || here.labels?.[0]?.innerText || here.innerText || '';
}"""


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns"])
async def test_the_page_learns_the_persons_zone_from_the_browser(enter: Enter, world: World, zone: str) -> None:
    sam = await enter(timezone_id=zone)
    await sam.read((await world.send())["interactionId"])
    now = datetime.now(ZoneInfo(zone))
    title = sam.texts.first.locator("time")
    await expect(title).to_have_attribute("title", re.compile(now.tzname() or "never"))

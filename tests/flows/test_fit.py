"""No door lets a text out in which nothing is seen, or one that grew too long on its way."""

from typing import Any

import pytest

from tests.flows.test_agent_mode import reply, talking
from tests.makers import Data
from tests.web.people import Browser
from tests.world import World

UNSEEN = ["\u200b", "\u2800", " \u3164\n", "\ufe0f\u200d", "\u00ad\u034f", "\U000e0067", "\u202e"]
BLANK, LONG = "must not be blank", "is longer than 1600 characters"
GROWS = ["…" * 1600, "…" * 534, "x" * 1598 + "…", "“" + "x" * 1597 + "…"]
"""With smart encoding, three characters for one."""


async def smart(world: World) -> None:
    await world.tenant.call("PATCH", "/settings", {"smartEncoding": True})


async def refused(world: World, method: str, path: str, body: Data) -> list[str]:
    answer = await world.tenant.ask(method, path, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    details: list[str] = answer.json()["error"]["details"]
    return details


async def by_bulk(world: World, texts: list[str]) -> list[Any]:
    messages = [{"leadId": world.lead["leadId"], "message": text} for text in texts]
    told = await world.tenant.call("POST", "/sms/send/bulk", {"messages": messages})
    return [one.get("error", {}).get("details") for one in told["results"]]


@pytest.mark.parametrize("more", [{}, {"dryRun": True}, {"source": "sms_agent"}])
async def test_what_shows_nothing_is_blank_to_the_api(idle_world: World, more: Data) -> None:
    lead = {"leadId": idle_world.lead["leadId"]}
    for text in UNSEEN:
        body = lead | {"message": text} | more
        assert await refused(idle_world, "POST", "/sms/send", body) == [f"message: {BLANK}"]
    assert await by_bulk(idle_world, [UNSEEN[0], "❤️"]) == [[f"messages[0].message: {BLANK}"], None]


async def test_what_shows_nothing_is_blank_in_what_is_kept_for_leads(idle_world: World) -> None:
    for text in UNSEEN:
        for name in ("optOutConfirmation", "helpText"):
            assert await refused(idle_world, "PATCH", "/settings", {name: text}) == [f"{name}: {BLANK}"]
        made = {"title": "T", "text": text}
        assert await refused(idle_world, "POST", "/canned-replies", made) == [f"text: {BLANK}"]
    kept = await idle_world.tenant.call("POST", "/canned-replies", {"title": "T", "text": "👩‍👧"})
    path = f"/canned-replies/{kept['cannedReplyId']}"
    assert await refused(idle_world, "PATCH", path, {"text": "\u200b"}) == [f"text: {BLANK}"]


async def test_what_shows_nothing_is_blank_in_place_of_a_held_reply(idle_world: World) -> None:
    for text in UNSEEN:
        body = {"action": "send", "texts": ["Hi", text]}
        assert await refused(idle_world, "POST", "/turns/turn_1/held", body) == [f"texts[1]: {BLANK}"]


@pytest.mark.parametrize("text", GROWS)
async def test_a_text_that_grows_too_long_on_its_way_is_refused(idle_world: World, text: str) -> None:
    body = {"leadId": idle_world.lead["leadId"], "message": text}
    assert (await idle_world.tenant.ask("POST", "/sms/send", body)).status_code == 202
    await smart(idle_world)
    for more in ({}, {"dryRun": True}):
        details = await refused(idle_world, "POST", "/sms/send", body | more)
        assert details == [f"message: {LONG}"]
    assert await by_bulk(idle_world, ["Hi", text]) == [None, [f"messages[1].message: {LONG}"]]


async def test_a_text_that_gets_short_enough_on_its_way_is_sent(world: World) -> None:
    text = "\ufeff" + "x" * 1600 + "\u200b"
    body = {"leadId": world.lead["leadId"], "message": text}
    assert await refused(world, "POST", "/sms/send", body) == [f"message: {LONG}"]
    await smart(world)
    sent = await world.send(text)
    await world.status_is(sent["messageId"], "delivered")
    assert world.carrier.received(world.phone) == ["x" * 1600]
    assert await refused(world, "POST", "/sms/send", body | {"message": f"{text}ж"}) == [f"message: {LONG}"]


@pytest.mark.parametrize("text", ["\u200b", "\u2800\ufe0f", "…" * 1600])
async def test_an_agents_reply_is_judged_alike(world: World, text: str) -> None:
    await smart(world)
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": text})]
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")
    assert [one["texts"] for one in turn["refused"]] == [[text]]
    assert turn["refused"][0]["code"] == "VALIDATION_ERROR"
    answer = await reply(world, text, turnId=turn["turnId"])
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0].startswith("message: ")
    assert (await reply(world, "👍🏽", turnId=turn["turnId"])).status_code == 202
    assert "Hi Jane" in world.carrier.received(world.phone)


async def test_a_person_is_told_at_the_page(idle_world: World, sam: Browser) -> None:
    await smart(idle_world)
    sent = await idle_world.send()
    page = await sam.page(f"/conversations/{sent['interactionId']}")
    for text, why in (("\u200b\u2800", BLANK), ("…" * 534, LONG)):
        answer = await sam.submit(page, "/texts", message=text)
        assert answer.status_code == 400
        assert why in answer.text
    assert (await sam.submit(page, "/texts", message="❤️")).status_code == 303

"""Answers that an agent's webhook should not give, and senders that no agent answers."""

import asyncio
import gzip
import json

import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.resources import Resources
from tests.flows.test_agent_mode import reply, talking
from tests.flows.test_turn_sets import carried_out, claimed, fall_due, forwarding, writing
from tests.flows.test_turns import change_agent
from tests.makers import Data
from tests.world import World, served, until

REPLY = json.dumps({"reply": "Read"}).encode()
GZIP = {"content-type": "application/json", "content-encoding": "gzip"}
NONE_OF = "the answer holds none of reply, replies, handoff, status, summary, answers, leadStatus, note"


async def answered_with(world: World, body: bytes, headers: dict[str, str], state: str) -> Data:
    """A turn whose webhook answered 200 with these bytes."""

    async def answer(_: Request) -> Response:
        return Response(body, 200, headers)

    async with served(Starlette(routes=[Route("/", answer, methods=["POST"])])) as url:
        thread = await talking(world)
        await change_agent(world, webhookUrl=f"{url}/")
        await world.text("Hey")
        return await world.turn_is(thread, state)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(REPLY, mtime=0), GZIP),
        (gzip.compress(REPLY, mtime=0), GZIP | {"content-encoding": "x-gzip"}),
        (REPLY, {"content-type": "application/json", "content-encoding": "identity"}),
        (REPLY, {"content-type": "text/plain"}),
    ],
    ids=["gzip", "x-gzip", "identity", "plain"],
)
async def test_an_answer_is_read_however_it_is_packed(world: World, body: bytes, headers: dict[str, str]) -> None:
    turn = await answered_with(world, body, headers, "replied")
    assert (turn["reply"]["texts"], turn["refused"]) == (["Read"], [])


@pytest.mark.parametrize(
    ("body", "headers", "detail"),
    [
        (b'[{"reply": "x"}]', {}, "the answer is a list, and must be an object"),
        (b'"x"', {}, "the answer is text, and must be an object"),
        (b"7", {}, "the answer is a number, and must be an object"),
        (b"Hello Jane", {"content-type": "text/plain"}, "the answer is not JSON"),
        (b"<html><body>Log in</body></html>", {"content-type": "text/html"}, "the answer is not JSON"),
        (b'{"Reply": "x"}', {}, f"{NONE_OF}, but Reply"),
        (b'{"handoff": "true"}', {}, "handoff: must be true or false"),
        (b'{"note": NaN}', {}, "note: must be text"),
        (b'{"note": ["\\u0000\\ud800"]}', {}, "note: must be text"),
        (REPLY, GZIP, "the answer is compressed as gzip, which cannot be read"),
        (b"\x0b\x02", {"content-encoding": "br"}, "the answer is compressed as br, which cannot be read"),
        (gzip.compress(b" " * 5_000_000 + REPLY, mtime=0), GZIP, "the answer is longer than 64 KiB"),
        (b" " * 70_000 + REPLY, {}, "the answer is longer than 64 KiB"),
    ],
    ids=[
        "list",
        "text",
        "number",
        "plain",
        "html",
        "Reply",
        "true as text",
        "NaN",
        "NUL",
        "no gzip",
        "br",
        "bomb",
        "long",
    ],
)
async def test_an_answer_that_is_not_understood_is_told_and_the_turn_stays_open(
    world: World, body: bytes, headers: dict[str, str], detail: str
) -> None:
    turn = await answered_with(world, body, headers, "awaiting_reply")
    [refused] = turn["refused"]
    assert (refused["code"], refused["detail"]) == ("VALIDATION_ERROR", detail)
    assert turn["attempts"][0]["answer"] is not None
    figure = {"agent": world.smsagent["smsAgentId"], "outcome": "unclear"}
    assert REGISTRY.get_sample_value("leadsail_hand_overs_total", figure) == 1
    assert (await reply(world, "By the API", turnId=turn["turnId"])).status_code == 202


PICTURES = ["https://example.com/roof.png", "https://example.com/offer.pdf"]


async def allow_pictures(world: World) -> None:
    path = f"/phone-numbers/{world.number['phoneNumberId']}"
    await world.tenant.call("PATCH", path, {"capabilities": ["sms", "mms"]})


async def test_pictures_go_with_the_first_text_of_an_agents_answer(world: World) -> None:
    await allow_pictures(world)
    world.agent.answers = [(200, {"replies": ["Look!", "Do you like it?"], "mediaUrls": PICTURES})]
    thread = await talking(world)
    await world.text("Hey")
    turn = await world.turn_is(thread, "replied")
    sent = (await world.thread(thread))["transcript"][-2:]
    assert [[one["url"] for one in entry["media"]] for entry in sent] == [PICTURES, []]
    assert turn["reply"]["texts"] == ["Look!", "Do you like it?"]
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")


async def test_a_number_that_carries_no_pictures_refuses_them_with_their_text(world: World) -> None:
    world.agent.answers = [(200, {"reply": "Look!", "mediaUrls": PICTURES})]
    thread = await talking(world)
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")
    assert [refused["code"] for refused in turn["refused"]] == ["VALIDATION_ERROR"]
    assert "Look!" not in world.carrier.received(world.phone)


async def test_a_held_answer_keeps_its_pictures(world: World) -> None:
    await allow_pictures(world)
    await change_agent(world, staleReply="hold")
    thread = await talking(world)

    async def write_on(_: object) -> None:
        world.agent.meanwhile = None
        await world.text("Or no, tomorrow")

    world.agent.meanwhile = write_on
    world.agent.answers = [(200, {"reply": "Look!", "mediaUrls": PICTURES})]
    await world.text("Please")
    held = (await world.told(1))["turn"]["turnId"]
    await world.told(2)
    assert (await world.tenant.call("GET", f"/turns/{held}"))["held"]["mediaUrls"] == PICTURES
    done = await world.tenant.call("POST", f"/turns/{held}/held", {"action": "send", "texts": ["Look here!"]})
    assert done["messageId"]
    [entry] = [entry for entry in (await world.thread(thread))["transcript"] if entry["message"] == "Look here!"]
    assert [one["url"] for one in entry["media"]] == PICTURES


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/", "the connection was refused"),
        ("http://nobody.invalid/", "the name could not be resolved"),
    ],
)
async def test_what_the_wire_said_stands_in_the_record_the_note_and_at_the_test_button(
    idle_world: World, resources: Resources, url: str, words: str
) -> None:
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await change_agent(world, webhookUrl=url)
    for _ in range(5):
        await fall_due(resources)
        await carried_out(by, await claimed(by, [thread]))
    [turn] = await world.turns(thread[1])
    assert (turn["state"], [attempt["answer"] for attempt in turn["attempts"]]) == ("failed", [words] * 5)
    shown = await world.thread(thread[1])
    assert shown["status"] == "follow_up"
    [note] = [entry["message"] for entry in shown["transcript"] if entry["status"] == "note"]
    assert note == f"The agent did not get the lead's texts: the agent's webhook failed 5 times: {words}."
    tried = await world.tenant.call("POST", f"/sms-agents/{world.smsagent['smsAgentId']}/test")
    assert (tried["state"], tried["reason"]) == ("failed", words)


@pytest.mark.parametrize("sender", ["AMAZON", "22396", "anonymous", "7", "+22396"])
async def test_what_cannot_be_answered_is_stored_and_no_agent_is_asked(world: World, sender: str) -> None:
    await change_agent(world, agentModeByDefault=True)
    for text in ("Your code is 123456", "HELP", "STOP"):
        assert await world.carrier.text(sender, world.ours, text) == 200
    thread = await talking(world)
    await world.text("Hey")
    await world.turn_is(thread, "awaiting_reply")
    assert [told["message"]["combinedText"] for told in world.agent.told] == ["Hey"]
    assert world.carrier.received(sender) == []
    found = (await world.tenant.call("GET", "/interactions"))["interactions"]
    [machine] = [one for one in found if one["interactionId"] != thread]
    shown = await world.thread(machine["interactionId"])
    assert [entry["message"] for entry in shown["transcript"]] == ["Your code is 123456", "HELP", "STOP"]


@pytest.mark.parametrize("sender", ["22396", "123", "72345678", "+22396"])
async def test_a_short_code_is_answered_if_the_tenant_says_so(world: World, sender: str) -> None:
    await world.tenant.call("PATCH", "/settings", {"answerShortCodes": True})
    await change_agent(world, agentModeByDefault=True)
    world.agent.answers = [(200, {"reply": "Thank you"})]
    code = sender.removeprefix("+")
    assert await world.carrier.text(sender, world.ours, "Which date suits you?") == 200
    told = await world.told(1)
    assert (told["message"]["senderPhone"], told["message"]["combinedText"]) == (code, "Which date suits you?")
    turn = await world.turn_is(told["interaction"]["interactionId"], "replied")
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")
    assert await world.carrier.text(sender, world.ours, "STOP") == 200

    async def confirmed() -> bool:
        return len(world.carrier.received(code)) == 2

    await until(confirmed)
    assert world.carrier.received(code)[0] == "Thank you"


@pytest.mark.parametrize(
    "sender", ["AMAZON", "anonymous", "+266696687", "+86282452253", "7", "12", "1234567890123456", "٣٤٥٦٧"]
)
async def test_what_is_no_number_is_answered_by_no_setting(world: World, sender: str) -> None:
    await world.tenant.call("PATCH", "/settings", {"answerShortCodes": True})
    await change_agent(world, agentModeByDefault=True)
    for text in ("Your code is 123456", "HELP", "STOP"):
        assert await world.carrier.text(sender, world.ours, text) == 200
    await asyncio.sleep(1.5)
    assert world.agent.told == []
    assert world.carrier.received(sender) == []


async def test_a_setting_that_is_switched_off_again_ends_it(world: World) -> None:
    await change_agent(world, agentModeByDefault=True)
    for on in (True, False):
        await world.tenant.call("PATCH", "/settings", {"answerShortCodes": on})
        assert await world.carrier.text("22396", world.ours, f"It is {on}") == 200
        await asyncio.sleep(1.3)
    assert [told["message"]["combinedText"] for told in world.agent.told] == ["It is True"]


@pytest.mark.parametrize("blank", ["", " \n\u200b\ufe0f\u2800"], ids=["empty", "invisible"])
async def test_a_blank_text_opens_no_turn_but_a_picture_does(world: World, blank: str) -> None:
    thread = await talking(world)
    assert await world.carrier.text(world.phone, world.ours, blank) == 200
    await asyncio.sleep(1.5)
    assert await world.turns(thread) == []
    picture = [{"url": "https://carrier.example/1", "contentType": "image/png"}]
    assert await world.carrier.text(world.phone, world.ours, blank, picture) == 200
    turn = await world.turn_is(thread, "awaiting_reply")
    assert len(turn["messages"]) == 1

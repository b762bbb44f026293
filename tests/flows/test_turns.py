"""Turns: nobody talks over anybody, and each turn can be looked at and played again."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.jobs.endpoints import MAX_PER_AGENT
from app.resources import Resources
from tests.flows.test_agent_mode import reply, talking
from tests.makers import Data, phone
from tests.world import World, served, until

WAIT_FOR_SECOND_ATTEMPT = """
SELECT extract(epoch FROM t.due_at - a.at)::float8 - a.duration_ms / 1000.0 AS wait
FROM turns t JOIN turn_attempts a USING (tenant_id, turn_id)
WHERE t.state = 'delivering' AND a.attempt = 1 AND NOT t.posting
"""


async def change_agent(world: World, **given: Any) -> None:
    await world.tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", given)


async def handed_over(world: World, text: str, times: int) -> Data:
    """The lead writes; the payload of the hand-over that follows."""
    await world.text(text)
    return await world.told(times)


async def stale(world: World, turn: Data, text: str) -> str:
    """The answer code to a reply after the lead wrote on."""
    answer = await reply(world, text, turnId=turn["turn"]["turnId"])
    return str(answer.json().get("error", {}).get("code", answer.status_code))


async def test_after_two_stale_replies_the_next_turn_is_protected(world: World) -> None:
    thread = await talking(world)
    first = await handed_over(world, "one", 1)
    second = await handed_over(world, "two", 2)
    assert await stale(world, first, "late 1") == "STALE_TURN"
    third = await handed_over(world, "three", 3)
    assert await stale(world, second, "late 2") == "STALE_TURN"
    protected = await handed_over(world, "four", 4)
    assert await stale(world, third, "late 3") == "STALE_TURN"
    await world.text("five")
    await asyncio.sleep(1.6)
    assert len(world.agent.told) == 4  # the successor waits
    answer = await reply(world, "At last", turnId=protected["turn"]["turnId"])
    assert answer.status_code == 202
    fifth = await world.told(5)
    assert fifth["message"]["combinedText"] == "five"
    turns = await world.turns(thread)
    assert [turn["protected"] for turn in turns] == [False, False, False, True, False]
    sixth = await handed_over(world, "six", 6)
    await world.text("seven")
    assert await stale(world, sixth, "late again") == "STALE_TURN"


async def test_an_agent_may_want_its_stale_replies_sent(world: World) -> None:
    await change_agent(world, staleReply="send")
    await talking(world)
    first = await handed_over(world, "one", 1)
    await world.text("two")
    assert (await reply(world, "Better late", turnId=first["turn"]["turnId"])).status_code == 202


@pytest.mark.parametrize("edited", [None, ["As a person would say it"]])
async def test_a_held_reply_waits_for_a_person_who_sends_or_edits_it(world: World, edited: list[str] | None) -> None:
    await change_agent(world, staleReply="hold")
    thread = await talking(world)
    first = await handed_over(world, "one", 1)
    await world.text("two")
    answer = await reply(world, "Too late", turnId=first["turn"]["turnId"])
    assert answer.json()["error"]["details"] == ["turnId: held"]
    state = (await world.thread(thread))["agentState"]
    assert state["state"] in ("held", "delivering")
    path = f"/turns/{first['turn']['turnId']}/held"
    body: Data = {"action": "send"} | ({"texts": edited} if edited else {})
    done = await world.tenant.call("POST", path, body)
    message = await world.status_is(done["messageId"], "delivered")
    assert (message["source"], message["message"]) == (
        "sms_agent", edited[0] if edited else "Too late",
    )  # fmt: skip
    again = await world.tenant.ask("POST", path, {"action": "discard"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "NOT_HELD")
    assert all(turn["state"] != "collecting" for turn in await world.turns(thread))


async def test_a_held_reply_is_discarded_by_a_hand_or_a_person_who_writes(world: World) -> None:
    await change_agent(world, staleReply="hold")
    await talking(world)
    first = await handed_over(world, "one", 1)
    await world.text("two")
    await reply(world, "Too late", turnId=first["turn"]["turnId"])
    path = f"/turns/{first['turn']['turnId']}"
    done = await world.tenant.call("POST", f"{path}/held", {"action": "discard"})
    assert done["messageId"] is None
    assert (await world.tenant.call("GET", path))["held"] is None
    assert "Too late" not in world.carrier.received(world.phone)


async def held(world: World) -> tuple[str, Data]:
    """A thread with a held reply, and the turn it is of; a turn after it has been handed over."""
    await change_agent(world, staleReply="hold")
    thread = await talking(world)
    first = await handed_over(world, "one", 1)
    await world.text("two")
    answer = await reply(world, "Too late", turnId=first["turn"]["turnId"])
    assert answer.json()["error"]["details"] == ["turnId: held"]
    await world.told(2)
    [turn, _] = await world.turns(thread)
    assert turn["held"]["texts"] == ["Too late"]
    return thread, turn


async def withdrawn(world: World, turn: Data, why: str) -> None:
    """Fails unless the held reply is offered no more, and the turn says why."""
    path = f"/turns/{turn['turnId']}"
    now = await world.tenant.call("GET", path)
    assert now["held"] is None
    [refused] = now["refused"]
    assert (refused["code"], refused["texts"]) == ("STALE_TURN", ["Too late"])
    assert refused["detail"] == why
    late = await world.tenant.ask("POST", f"{path}/held", {"action": "send"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "NOT_HELD")
    assert (await world.thread(now["interactionId"]))["agentState"]["state"] != "held"
    assert "Too late" not in world.carrier.received(world.phone)


@pytest.mark.parametrize("inline", [True, False])
async def test_a_held_reply_is_withdrawn_once_a_later_one_of_the_agent_goes_out(world: World, inline: bool) -> None:
    thread, turn = await held(world)
    if inline:
        world.agent.answers = [(200, {"reply": "In time"})]
        await handed_over(world, "three", 3)
    else:
        later = (await world.turns(thread))[-1]
        assert (await reply(world, "In time", turnId=later["turnId"])).status_code == 202
    await world.turn_is(thread, "replied")
    await withdrawn(world, turn, "withdrawn: a later reply went out")


async def test_a_held_reply_is_withdrawn_when_the_agent_hands_over(world: World) -> None:
    thread, turn = await held(world)
    world.agent.answers = [(200, {"handoff": True})]
    await handed_over(world, "three", 3)
    await world.turn_is(thread, "handed_off")
    await withdrawn(world, turn, "withdrawn: the agent handed over to a person")


async def test_a_held_reply_is_withdrawn_by_a_stop_and_stays_so(world: World) -> None:
    thread, turn = await held(world)
    await world.text("STOP")
    await withdrawn(world, turn, "withdrawn: the phone may not be texted")
    await world.text("START")
    assert (await world.turns(thread))[0]["held"] is None


async def test_a_held_reply_is_withdrawn_when_a_person_is_not_to_be_texted(world: World) -> None:
    _, turn = await held(world)
    path = f"/leads/{world.lead['leadId']}/dnc"
    await world.tenant.call("PUT", path, {"channels": ["sms"]})
    await withdrawn(world, turn, "withdrawn: the phone may not be texted")


async def test_what_a_person_made_of_a_held_reply_stands_in_the_turn(world: World) -> None:
    _, turn = await held(world)
    path = f"/turns/{turn['turnId']}"
    await world.tenant.call("POST", f"{path}/held", {"action": "discard"})
    await withdrawn(world, turn, "withdrawn: a person discarded it")


async def test_a_held_reply_that_a_person_sends_is_said_to_be_sent(world: World) -> None:
    _, turn = await held(world)
    path = f"/turns/{turn['turnId']}"
    await world.tenant.call("POST", f"{path}/held", {"action": "send"})
    [refused] = (await world.tenant.call("GET", path))["refused"]
    assert refused["detail"] == "a person sent it"


async def test_a_later_stale_reply_is_held_in_place_of_the_one_before(world: World) -> None:
    thread, _ = await held(world)
    later = (await world.turns(thread))[-1]
    await world.text("three")
    answer = await reply(world, "Late again", turnId=later["turnId"])
    assert answer.json()["error"]["details"] == ["turnId: held"]
    [first, second, *_] = await world.turns(thread)
    assert (first["held"], second["held"]["texts"]) == (None, ["Late again"])
    assert first["refused"][0]["detail"] == "withdrawn: a later one is held"


async def test_a_stale_reply_is_not_held_when_a_later_one_went_out_already(world: World) -> None:
    await change_agent(world, staleReply="hold")
    thread = await talking(world)
    first = await handed_over(world, "one", 1)
    second = await handed_over(world, "two", 2)
    assert (await reply(world, "In time", turnId=second["turn"]["turnId"])).status_code == 202
    late = await reply(world, "Too late", turnId=first["turn"]["turnId"])
    assert (late.json()["error"]["code"], late.json()["error"]["details"]) == ("STALE_TURN", [])
    assert [turn["held"] for turn in await world.turns(thread)] == [None, None]


async def test_declining_is_never_stale_and_nothing_is_held_of_it(world: World) -> None:
    await change_agent(world, staleReply="hold")
    thread = await talking(world)
    world.agent.answers = [(200, {"replies": []})]

    async def write_on(_: Data) -> None:
        world.agent.meanwhile = None
        await world.text("two")

    world.agent.meanwhile = write_on
    await handed_over(world, "one", 1)
    await world.told(2)
    first = (await world.turns(thread))[0]
    assert (first["state"], first["held"], first["refused"]) == ("declined", None, [])


async def test_the_rest_of_a_list_does_not_leave_once_the_lead_wrote(world: World) -> None:
    await change_agent(world, replyDelayMs=1500)
    thread = await talking(world)
    world.agent.answers = [(200, {"replies": ["first", "second", "third"]})]
    await handed_over(world, "Hey", 1)
    turn = await world.turn_is(thread, "replied")
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")
    await world.text("Wait, wrong house")
    for message_id in turn["reply"]["messageIds"][1:]:
        message = await world.status_is(message_id, "cancelled")
        assert message["errorCode"] == "STALE_TURN"
    assert world.carrier.received(world.phone) == ["Hi Jane", "first"]


async def test_the_agent_answers_at_a_natural_pace(world: World) -> None:
    await change_agent(world, replyDelayMs=2000)
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "Slowly"})]
    await handed_over(world, "Hey", 1)
    turn = await world.turn_is(thread, "replied")
    [message_id] = turn["reply"]["messageIds"]
    assert (await world.tenant.call("GET", f"/messages/{message_id}"))["status"] == "queued"
    message = await world.status_is(message_id, "delivered")
    sent = next(step["at"] for step in message["history"] if step["status"] == "sending")
    closed = datetime.fromisoformat(turn["closedAt"])
    assert datetime.fromisoformat(sent) - closed > timedelta(seconds=1.9)


async def test_too_many_turns_a_day_pause_the_agent_until_a_hand_lets_it_go_on(
    world: World,
) -> None:
    await change_agent(world, maxTurnsPerDay=1)
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "One"})]
    await handed_over(world, "Hey", 1)
    await world.turn_is(thread, "replied")
    await world.text("And now?")
    turn = await world.turn_is(thread, "failed")
    assert turn["reason"] == "the agent is paused: 1 turns were handed over today"
    shown = await world.thread(thread)
    assert (shown["agentState"]["state"], shown["status"]) == ("paused", "follow_up")
    assert shown["agentState"]["reason"] == "1 turns were handed over today"
    await change_agent(world, maxTurnsPerDay=50)
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": True})
    await world.text("Hello?")
    told = await world.told(2)
    assert told["message"]["combinedText"] == "And now?\nHello?"


async def test_five_answers_nearly_alike_pause_the_agent(world: World) -> None:
    await change_agent(world, batchWindowMs=1000)
    thread = await talking(world)
    for n in range(1, 6):
        world.agent.answers = [(200, {"reply": f"Thanks, ticket {n} is open."})]
        await handed_over(world, f"text {n}", n)
        await world.turn_is(thread, "replied")
    state = (await world.thread(thread))["agentState"]
    assert state["state"] == "paused"
    assert "nearly the same" in state["reason"]


async def test_out_of_business_hours_a_turn_waits(world: World) -> None:
    night = (datetime.now(UTC) + timedelta(hours=2)).hour % 23
    await change_agent(
        world,
        businessHours={"start": f"{night:02}:00", "end": f"{night:02}:30", "timezone": "UTC",
                       "days": [1, 2, 3, 4, 5, 6, 7]},
    )  # fmt: skip
    thread = await talking(world)
    await world.text("Anybody there?")
    await asyncio.sleep(2)
    assert world.agent.told == []
    assert (await world.turns(thread))[-1]["state"] == "collecting"


async def test_an_agent_resumes_when_no_person_wrote_for_long_enough(world: World, resources: Resources) -> None:
    await change_agent(world, resumeAfterMinutes=1)
    thread = await talking(world)
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": False})
    await world.text("Said to a person")
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE interactions SET agent_off_at = now() - interval '2 minutes'")

    async def resumed() -> bool:
        return bool((await world.thread(thread))["sms"]["agentMode"])

    await until(resumed)
    await world.text("Said to the agent")
    told = await world.told(1)
    assert told["message"]["combinedText"] == "Said to the agent"


async def test_a_hand_over_that_failed_is_said_to_be_tried_again(world: World) -> None:
    thread = await talking(world)
    await change_agent(world, webhookUrl="http://127.0.0.1:9/away")
    await world.text("Hey")

    async def retrying() -> bool:
        return bool((await world.thread(thread))["agentState"]["state"] == "retrying")

    await until(retrying)
    assert (await world.turns(thread))[-1]["attempts"][0]["outcome"]


@pytest.mark.parametrize(
    ("wish", "waits"),
    [
        (lambda now: format_datetime(now + timedelta(seconds=90), usegmt=True), (85, 93)),
        (lambda now: format_datetime(now - timedelta(days=1), usegmt=True), (1, 4)),
        (lambda now: format_datetime(now + timedelta(days=1), usegmt=True), (600, 603)),
        (lambda now: "90", (89, 93)),
    ],
    ids=["date", "past", "far", "seconds"],
)
async def test_an_agent_is_asked_again_when_it_says_but_within_bounds(
    world: World, resources: Resources, wish: Callable[[datetime], str], waits: tuple[int, int]
) -> None:
    async def refuse(_: Request) -> Response:
        return Response(status_code=503, headers={"Retry-After": wish(datetime.now(UTC))})

    async with served(Starlette(routes=[Route("/", refuse, methods=["POST"])])) as url:
        await talking(world)
        await change_agent(world, webhookUrl=url)
        await world.text("Hey")
        seconds: list[float] = []

        async def is_tried_again() -> bool:
            async with resources.database.system_tx() as tx:
                wait = await tx.fetch_value(WAIT_FOR_SECOND_ATTEMPT)
            seconds.extend([] if wait is None else [wait])
            return bool(seconds)

        await until(is_tried_again)
    shortest, longest = waits
    assert shortest <= seconds[0] <= longest


async def test_an_endpoint_that_hangs_does_not_delay_another_agents_turns(world: World) -> None:
    hung: list[str] = []
    let_go = asyncio.Event()

    async def hang(request: Request) -> Response:
        hung.append((await request.json())["turn"]["turnId"])
        await let_go.wait()
        return JSONResponse({"reply": None})

    async with served(Starlette(routes=[Route("/", hang, methods=["POST"])])) as url:
        slow = await world.tenant.agent(webhookUrl=url, batchWindowMs=1000)
        campaign = await world.tenant.campaign(
            smsAgentId=slow["smsAgentId"], phoneNumberId=world.number["phoneNumberId"]
        )
        phones = [phone() for _ in range(MAX_PER_AGENT + 6)]
        for one in phones:
            lead = await world.tenant.lead(phone=one, campaignId=campaign["campaignId"])
            await world.send(leadId=lead["leadId"], agentMode=True)
        thread = await talking(world)
        await asyncio.gather(*(world.carrier.text(one, world.ours, "Hey") for one in phones))

        async def full() -> bool:
            return len(hung) >= MAX_PER_AGENT

        await until(full)
        world.agent.answers = [(200, {"reply": "Here"})]
        await world.text("Is anybody there?")
        assert (await world.turn_is(thread, "replied"))["attempts"][0]["outcome"]
        assert len(hung) == MAX_PER_AGENT
        let_go.set()


# Record, replay, shadow, test.


async def test_a_replay_gets_the_same_bytes_and_its_answer_is_only_kept(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "Live"}), (200, {"reply": "Replayed"})]
    live = await handed_over(world, "Hey", 1)
    turn = await world.turn_is(thread, "replied")
    replayed = await world.tenant.call("POST", f"/turns/{turn['turnId']}/replay", {})
    assert (replayed["kind"], replayed["ofTurn"]) == ("replay", turn["turnId"])
    assert (replayed["state"], replayed["reply"]["texts"]) == ("replied", ["Replayed"])
    headers, body = world.agent.requests[1]
    assert headers["webhook-kind"] == "replay"
    assert headers["webhook-id"] == replayed["turnId"]
    assert "webhook-kind" not in world.agent.requests[0][0]
    assert json.loads(body) == {
        **live, "turn": {**live["turn"], "turnId": replayed["turnId"]},
    }  # fmt: skip
    await asyncio.sleep(0.5)
    assert world.carrier.received(world.phone) == ["Hi Jane", "Live"]
    late = await reply(world, "By the API", turnId=replayed["turnId"])
    assert late.json()["error"]["code"] == "TURN_CLOSED"


async def test_an_answer_to_a_replay_by_the_api_is_caught(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"replies": []}), (200, {})]
    await handed_over(world, "Hey", 1)
    turn = await world.turn_is(thread, "declined")
    replayed = await world.tenant.call("POST", f"/turns/{turn['turnId']}/replay", {})
    assert replayed["state"] == "awaiting_reply"
    caught = await reply(world, "Caught", turnId=replayed["turnId"])
    assert caught.status_code == 202
    assert caught.json()["data"] == {"status": "caught", "turnId": replayed["turnId"]}
    kept = await world.tenant.call("GET", f"/turns/{replayed['turnId']}")
    assert kept["reply"] == {"texts": ["Caught"], "messageIds": [], "by": "api"}
    again = await reply(world, "Caught", turnId=replayed["turnId"])
    assert (again.status_code, again.content) == (202, caught.content)
    assert (await world.thread(thread))["transcript"][-1]["message"] == "Hey"


async def test_a_repeat_with_the_same_key_asks_the_agent_once(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": text}) for text in ("Live", "Replayed", "Tried")]
    await handed_over(world, "Hey", 1)
    turn = await world.turn_is(thread, "replied")
    replay, test = f"/turns/{turn['turnId']}/replay", f"/sms-agents/{world.smsagent['smsAgentId']}/test"
    keyed = {"Idempotency-Key": "one"}

    async def repeat(_: Data) -> None:
        early = await world.tenant.ask("POST", path, body, headers=keyed)
        early_answers.append((early.status_code, early.json()["error"]["code"], early.headers["retry-after"]))

    early_answers: list[tuple[int, str, str]] = []
    world.agent.meanwhile = repeat
    for path, body in ((replay, {}), (test, None)):
        first, again = [await world.tenant.ask("POST", path, body, headers=keyed) for _ in range(2)]
        assert (again.status_code, again.json()) == (201, first.json())
    assert len(world.agent.told) == 3
    assert early_answers == [(409, "IDEMPOTENCY_IN_PROGRESS", "1")] * 2
    other = await world.tenant.ask("POST", replay, {"webhookUrl": world.agent.url}, headers=keyed)
    assert other.json()["error"]["code"] == "IDEMPOTENCY_KEY_REUSED"
    unknown = await world.tenant.ask("POST", "/turns/turn_nobody/replay", {}, headers={"Idempotency-Key": "two"})
    assert unknown.status_code == 404


async def test_a_shadow_hears_every_turn_and_the_report_shows_both(world: World) -> None:
    await change_agent(world, shadowWebhookUrl=world.agent.url)
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "A"}), (200, {"reply": "B"})]
    await world.text("Hey")
    await world.told(2)
    kinds = sorted(h.get("webhook-kind", "live") for h, _ in world.agent.requests)
    assert kinds == ["live", "shadow"]
    await world.turn_is(thread, "replied")
    path = f"/sms-agents/{world.smsagent['smsAgentId']}/shadow-report"

    async def reported() -> Data | None:
        pairs = (await world.tenant.call("GET", path))["pairs"]
        answered = pairs and pairs[0]["live"]["texts"] and pairs[0]["shadow"]["texts"]
        return pairs[0] if answered else None

    pair = await until(reported)
    assert {pair["live"]["texts"][0], pair["shadow"]["texts"][0]} == {"A", "B"}
    assert len(await world.turns(thread)) >= 1
    await world.status_is((await world.turns(thread))[0]["reply"]["messageIds"][0], "delivered")
    assert len(world.carrier.received(world.phone)) == 2


async def test_an_agents_webhook_can_be_tried(world: World) -> None:
    world.agent.answers = [(200, {"reply": "I work"})]
    path = f"/sms-agents/{world.smsagent['smsAgentId']}/test"
    tried = await world.tenant.call("POST", path)
    assert (tried["kind"], tried["reply"]["texts"]) == ("test", ["I work"])
    assert world.agent.requests[0][0]["webhook-kind"] == "test"
    await change_agent(world, webhookUrl="http://127.0.0.1:9/away")
    tried = await world.tenant.call("POST", path)
    assert (tried["state"], tried["reason"]) == ("failed", "the connection was refused")
    assert [attempt["answer"] for attempt in tried["attempts"]] == ["the connection was refused"]

"""What may be a wish to opt out is held for a person: the agent does not get it until somebody decides."""

import asyncio

import pytest

from tests.makers import Data
from tests.world import World, until

POSSIBLE = ("wrong number", "Leave me alone!", "is this spam?")
WINDOW = 1.6
"""Longer than the window of the world's agent."""


async def decide(world: World, message_id: str, opt_out: bool) -> Data:
    return await world.tenant.call("POST", f"/messages/{message_id}/opt-out-decision", {"optOut": opt_out})


async def entry_of(world: World, interaction_id: str, text: str) -> Data:
    entries: list[Data] = (await world.thread(interaction_id))["transcript"]
    return next(entry for entry in entries if entry["message"] == text)


async def consent(world: World) -> Data:
    return await world.tenant.call("GET", f"/consent/{world.phone}")


def words_told(world: World) -> list[list[str]]:
    return [[text["text"] for text in told["message"]["messages"]] for told in world.agent.told]


@pytest.mark.parametrize("text", POSSIBLE)
async def test_what_may_be_an_opt_out_is_not_handed_over(world: World, text: str) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text(text)
    await asyncio.sleep(WINDOW)
    assert world.agent.told == []
    assert await world.turns(thread) == []
    shown = await world.thread(thread)
    assert shown["awaitsDecision"]
    assert shown["agentState"]["state"] == "held"
    entry = await entry_of(world, thread, text)
    assert (entry["possibleOptOut"], entry["optOut"]) == (True, None)
    assert (await consent(world))["causes"] == []
    assert shown["status"] == "in_progress"


async def test_an_unclear_text_in_a_thread_without_an_agent_waits_too(world: World) -> None:
    thread = (await world.send())["interactionId"]
    await world.text("wrong number")
    assert (await world.thread(thread))["awaitsDecision"]
    await decide(world, (await entry_of(world, thread, "wrong number"))["messageId"], False)
    assert not (await world.thread(thread))["awaitsDecision"]
    assert await world.turns(thread) == []


async def test_plain_texts_bear_no_mark(world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text("Yes, Tuesday works")
    assert "possibleOptOut" not in await entry_of(world, thread, "Yes, Tuesday works")
    assert not (await world.thread(thread))["awaitsDecision"]
    assert (await world.told(1))["message"]["combinedText"] == "Yes, Tuesday works"


async def test_later_texts_wait_with_the_unclear_one_and_go_together(world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text("wrong number")
    await world.text("my roof is on Elm Street")
    await asyncio.sleep(WINDOW)
    assert world.agent.told == []
    decided = await decide(world, (await entry_of(world, thread, "wrong number"))["messageId"], False)
    assert decided["optOut"] is False
    await world.told(1)
    assert words_told(world) == [["wrong number", "my roof is on Elm Street"]]
    told = world.agent.told[0]["message"]["messages"]
    assert "possibleOptOut" not in told[0], "a person decided that it is not one"
    shown = await world.thread(thread)
    assert not shown["awaitsDecision"]
    assert (await entry_of(world, thread, "wrong number"))["optOut"] is False
    [event] = (await consent(world))["events"]
    assert (event["event"], event["rule"], event["text"]) == ("not_opted_out", "person", "wrong number")
    assert event["actor"].startswith("key_")


async def test_a_text_that_was_being_collected_waits_with_the_unclear_one(world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text("How much is it?")
    await world.text("is this spam?")
    await asyncio.sleep(WINDOW)
    assert world.agent.told == []
    assert [turn["state"] for turn in await world.turns(thread)] == ["cancelled"]
    await decide(world, (await entry_of(world, thread, "is this spam?"))["messageId"], False)
    await world.told(1)
    assert words_told(world) == [["How much is it?", "is this spam?"]]


async def test_what_the_agent_has_is_not_handed_over_again(world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text("How much is it?")
    turn = (await world.told(1))["turn"]["turnId"]
    await world.turn_is(thread, "awaiting_reply")
    await world.text("leave me alone")
    assert (await world.turn_is(thread, "cancelled"))["turnId"] == turn
    body = {"leadId": world.lead["leadId"], "message": "Hello!", "turnId": turn, "source": "sms_agent"}
    late = await world.tenant.ask("POST", "/sms/send", body)
    assert late.status_code == 409
    assert "Hello!" not in world.carrier.received(world.phone)
    await decide(world, (await entry_of(world, thread, "leave me alone"))["messageId"], False)
    await world.told(2)
    assert words_told(world) == [["How much is it?"], ["leave me alone"]]


async def test_a_reply_that_has_not_left_is_not_sent_after_an_unclear_text(world: World) -> None:
    await world.tenant.call("PATCH", f"/sms-agents/{world.smsagent['smsAgentId']}", {"replyDelayMs": 3000})
    thread = (await world.send(agentMode=True))["interactionId"]
    world.agent.answers = [(200, {"reply": "Not too much."})]
    await world.text("How much is it?")
    [reply] = (await world.turn_is(thread, "replied"))["reply"]["messageIds"]
    await world.text("leave me alone")
    await world.status_is(reply, "cancelled")
    await decide(world, (await entry_of(world, thread, "leave me alone"))["messageId"], False)
    assert (await world.told(2))["message"]["combinedText"] == "leave me alone"
    assert "Not too much." not in world.carrier.received(world.phone)


async def test_all_unclear_texts_of_a_thread_must_be_decided(world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    for text in ("wrong number", "is this spam?"):
        await world.text(text)
    await decide(world, (await entry_of(world, thread, "wrong number"))["messageId"], False)
    await asyncio.sleep(WINDOW)
    assert world.agent.told == []
    assert (await world.thread(thread))["awaitsDecision"]
    await decide(world, (await entry_of(world, thread, "is this spam?"))["messageId"], False)
    await world.told(1)
    assert words_told(world) == [["wrong number", "is this spam?"]]


async def test_an_opt_out_by_decision_works_like_a_stop_and_is_confirmed_once(world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text("wrong number")
    message = (await entry_of(world, thread, "wrong number"))["messageId"]
    for _ in range(2):
        assert (await decide(world, message, True))["optOut"] is True
    record = await consent(world)
    assert record["causes"] == ["lead"]
    [event] = record["events"]
    assert (event["event"], event["cause"], event["rule"]) == ("opted_out", "lead", "person")
    assert (event["text"], event["messageId"]) == ("wrong number", message)
    shown = await world.thread(thread)
    assert (shown["status"], shown["awaitsDecision"]) == ("dnc", False)
    refused = await world.tenant.ask("POST", "/sms/send", {"leadId": world.lead["leadId"], "message": "Hi"})
    assert refused.json()["error"]["code"] == "DNC_BLOCKED"

    async def confirmations() -> list[str] | None:
        return [text for text in world.carrier.received(world.phone) if "unsubscribed" in text] or None

    [confirmation] = await until(confirmations)
    assert "START" in confirmation
    await world.text("START")
    assert (await world.thread(thread))["status"] == "in_progress"
    await asyncio.sleep(WINDOW)
    assert world.agent.told == []


async def test_a_stop_settles_what_waited(world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text("wrong number")
    await world.text("STOP")
    assert not (await world.thread(thread))["awaitsDecision"]
    await world.text("START")
    shown = await world.thread(thread)
    assert (shown["status"], shown["awaitsDecision"]) == ("in_progress", False)
    await world.text("How much is it?")
    await world.told(1)
    assert words_told(world) == [["How much is it?"]]


async def test_with_the_agent_off_a_decision_hands_nothing_over(world: World) -> None:
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text("is this spam?")
    message = (await entry_of(world, thread, "is this spam?"))["messageId"]
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": False})
    await decide(world, message, False)
    await asyncio.sleep(WINDOW)
    assert world.agent.told == []


@pytest.mark.parametrize("again", [True, False])
async def test_a_decision_stands(world: World, again: bool) -> None:
    thread = (await world.send())["interactionId"]
    await world.text("wrong number")
    message = (await entry_of(world, thread, "wrong number"))["messageId"]
    await decide(world, message, not again)
    answer = await world.tenant.ask("POST", f"/messages/{message}/opt-out-decision", {"optOut": again})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "NOT_HELD"


async def test_only_unclear_texts_of_leads_are_decided(world: World) -> None:
    sent = await world.send()
    await world.text("Yes please")
    plain = (await entry_of(world, sent["interactionId"], "Yes please"))["messageId"]
    for message in (sent["messageId"], plain):
        answer = await world.tenant.ask("POST", f"/messages/{message}/opt-out-decision", {"optOut": True})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "NOT_HELD")
    answer = await world.tenant.ask("POST", "/messages/msg_none/opt-out-decision", {"optOut": True})
    assert answer.status_code == 404
    assert (await consent(world))["events"] == []


async def test_a_tenant_may_have_unclear_texts_forwarded(world: World) -> None:
    changed = await world.tenant.call("PATCH", "/settings", {"possibleOptOut": "forward"})
    assert changed["possibleOptOut"] == "forward"
    thread = (await world.send(agentMode=True))["interactionId"]
    await world.text("wrong number")
    told = await world.told(1)
    assert told["message"]["messages"][0]["possibleOptOut"] is True
    assert not (await world.thread(thread))["awaitsDecision"]
    message = told["message"]["messages"][0]["messageId"]
    await decide(world, message, True)
    assert (await consent(world))["causes"] == ["lead"]


async def test_the_setting_is_hold_or_forward(world: World) -> None:
    assert (await world.tenant.call("GET", "/settings"))["possibleOptOut"] == "hold"
    for word in ("ignore", None):
        answer = await world.tenant.ask("PATCH", "/settings", {"possibleOptOut": word})
        assert answer.status_code == 400
        assert "possibleOptOut" in answer.json()["error"]["details"][0]

"""Agent mode: the window, the hand-over, the replies."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from app.resources import Resources
from tests.makers import Data
from tests.world import World, until


async def talking(world: World) -> str:
    """A thread in agent mode; its id."""
    sent = await world.send("Hi Jane", agentMode=True)
    await world.status_is(sent["messageId"], "delivered")
    thread: str = sent["interactionId"]
    return thread


async def reply(world: World, text: str, **more: Any) -> httpx.Response:
    body = {"leadId": world.lead["leadId"], "message": text, "source": "sms_agent"} | more
    return await world.tenant.ask("POST", "/sms/send", body)


def at(written: str) -> datetime:
    return datetime.fromisoformat(written)


async def test_a_burst_is_gathered_into_one_turn_and_answered_once(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "Happy to help."})]
    for text in ("Hey, I have a question", "Actually two questions"):
        await world.text(text)
        await asyncio.sleep(0.2)
    told = await world.told(1)
    assert told["message"]["combinedText"] == "Hey, I have a question\nActually two questions"
    turn = await world.turn_is(thread, "replied")
    assert len(await world.turns(thread)) == 1
    assert turn["reply"]["by"] == "inline"
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")
    assert world.carrier.received(world.phone) == ["Hi Jane", "Happy to help."]
    transcript = (await world.thread(thread))["transcript"]
    assert [e["source"] for e in transcript] == ["api", "inbound", "inbound", "sms_agent"]
    assert len(world.agent.told) == 1


async def test_the_payload_is_the_contracts_field_by_field(world: World) -> None:
    thread = await talking(world)
    await world.text("Hey")
    told = await world.told(1)
    [entry, first] = (await world.thread(thread))["transcript"][:2]
    turn = (await world.turns(thread))[0]
    assert told == {
        "message": {
            "combinedText": "Hey", "messageCount": 1, "senderPhone": world.phone,
            "inboundPhone": world.ours,
            "messages": [{"messageId": first["messageId"], "seq": 2, "text": "Hey",
                          "receivedAt": first["timestamp"], "media": []}],
        },
        "lead": {
            "leadId": world.lead["leadId"], "firstName": "Jane", "lastName": "Miller",
            "email": "jane@example.com", "phone": world.phone, "status": "contacted",
            "tags": [], "customFields": {},
        },
        "campaign": {
            "campaignId": world.campaign["campaignId"], "name": "Campaign",
            "clientName": "Sunny Roofs", "offerName": "Panels",
        },
        "interaction": {"interactionId": thread, "status": "in_progress",
                        "transcript": [entry, first]},
        "questionnaire": {
            "knownInformation": [
                {"key": "owner", "question": "Do you own your home?", "answer": "yes"}],
            "informationToCollect": [{"key": "bill", "question": "How high is your bill?"}],
        },
        "turn": {"turnId": turn["turnId"], "trigger": "texts", "followUp": None, "attempt": 1, "throughSeq": 2,
                 "expiresAt": told["turn"]["expiresAt"], "unsentReply": None,
                 "refusedOutcome": None},
        "tenantId": world.tenant.tenant_id, "agentId": world.smsagent["smsAgentId"],
        "timestamp": told["timestamp"],
    }  # fmt: skip
    times = told["turn"]["expiresAt"], told["timestamp"], first["timestamp"]
    assert all(time.endswith("Z") for time in times)
    lasts = at(told["turn"]["expiresAt"]) - at(told["timestamp"])
    assert abs(lasts - timedelta(minutes=10)) < timedelta(seconds=1)


async def test_the_hand_over_is_signed_as_standard_webhooks_says(world: World) -> None:
    await talking(world)
    await world.text("Hey")
    told = await world.told(1)
    headers, body = world.agent.requests[0]
    assert headers["webhook-id"] == told["turn"]["turnId"]
    assert Webhook(world.smsagent["signingSecret"]).verify(body, headers) == told


async def test_both_secrets_sign_while_one_is_rotated(world: World) -> None:
    await talking(world)
    path = f"/sms-agents/{world.smsagent['smsAgentId']}/rotate-secret"
    fresh = await world.tenant.call("POST", path)
    await world.text("Hey")
    await world.told(1)
    headers, body = world.agent.requests[0]
    for secret in (world.smsagent["signingSecret"], fresh["signingSecret"]):
        Webhook(secret).verify(body, headers)


async def test_each_text_restarts_the_window_up_to_the_longest_wait(world: World) -> None:
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"maxWaitMs": 2000})
    thread = await talking(world)
    for n in range(6):
        await world.text(f"text {n}")
        await asyncio.sleep(0.5)
    told = await world.told(1)
    turn = (await world.turns(thread))[0]
    waited = at(turn["handedOverAt"]) - at(turn["openedAt"])
    assert timedelta(seconds=1.5) < waited < timedelta(seconds=4)
    assert 2 <= told["message"]["messageCount"] <= 5


async def test_nothing_is_handed_over_before_its_window_has_passed(world: World) -> None:
    thread = await talking(world)
    await world.text("Hey")
    state = (await world.thread(thread))["agentState"]
    assert state["state"] == "collecting"
    assert state["dueAt"]
    await world.told(1)
    turn = (await world.turns(thread))[0]
    assert at(turn["handedOverAt"]) >= at(turn["dueAt"])
    assert at(turn["handedOverAt"]) - at(turn["dueAt"]) < timedelta(seconds=0.5)


async def test_fifty_texts_make_a_turn_due_at_once(world: World) -> None:
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"batchWindowMs": 60_000, "maxWaitMs": 600_000})
    await talking(world)
    await asyncio.gather(*(world.text(f"text {n}") for n in range(50)))
    assert (await world.told(1))["message"]["messageCount"] == 50


async def test_texts_of_an_agentless_time_are_context_and_never_forwarded(world: World) -> None:
    sent = await world.send("Hi Jane")
    thread = sent["interactionId"]
    await world.text("while off")
    await asyncio.sleep(1.5)
    assert world.agent.told == []
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": True})
    await world.text("while on")
    told = await world.told(1)
    assert told["message"]["combinedText"] == "while on"
    assert [e["message"] for e in told["interaction"]["transcript"]] == [
        "Hi Jane", "while off", "while on",
    ]  # fmt: skip


async def test_a_new_thread_takes_the_agents_default(world: World) -> None:
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"agentModeByDefault": True})
    await world.text("Hello?")
    assert (await world.only_thread())["sms"]["agentMode"]
    assert (await world.told(1))["message"]["combinedText"] == "Hello?"


async def test_an_agent_may_answer_by_the_api_after_the_webhook_was_answered(
    world: World,
) -> None:
    thread = await talking(world)
    await world.text("Hey")
    told = await world.told(1)
    await world.turn_is(thread, "awaiting_reply")
    answer = await reply(world, "Hello Jane", turnId=told["turn"]["turnId"])
    assert answer.status_code == 202
    turn = await world.turn_is(thread, "replied")
    assert turn["reply"] == {
        "texts": ["Hello Jane"], "messageIds": [answer.json()["data"]["messageId"]], "by": "api",
    }  # fmt: skip
    await world.status_is(turn["reply"]["messageIds"][0], "delivered")


async def test_an_agent_may_answer_by_the_api_before_the_webhook_is_answered(
    world: World,
) -> None:
    thread = await talking(world)
    answers: list[int] = []

    async def answer_first(told: Data) -> None:
        given = await reply(world, "Quick as a fox", turnId=told["turn"]["turnId"])
        answers.append(given.status_code)

    world.agent.meanwhile = answer_first
    await world.text("Hey")
    await world.turn_is(thread, "replied")
    assert answers == [202]
    await asyncio.sleep(0.5)
    turns = await world.turns(thread)
    assert [turn["state"] for turn in turns] == ["replied"]
    assert turns[0]["attempts"][0]["httpStatus"] == 200


async def test_a_reply_with_an_idempotency_key_is_taken_once(world: World) -> None:
    await talking(world)
    await world.text("Hey")
    told = await world.told(1)
    body = {"leadId": world.lead["leadId"], "message": "Hello Jane", "source": "sms_agent",
            "turnId": told["turn"]["turnId"]}  # fmt: skip
    keyed = {"Idempotency-Key": "reply-1"}
    first = await world.tenant.ask("POST", "/sms/send", body, headers=keyed)
    again = await world.tenant.ask("POST", "/sms/send", body, headers=keyed)
    assert (first.status_code, again.status_code) == (202, 202), first.text
    assert first.json() == again.json()
    other = await world.tenant.ask("POST", "/sms/send", body | {"message": "No"}, headers=keyed)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_without_a_turn_id_the_leads_only_open_turn_is_answered(world: World) -> None:
    thread = await talking(world)
    await world.text("Hey")
    await world.turn_is(thread, "awaiting_reply")
    assert (await reply(world, "Hello")).status_code == 202
    again = await reply(world, "Hello")
    assert again.status_code == 202
    await world.turn_is(thread, "replied")
    other = await reply(world, "And another thing")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "TURN_CLOSED")
    transcript = (await world.thread(thread))["transcript"]
    assert [e["message"] for e in transcript].count("Hello") == 1


async def test_a_reply_does_not_go_to_another_thread_than_the_one_that_it_names(world: World) -> None:
    thread = await talking(world)
    number = await world.tenant.number(providerAccountId=world.account["accountId"])
    elsewhere = await world.send("Hi from here", **{"from": number["phoneNumber"]})
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")
    for named in (elsewhere["interactionId"], "int_nobody"):
        answer = await reply(world, "Hello", turnId=turn["turnId"], interactionId=named)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
    answer = await reply(world, "Hello", turnId=turn["turnId"], interactionId=thread)
    assert answer.json()["data"]["interactionId"] == thread


async def test_without_any_turn_there_is_nothing_to_answer(world: World) -> None:
    await talking(world)
    refused = await reply(world, "Hello")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "NO_OPEN_TURN")


async def test_whom_nobody_may_text_is_judged_before_whether_a_turn_is_there(world: World) -> None:
    thread = await talking(world)
    await world.tenant.call("PUT", f"/leads/{world.lead['leadId']}/dnc", {"channels": ["sms"]})
    for more in ({}, {"interactionId": thread}):
        refused = await reply(world, "Hello", **more)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "DNC_BLOCKED")


async def test_the_same_reply_to_a_turn_is_one_text_and_another_is_refused(world: World) -> None:
    thread = await talking(world)
    await world.text("Hey")
    told = await world.told(1)
    await world.turn_is(thread, "awaiting_reply")
    turn_id = told["turn"]["turnId"]
    answers = await asyncio.gather(*(reply(world, "Hello", turnId=turn_id) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["data"]["messageId"] for answer in answers}) == 1
    other = await reply(world, "Other", turnId=turn_id)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "TURN_CLOSED")


async def test_a_reply_to_a_turn_is_stale_once_the_lead_wrote_again(world: World) -> None:
    thread = await talking(world)
    await world.text("Hey")
    told = await world.told(1)
    await world.turn_is(thread, "awaiting_reply")
    await world.text("Wait, something else")
    stale = await reply(world, "Too late", turnId=told["turn"]["turnId"])
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "STALE_TURN")
    second = await world.told(2)
    assert second["turn"]["unsentReply"]["texts"] == ["Too late"]
    assert second["message"]["combinedText"] == "Wait, something else"
    first = (await world.turns(thread))[0]
    assert (first["state"], first["movedTo"]) == ("superseded", None)


async def test_several_inline_replies_leave_in_order_and_none_is_a_decline(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"replies": ["one", "two", "three"]}), (200, {"replies": []})]
    await world.text("Hey")
    turn = await world.turn_is(thread, "replied")
    await world.status_is(turn["reply"]["messageIds"][-1], "delivered")
    assert world.carrier.received(world.phone) == ["Hi Jane", "one", "two", "three"]
    await world.text("Thanks")
    declined = await world.turn_is(thread, "declined")
    assert declined["reason"]


async def test_an_agent_may_hand_over_to_a_person(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"handoff": True, "reason": "asks for a person"})]
    await world.text("A human please")
    turn = await world.turn_is(thread, "handed_off")
    assert "asks for a person" in turn["reason"]
    now = await world.thread(thread)
    assert (now["status"], now["sms"]["agentMode"]) == ("follow_up", False)
    note = now["transcript"][-1]
    assert (note["source"], note["status"]) == ("system", "note")


@pytest.mark.parametrize("answer", [{"reply": "  "}, {"reply": "x" * 1601}, {"reply": 5}])
async def test_an_unusable_inline_text_is_recorded_and_the_turn_stays_open(world: World, answer: Data) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, answer)]
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")

    async def refused() -> Data | None:
        [only] = await world.turns(thread)
        return only if only["refused"] else None

    assert (await until(refused))["refused"][0]["code"] == "VALIDATION_ERROR"
    assert (await reply(world, "Better", turnId=turn["turnId"])).status_code == 202


async def test_a_failing_webhook_is_tried_again_under_the_same_id_with_frozen_texts(
    world: World, resources: Resources
) -> None:
    thread = await talking(world)
    world.agent.answers = [(503, {}), (302, {}), (200, {"reply": "At last"})]
    await world.text("Hey")
    for n in (1, 2):
        await world.told(n)

        async def failed(n: int = n) -> bool:
            [turn] = await world.turns(thread)
            return len([a for a in turn["attempts"] if a["outcome"] == "failed"]) == n

        await until(failed)
        assert (await world.thread(thread))["agentState"]["state"] == "retrying"
        async with resources.database.system_tx() as tx:
            await tx.execute("UPDATE turns SET due_at = clock_timestamp()")
    turn = await world.turn_is(thread, "replied")
    assert {headers["webhook-id"] for headers, _ in world.agent.requests} == {turn["turnId"]}
    assert [told["turn"]["attempt"] for told in world.agent.told] == [1, 2, 3]
    frozen = [{**told, "turn": None, "timestamp": None} for told in world.agent.told]
    assert frozen[0] == frozen[1] == frozen[2]
    kept = [json.loads(attempt["requestBody"]) for attempt in turn["attempts"]]
    assert kept == world.agent.told


async def test_after_the_last_attempt_a_person_must_follow_up_and_the_texts_move_on(
    world: World, resources: Resources
) -> None:
    thread = await talking(world)
    world.agent.answers = [(500, {})] * 5
    await world.text("Hey")
    for n in range(1, 6):
        await world.told(n)

        async def failed(n: int = n) -> bool:
            [turn] = await world.turns(thread)
            return len([a for a in turn["attempts"] if a["outcome"] == "failed"]) == n

        await until(failed)
        async with resources.database.system_tx() as tx:
            await tx.execute("UPDATE turns SET due_at = clock_timestamp() WHERE state <> 'failed'")
    first = await world.turn_is(thread, "failed")
    now = await world.thread(thread)
    assert (now["status"], now["sms"]["agentMode"]) == ("follow_up", True)
    assert now["transcript"][-1]["status"] == "note"
    await world.text("Anybody?")
    told = await world.told(6)
    assert told["message"]["combinedText"] == "Hey\nAnybody?"
    assert "note" not in [entry["status"] for entry in told["interaction"]["transcript"]]
    turns = await world.turns(thread)
    assert turns[0]["turnId"] == first["turnId"]
    assert turns[0]["movedTo"] == turns[1]["turnId"]


async def expire(resources: Resources) -> None:
    """The time of all turns that wait for a reply is over."""
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE turns SET due_at = clock_timestamp() WHERE state = 'awaiting_reply'")


@pytest.mark.parametrize(
    ("before", "after"),
    [("in_progress", "follow_up"), ("incomplete", "follow_up"), ("qualified", "qualified"), ("completed", "completed")],
)
async def test_a_turn_without_a_reply_expires_and_a_person_must_follow_up(
    world: World, resources: Resources, before: str, after: str
) -> None:
    thread = await talking(world)
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"status": before})
    await world.text("Hey")
    await world.turn_is(thread, "awaiting_reply")
    await expire(resources)
    turn = await world.turn_is(thread, "expired")
    assert turn["reason"] == "no reply came in time"
    now = await world.thread(thread)
    assert (now["status"], now["sms"]["agentMode"]) == (after, True)
    note = now["transcript"][-1]
    assert (note["status"], note["message"]) == ("note", "The agent did not answer the lead: no reply came in time.")
    late = await reply(world, "Sorry", turnId=turn["turnId"])
    assert (late.status_code, late.json()["error"]["code"]) == (409, "TURN_CLOSED")


async def test_a_turn_that_expires_while_the_lead_writes_again_needs_no_person(
    world: World, resources: Resources
) -> None:
    thread = await talking(world)
    await world.text("Hey")
    await world.turn_is(thread, "awaiting_reply")
    agent_path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", agent_path, {"batchWindowMs": 60_000, "maxWaitMs": 60_000})
    await world.text("Anybody?")
    await world.turn_is(thread, "collecting")
    await expire(resources)

    async def expired() -> bool:
        return bool((await world.turns(thread))[0]["state"] == "expired")

    await until(expired)
    now = await world.thread(thread)
    assert (now["status"], now["agentState"]["state"]) == ("in_progress", "collecting")
    assert "note" not in [entry["status"] for entry in now["transcript"]]


async def test_switching_agent_mode_off_cancels_the_turn_and_its_reply(world: World) -> None:
    thread = await talking(world)
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")
    off = await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": False})
    assert off["agentState"]["state"] == "off"
    assert (await world.turn_is(thread, "cancelled"))["reason"]
    late = await reply(world, "Hello", turnId=turn["turnId"])
    assert (late.status_code, late.json()["error"]["code"]) == (409, "TURN_CANCELLED")


async def test_a_reply_that_switches_agent_mode_off_leaves(world: World) -> None:
    thread = await talking(world)
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")
    said = await reply(world, "A colleague will call.", turnId=turn["turnId"], agentMode=False)
    await world.status_is(said.json()["data"]["messageId"], "delivered")
    assert not (await world.thread(thread))["sms"]["agentMode"]
    assert (await world.turn_is(thread, "replied"))["reply"]["texts"] == ["A colleague will call."]


async def test_a_send_that_wants_agent_mode_again_switches_nothing_but_ends_a_pause(
    world: World, resources: Resources
) -> None:
    thread = await talking(world)
    await world.send("Are you there?", agentMode=True)
    assert (await world.thread(thread))["sms"]["agentMode"]
    assert not [entry for entry in (await world.thread(thread))["transcript"] if entry["status"] == "note"]
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE interactions SET paused_until = clock_timestamp() + interval '1 h' WHERE interaction_id = $1",
            thread,
        )
    assert (await world.thread(thread))["agentState"]["state"] == "paused"
    await world.send("Still there?", agentMode=True)
    assert (await world.thread(thread))["agentState"]["state"] != "paused"


async def test_a_send_switches_agent_mode_on_where_a_person_had_switched_it_off(world: World) -> None:
    thread = await talking(world)
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": False})
    await world.send("Our agent answers again.", agentMode=True)
    assert (await world.thread(thread))["sms"]["agentMode"]

    async def is_told() -> bool:  # the feed waits for each transaction that began before
        return [switch["data"]["agentMode"] for switch in await list_switches(world, thread)] == [False, True]

    await until(is_told)


async def test_a_send_that_met_a_switch_in_progress_comes_after_it(world: World, resources: Resources) -> None:
    thread = await talking(world)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE interactions SET agent_mode = false WHERE interaction_id = $1", thread)
        sending = asyncio.create_task(world.send("Our agent answers again.", agentMode=True))

        async def is_waiting() -> bool:
            async with resources.database.system_tx() as other:
                return bool(await other.fetch_value("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"))

        await until(is_waiting)
    await sending
    assert (await world.thread(thread))["sms"]["agentMode"]


async def list_switches(world: World, thread: str) -> list[Data]:
    page = await world.tenant.call("GET", "/events?types=interaction.agent_mode&wait=0")
    return [event for event in page["events"] if event["interactionId"] == thread]


async def test_a_thread_without_an_agent_fails_its_turn_visibly(world: World) -> None:
    thread = await talking(world)
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"active": False})
    await world.text("Hey")
    async with asyncio.timeout(10):
        turn = await world.turn_is(thread, "failed")
    assert "no active agent" in turn["reason"]


async def test_an_agents_key_does_nothing_but_answer_its_own_turns(world: World) -> None:
    thread = await talking(world)
    mine = await world.tenant.with_scope("agent", world.smsagent["smsAgentId"])
    stranger = await world.tenant.agent()
    theirs = await world.tenant.with_scope("agent", stranger["smsAgentId"])
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")
    body = {"leadId": world.lead["leadId"], "message": "Hi", "turnId": turn["turnId"]}
    assert (await theirs.ask("POST", "/sms/send", body)).status_code == 404
    assert (await theirs.ask("GET", f"/turns/{turn['turnId']}")).status_code == 404
    assert (await theirs.ask("GET", f"/interactions/{thread}")).status_code == 404
    assert (await mine.ask("GET", f"/turns/{turn['turnId']}")).status_code == 200
    assert (await mine.ask("GET", f"/interactions/{thread}")).status_code == 200
    assert (await mine.ask("GET", "/leads")).status_code == 403
    assert (await mine.ask("POST", "/leads", {"firstName": "X"})).status_code == 403
    stranger_lead = {"leadId": (await world.tenant.lead())["leadId"], "message": "Hi"}
    for text in (stranger_lead, stranger_lead | {"turnId": turn["turnId"]}, stranger_lead | {"to": world.phone}):
        real = await mine.ask("POST", "/sms/send", text)
        tried = await mine.ask("POST", "/sms/send", text | {"dryRun": True})
        assert (tried.status_code, tried.content) == (real.status_code, real.content)
        assert tried.is_error
    forecast = await mine.call("POST", "/sms/send", body | {"dryRun": True})
    assert forecast["resolution"][0] == {"field": "to", "rule": "thread", "value": world.phone}
    assert (await mine.ask("POST", "/sms/send", body)).status_code == 202
    transcript = (await world.thread(thread))["transcript"]
    assert transcript[-1]["source"] == "sms_agent"


async def test_flushing_redis_in_mid_window_loses_nothing(world: World, resources: Resources) -> None:
    thread = await talking(world)
    await world.text("Hey")
    assert resources.settings.redis_url
    await resources.clock._redis.flushall()
    await world.told(1)
    turn = (await world.turns(thread))[0]
    assert at(turn["handedOverAt"]) - at(turn["dueAt"]) < timedelta(seconds=5)

"""A conversation ends in an outcome: the agent says what it came to, in its webhook's answer or
through the API."""

from typing import Any

import pytest

from app.resources import Resources
from tests.flows.test_agent_mode import reply, talking
from tests.flows.test_hand_offs import CLOSED, WISH, again, by_hand, notes, twinned
from tests.flows.test_turn_sets import claimed, fall_due, forwarding, writing
from tests.flows.test_turns import change_agent
from tests.makers import Data, phone
from tests.world import World, until

OUTCOME = {
    "status": "qualified",
    "summary": "Jane owns her home; her bill is 120.",
    "answers": [{"key": "bill", "answer": "about 120"}],
    "leadStatus": "won",
    "note": "She sounds keen.",
}
TOLD = (
    "The agent set the status to qualified, set the lead's status to won"
    " and recorded “How high is your bill?” about 120."
)
"""The note of what it changed."""


async def lead_of(world: World) -> Data:
    return await world.tenant.call("GET", f"/leads/{world.lead['leadId']}")


async def answers_of(world: World) -> dict[str, str]:
    return {one["key"]: one["answer"] for one in (await lead_of(world))["questionnaire"]}


async def give(world: World, turn_id: str, outcome: Data, **more: Any) -> Any:
    return await world.tenant.ask("POST", f"/turns/{turn_id}/outcome", outcome, **more)


async def carried_out(world: World, thread: str) -> None:
    shown = await world.thread(thread)
    assert (shown["status"], shown["summary"]) == ("qualified", OUTCOME["summary"])
    assert "She sounds keen." in notes(shown)
    [note] = [e for e in shown["transcript"] if e["message"] == "She sounds keen."]
    assert (note["source"], note["status"]) == ("system", "note")
    lead = await lead_of(world)
    assert lead["status"] == "won"
    assert {"key": "bill", "question": "How high is your bill?", "answer": "about 120"} in lead["questionnaire"]


async def no_effect(world: World, thread: str, status: str = "in_progress") -> None:
    shown = await world.thread(thread)
    assert (shown["status"], shown["summary"]) == (status, None)
    assert (await lead_of(world))["status"] == "contacted"
    assert await answers_of(world) == {"owner": "yes"}
    assert "She sounds keen." not in notes(shown)


async def test_a_lone_outcome_concludes_the_turn_and_is_carried_out(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, OUTCOME)]
    await world.text("120")
    turn = await world.turn_is(thread, "concluded")
    assert (turn["reason"], turn["reply"], turn["refused"]) == ("the agent gave an outcome", None, [])
    assert turn["outcome"]["by"] == "inline"
    assert turn["outcome"] | OUTCOME | {"answers": turn["outcome"]["answers"]} == turn["outcome"]
    assert turn["outcome"]["answers"] == [{"key": "bill", "answer": "about 120", "messageId": None}]
    await carried_out(world, thread)
    assert (await world.thread(thread))["agentState"]["state"] == "idle"


@pytest.mark.parametrize("said", [{"reply": "Thanks"}, {"replies": ["Thanks", "Bye"]}])
async def test_a_reply_goes_out_and_the_outcome_beside_it_is_carried_out(world: World, said: Data) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, said | OUTCOME)]
    await world.text("120")
    turn = await world.turn_is(thread, "replied")
    for message_id in turn["reply"]["messageIds"]:
        await world.status_is(message_id, "delivered")
    assert world.carrier.received(world.phone) == ["Hi Jane", *said.get("replies", ["Thanks"])]
    assert turn["outcome"]["status"] == "qualified"
    await carried_out(world, thread)


async def test_a_turn_may_be_declined_with_an_outcome(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"replies": []} | OUTCOME)]
    await world.text("120")
    await world.turn_is(thread, "declined")
    await carried_out(world, thread)


@pytest.mark.parametrize("said", [{}, {"reply": "Bye"}])
@pytest.mark.parametrize(("outcome", "status"), [(OUTCOME, "qualified"), ({"summary": "A hard one"}, "follow_up")])
async def test_a_hand_off_follows_the_outcome_and_keeps_its_status(
    world: World, said: Data, outcome: Data, status: str
) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, said | WISH | outcome)]
    await world.text("120")
    turn = await world.turn_is(thread, "handed_off")
    assert (turn["reason"], turn["refused"]) == ("the agent handed off: a hard one", [])
    assert turn["outcome"]["summary"] == outcome["summary"]
    shown = await world.thread(thread)
    assert (shown["sms"]["agentMode"], shown["status"], shown["summary"]) == (False, status, outcome["summary"])
    assert "The agent handed over to a person: a hard one" in notes(shown)


@pytest.mark.parametrize("status", ["in_progress", "completed", "incomplete", "follow_up", "qualified", "disqualified"])
async def test_an_agent_sets_any_status(world: World, status: str) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"status": status})]
    await world.text("120")
    await world.turn_is(thread, "concluded")
    assert (await world.thread(thread))["status"] == status


async def test_do_not_contact_by_an_agent_is_the_leads_own_wish(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"status": "dnc"})]
    await world.text("My wife says to leave it")
    await world.turn_is(thread, "concluded")
    assert (await world.thread(thread))["status"] == "dnc"
    consent = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert consent["causes"] == ["lead"]
    [event] = consent["events"]
    assert (event["event"], event["rule"], event["text"]) == ("opted_out", "agent", "My wife says to leave it")
    assert event["actor"] == f"agent:{world.smsagent['smsAgentId']}"
    assert (await world.tenant.ask("POST", "/sms/send", {"leadId": world.lead["leadId"], "message": "x"})).json()[
        "error"
    ]["code"] == "DNC_BLOCKED"

    async def confirmed() -> bool:
        return len(world.carrier.received(world.phone)) == 2

    await until(confirmed)
    assert "unsubscribed" in world.carrier.received(world.phone)[1]
    await world.text("START")
    assert (await world.thread(thread))["status"] == "in_progress"


@pytest.mark.parametrize("null", [None, []])
async def test_null_and_an_empty_list_of_answers_are_absent(world: World, null: Any) -> None:
    thread = await talking(world)
    world.agent.answers = [
        (200, {"reply": "Hi", "status": None, "summary": None, "answers": null, "leadStatus": None, "note": None})
    ]
    await world.text("120")
    turn = await world.turn_is(thread, "replied")
    assert (turn["outcome"], turn["refused"]) == (None, [])


BAD = [
    ({"status": "done"}, "status: must be one of in_progress"),
    ({"status": True}, "status: must be one of"),
    ({"summary": "x" * 1001}, "summary: must have at most 1000 characters"),
    ({"summary": " "}, "summary: must not be blank"),
    ({"summary": ["x"]}, "summary: must be text"),
    ({"answers": {"bill": "120"}}, "answers: must be a list"),
    ({"answers": ["120"]}, "answers[0]: must be an object"),
    ({"answers": [{"key": "bill", "answer": 120}]}, "answers[0].answer: must be text"),
    ({"answers": [{"key": "bill"}]}, "answers[0].answer: must be text"),
    ({"answers": [{"key": "bill", "answer": "120", "text": "x"}]}, "answers[0].text: is not a known field"),
    ({"answers": [{"key": "nope", "answer": "x"}]}, "answers[0].key: nope is not in the questionnaire"),
    (
        {"answers": [{"key": "bill", "answer": "1"}, {"key": "bill", "answer": "2"}]},
        "answers[1].key: bill is given twice",
    ),
    (
        {"answers": [{"key": "bill", "answer": "1", "messageId": "msg_no"}]},
        "answers[0].messageId: is no text of the lead in this thread",
    ),
    ({"leadStatus": ""}, "leadStatus: must not be blank"),
    ({"leadStatus": "x" * 65}, "leadStatus: must have at most 64 characters"),
    ({"note": 5}, "note: must be text"),
]


@pytest.mark.parametrize(("bad", "detail"), BAD[::5] + BAD[10:13:2])
async def test_a_faulty_outcome_has_no_effect_and_is_told(world: World, bad: Data, detail: str) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "Hi"} | OUTCOME | bad)]
    await world.text("120")
    turn = await world.turn_is(thread, "replied")
    [refused] = turn["refused"]
    assert (refused["code"], refused["texts"], refused["by"]) == ("VALIDATION_ERROR", [], "inline")
    assert refused["detail"].startswith(detail)
    assert refused["outcome"]["status"] == (OUTCOME | bad)["status"]
    assert turn["outcome"] is None
    await no_effect(world, thread)
    await world.text("Are you there?")
    told = await world.told(2)
    assert told["turn"]["refusedOutcome"] == {
        "turnId": turn["turnId"], "outcome": refused["outcome"], "code": "VALIDATION_ERROR",
        "detail": refused["detail"], "refusedAt": refused["at"],
    }  # fmt: skip
    await world.turn_is(thread, "awaiting_reply")
    await world.text("And now?")
    assert (await world.told(3))["turn"]["refusedOutcome"] is None


@pytest.mark.parametrize(("bad", "detail"), BAD)
async def test_the_api_refuses_a_faulty_outcome_by_name(
    idle_world: World, resources: Resources, bad: Data, detail: str
) -> None:
    world = idle_world
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [handed] = await claimed(forwarding(resources), [thread])
    answer = await give(world, handed.turn_id, OUTCOME | bad)
    assert answer.status_code == 400
    field = detail.split(":")[0]
    assert any(line.startswith(field) for line in answer.json()["error"]["details"]), answer.text
    assert (await world.turns(thread[1]))[0]["outcome"] is None
    assert (await world.thread(thread[1]))["summary"] is None


# Through the API, and by which rules.


async def handed(world: World, resources: Resources) -> tuple[str, str]:
    """A turn that was handed over and not answered, and its thread."""
    thread = await talking(world)
    await world.text("120")
    turn = await world.turn_is(thread, "awaiting_reply")
    return thread, turn["turnId"]


async def test_an_outcome_through_the_api_concludes_the_turn(world: World, resources: Resources) -> None:
    thread, turn_id = await handed(world, resources)
    answer = await give(world, turn_id, OUTCOME)
    assert answer.status_code == 200
    turn = answer.json()["data"]
    assert (turn["turnId"], turn["state"], turn["outcome"]["by"]) == (turn_id, "concluded", "api")
    await carried_out(world, thread)
    assert (await reply(world, "Too late", turnId=turn_id)).json()["error"]["code"] == "TURN_CLOSED"


async def test_an_answered_turn_gets_its_outcome_until_the_next_is_handed_over(
    world: World, resources: Resources
) -> None:
    thread, turn_id = await handed(world, resources)
    assert (await reply(world, "Thanks", turnId=turn_id)).status_code == 202
    first = await give(world, turn_id, {"summary": "So far so good"})
    assert first.json()["data"]["state"] == "replied"
    await world.text("One more thing")
    turn = await world.turn_is(thread, "awaiting_reply")
    assert (await give(world, turn_id, {"summary": "So far so good"})).status_code == 200
    assert (await give(world, turn_id, OUTCOME)).json()["error"]["code"] == "TURN_CLOSED"
    assert (await reply(world, "Sure", turnId=turn["turnId"])).status_code == 202
    await world.text("And another")
    await world.turn_is(thread, "awaiting_reply")
    late = await give(world, turn["turnId"], OUTCOME)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "STALE_TURN")
    assert (await world.thread(thread))["summary"] == "So far so good"


async def test_an_outcome_is_taken_while_the_lead_writes_on(world: World, resources: Resources) -> None:
    await change_agent(world, batchWindowMs=60_000, maxWaitMs=60_000)
    thread = await talking(world)
    await world.text("120")

    async def due() -> bool:
        async with resources.database.system_tx() as tx:
            await tx.execute("UPDATE turns SET due_at = clock_timestamp()")
        return bool(world.agent.told)

    await until(due)
    turn = await world.turn_is(thread, "awaiting_reply")
    await world.text("Hello?")
    assert (await give(world, turn["turnId"], OUTCOME)).status_code == 200
    await carried_out(world, thread)
    assert [t["state"] for t in await world.turns(thread)] == ["concluded", "collecting"]


async def test_the_same_outcome_again_gets_the_first_result_and_another_one_none(
    world: World, resources: Resources
) -> None:
    thread, turn_id = await handed(world, resources)
    first = await give(world, turn_id, OUTCOME)
    again = await give(world, turn_id, OUTCOME)
    assert (again.status_code, again.json()["data"]) == (200, first.json()["data"])
    other = await give(world, turn_id, {"status": "disqualified"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "TURN_CLOSED")
    assert other.json()["error"]["details"] == ["outcome: this turn has another one"]
    shown = await world.thread(thread)
    assert (shown["status"], notes(shown).count("She sounds keen.")) == ("qualified", 1)
    [turn] = await world.turns(thread)
    assert [one["code"] for one in turn["refused"]] == ["TURN_CLOSED"]
    await world.text("Hello?")
    refused = (await world.told(2))["turn"]["refusedOutcome"]
    assert (refused["outcome"], refused["turnId"]) == ({"status": "disqualified"}, turn_id)


async def test_a_key_answers_a_repeated_outcome_and_refuses_another_body(world: World, resources: Resources) -> None:
    _, turn_id = await handed(world, resources)
    headers = {"Idempotency-Key": "once"}
    first = await give(world, turn_id, OUTCOME, headers=headers)
    assert (await give(world, turn_id, OUTCOME, headers=headers)).json() == first.json()
    other = await give(world, turn_id, {"status": "completed"}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_refusal_frees_the_key(world: World, resources: Resources) -> None:
    _, turn_id = await handed(world, resources)
    headers = {"Idempotency-Key": "once"}
    nope = {"answers": [{"key": "nope", "answer": "x"}]}
    assert (await give(world, turn_id, nope, headers=headers)).status_code == 400
    assert (await give(world, turn_id, OUTCOME, headers=headers)).status_code == 200


async def test_who_may_give_an_outcome(world: World, resources: Resources) -> None:
    _, turn_id = await handed(world, resources)
    other = await world.tenant.agent()
    for scope, agent, status in (
        ("read", None, 403),
        ("agent", other["smsAgentId"], 404),
        ("agent", world.smsagent["smsAgentId"], 200),
        ("api", None, 200),
    ):
        by = await world.tenant.with_scope(scope, agent)
        assert (await by.ask("POST", f"/turns/{turn_id}/outcome", OUTCOME)).status_code == status, scope
    assert (await give(world, "turn_no", OUTCOME)).status_code == 404


@pytest.mark.parametrize("body", [{}, {"status": None}, {"answers": []}, {"reply": "x"}])
async def test_an_outcome_without_anything_is_refused(world: World, resources: Resources, body: Data) -> None:
    _, turn_id = await handed(world, resources)
    assert (await give(world, turn_id, body)).json()["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("way", ["api", "inline"])
@pytest.mark.parametrize(
    ("what", "code"),
    [("by hand", "TURN_CANCELLED"), ("off", "TURN_CANCELLED"), ("stop", "DNC_BLOCKED"), ("superseded", "STALE_TURN")],
)
@pytest.mark.parametrize("answered", [False, True])
async def test_an_outcome_that_comes_too_late_is_told_and_has_no_effect(
    idle_world: World, resources: Resources, way: str, what: str, code: str, answered: bool
) -> None:
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [hand_over] = await claimed(by, [thread])
    before = await world.thread(thread[1])
    if answered:
        body = {"leadId": before["leadId"], "message": "Bye", "source": "sms_agent", "turnId": hand_over.turn_id}
        assert (await world.tenant.ask("POST", "/sms/send", body)).status_code == 202
    match what:
        case "by hand":
            await by_hand(world, resources, thread)
        case "off":
            await world.tenant.call("PATCH", f"/interactions/{thread[1]}", {"agentMode": False})
        case "stop":
            assert await world.carrier.text(before["phone"], world.ours, "STOP") == 200
        case "superseded":
            async with resources.database.system_tx() as tx:
                await tx.execute("UPDATE turns SET posting = false, lease = NULL")
            assert await world.carrier.text(before["phone"], world.ours, "Hello?") == 200
            await fall_due(resources)
            await claimed(by, [thread])
    before = await world.thread(thread[1])
    if way == "api":
        answer = await give(world, hand_over.turn_id, OUTCOME)
        assert answer.json()["error"]["code"] == code
    else:
        world.agent.answers = [(200, OUTCOME)]
        await by.perform(hand_over)
    after = await world.thread(thread[1])
    assert (after["status"], after["summary"], notes(after)) == (before["status"], None, notes(before))
    lead = await world.tenant.call("GET", f"/leads/{before['leadId']}")
    assert (lead["status"], lead["questionnaire"]) == ("new", [])
    turn = (await world.turns(thread[1]))[0]
    assert (turn["outcome"], turn["state"]) == (None, turn["state"])
    [refused] = turn["refused"]
    assert (refused["code"], refused["by"], refused["outcome"]) == (code, way, OUTCOME)


@pytest.mark.parametrize(
    "state", ["replied", "declined", "expired", "failed", "handed_off", "delivering", "awaiting_reply"]
)
async def test_an_outcome_is_carried_out_in_whatever_state_its_turn_is(
    idle_world: World, resources: Resources, state: str
) -> None:
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [hand_over] = await claimed(by, [thread])
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE turns SET state = $2, reason = 'so it came', lease = 'evt_another',"
            " closed_at = CASE WHEN $2 = ANY ($3) THEN now() END WHERE turn_id = $1",
            hand_over.turn_id, state, [*CLOSED, "handed_off"],
        )  # fmt: skip
    world.agent.answers = [(200, OUTCOME)]
    await by.perform(hand_over)
    [turn] = await world.turns(thread[1])
    assert (turn["refused"], turn["outcome"]["status"]) == ([], "qualified")
    assert turn["state"] == ("concluded" if state in ("delivering", "awaiting_reply") else state)
    assert (await world.thread(thread[1]))["status"] == "qualified"


async def test_an_outcome_that_is_said_twice_is_carried_out_once(idle_world: World, resources: Resources) -> None:
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [first] = await claimed(by, [thread])
    second = await again(by, resources, thread)
    world.agent.answers = [(200, OUTCOME), (200, OUTCOME)]
    await by.perform(first)
    await by.perform(second)
    [turn] = await world.turns(thread[1])
    assert (turn["state"], turn["refused"]) == ("concluded", [])
    assert notes(await world.thread(thread[1])) == [TOLD, "She sounds keen."]


async def test_outcomes_of_two_threads_of_one_lead_are_both_carried_out(
    idle_world: World, resources: Resources
) -> None:
    world, by = idle_world, forwarding(resources)
    second_number = await world.tenant.number(providerAccountId=world.account["accountId"])
    world.carrier.known.inbound_urls[second_number["phoneNumber"]] = world.account["webhooks"]["inbound"]
    threads = []
    for number in (world.ours, second_number["phoneNumber"]):
        sent = await world.send(agentMode=True, **{"from": number})
        assert await world.carrier.text(world.phone, number, "120") == 200
        threads.append((world.tenant.tenant_id, sent["interactionId"]))
    await fall_due(resources)
    handed_overs = await claimed(by, threads)
    world.agent.answers = [
        (200, {"summary": "one", "answers": [{"key": "bill", "answer": "120"}]}),
        (200, {"summary": "two", "leadStatus": "won", "answers": [{"key": "owner", "answer": "no"}]}),
    ]
    results = [await by._post_turn(hand_over) for hand_over in handed_overs]
    await by._settle_answers(list(zip(handed_overs, results, strict=True)))
    assert {(await world.thread(thread))["summary"] for _, thread in threads} == {"one", "two"}
    assert (await lead_of(world))["status"] == "won"
    assert await answers_of(world) == {"owner": "no", "bill": "120"}


# Replays, shadows and tests keep it.


@pytest.mark.parametrize("kind", ["replay", "shadow", "test"])
@pytest.mark.parametrize(("said", "state"), [({}, "concluded"), ({"reply": "Hi"}, "replied"), (WISH, "handed_off")])
async def test_a_dry_turn_keeps_its_outcome_without_effect(world: World, kind: str, said: Data, state: str) -> None:
    twin, thread = await twinned(world, kind, said | OUTCOME)
    assert (twin["kind"], twin["state"], twin["refused"]) == (kind, state, [])
    assert (twin["outcome"]["status"], twin["outcome"]["by"]) == ("qualified", "inline")
    await no_effect(world, thread)
    if kind != "test":
        assert (await give(world, twin["turnId"], OUTCOME)).status_code == 200
    assert (await give(world, twin["turnId"], {"status": "completed"})).json()["error"]["code"] == "TURN_CLOSED"
    await no_effect(world, thread)


@pytest.mark.parametrize("kind", ["replay", "shadow", "test"])
async def test_a_faulty_outcome_of_a_dry_turn_is_told(world: World, kind: str) -> None:
    twin, thread = await twinned(world, kind, {"status": "done"})
    assert (twin["state"], twin["outcome"]) == ("awaiting_reply", None)
    assert twin["refused"][0]["detail"].startswith("status: must be one of")
    given = await give(world, twin["turnId"], {"status": "completed"})
    assert (given.json()["data"]["state"], given.json()["data"]["outcome"]["by"]) == ("concluded", "api")
    await no_effect(world, thread)
    await world.text("Hello?")
    assert (await world.told(len(world.agent.told)))["turn"]["refusedOutcome"] is None


async def test_the_shadow_report_shows_both_outcomes(world: World) -> None:
    thread = await talking(world)
    await change_agent(world, shadowWebhookUrl=world.agent.url)
    world.agent.answers = [(200, OUTCOME), (200, OUTCOME)]
    await world.text("120")
    await world.turn_is(thread, "concluded")

    async def both() -> bool:
        path = f"/sms-agents/{world.smsagent['smsAgentId']}/shadow-report"
        [pair] = (await world.tenant.call("GET", path))["pairs"]
        outcomes = [pair[side]["outcome"] for side in ("live", "shadow")]
        return [one and one["summary"] for one in outcomes] == [OUTCOME["summary"]] * 2

    await until(both)
    assert notes(await world.thread(thread)) == [TOLD, "She sounds keen."]


# Answers have a source, and a person's word stands.


async def test_an_answer_is_known_in_the_next_payload(world: World) -> None:
    thread = await talking(world)
    first = world.agent
    first.answers = [(200, {"reply": "How high is your bill?"})]
    await world.text("Hi")
    before = (await world.told(1))["questionnaire"]
    assert [one["key"] for one in before["informationToCollect"]] == ["bill"]
    await world.turn_is(thread, "replied")

    async def answer_by(told: Data) -> None:
        text = told["message"]["messages"][0]["messageId"]
        answers = [{"key": "bill", "answer": "120", "messageId": text}]
        assert (await give(world, told["turn"]["turnId"], {"answers": answers})).status_code == 200

    first.meanwhile = answer_by
    await world.text("120")
    await world.turn_is(thread, "concluded")
    first.meanwhile = None
    await world.text("Hello?")
    after = (await world.told(3))["questionnaire"]
    assert after["informationToCollect"] == []
    assert {"key": "bill", "question": "How high is your bill?", "answer": "120"} in after["knownInformation"]
    exported = await world.tenant.call("GET", f"/leads/{world.lead['leadId']}/export")
    [owner, bill] = exported["answers"]
    assert (owner["key"], owner["author"][:4]) == ("owner", "key:")
    text = next(e for e in (await world.thread(thread))["transcript"] if e["message"] == "120")
    assert (bill["key"], bill["answer"], bill["messageId"], bill["interactionId"]) == (
        "bill", "120", text["messageId"], thread,
    )  # fmt: skip
    assert bill["author"] == f"agent:{world.smsagent['smsAgentId']}"


async def test_an_agent_changes_its_own_answer_and_a_keys(world: World) -> None:
    thread = await talking(world)
    for i, value in enumerate(("100", "120")):
        world.agent.answers = [(200, {"answers": [{"key": "bill", "answer": value}, {"key": "owner", "answer": "no"}]})]
        await world.text(value)
        await world.told(i + 1)
        await world.turn_is(thread, "concluded")
    assert await answers_of(world) == {"owner": "no", "bill": "120"}
    exported = await world.tenant.call("GET", f"/leads/{world.lead['leadId']}/export")
    assert [(one["key"], one["answer"]) for one in exported["answers"]] == [
        ("owner", "yes"), ("bill", "100"), ("owner", "no"), ("bill", "120"),
    ]  # fmt: skip


async def test_a_status_that_was_set_by_hand_meanwhile_stands(world: World, resources: Resources) -> None:
    thread, turn_id = await handed(world, resources)
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"status": "disqualified"})
    answer = await give(world, turn_id, OUTCOME)
    assert answer.status_code == 200
    [refused] = answer.json()["data"]["refused"]
    assert (refused["code"], refused["outcome"]) == ("STATUS_BY_PERSON", {"status": "qualified"})
    shown = await world.thread(thread)
    assert (shown["status"], shown["summary"]) == ("disqualified", OUTCOME["summary"])


async def test_a_directory_write_is_recorded_with_its_key(world: World) -> None:
    path = f"/leads/{world.lead['leadId']}"
    question = {"key": "bill", "question": "How high is your bill?"}
    await world.tenant.call("PATCH", path, {"questionnaire": [question | {"answer": "90"}]})
    await world.tenant.call("PATCH", path, {"firstName": "Joan"})
    await world.tenant.call("PUT", path, {"phone": world.phone, "questionnaire": [question | {"answer": "95"}]})
    answers = (await world.tenant.call("GET", f"{path}/export"))["answers"]
    assert sorted((one["key"], one["answer"] or "") for one in answers) == [
        ("bill", "90"), ("bill", "95"), ("owner", ""), ("owner", "yes"),
    ]  # fmt: skip
    assert {one["author"][:8] for one in answers} == {"key:key_"}
    assert await answers_of(world) == {"bill": "95"}


async def test_erasing_a_lead_erases_its_answers(world: World, resources: Resources) -> None:
    _, turn_id = await handed(world, resources)
    assert (await give(world, turn_id, OUTCOME)).status_code == 200
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    async with resources.database.system_tx() as tx:
        assert await tx.fetch_value("SELECT count(*) FROM lead_answers") == 0
        assert await tx.fetch_value("SELECT count(*) FROM idempotency WHERE answer::text LIKE '%owns her home%'") == 0


async def test_a_thread_that_goes_to_another_lead_keeps_no_word_of_the_erased_one(
    world: World, resources: Resources
) -> None:
    thread, turn_id = await handed(world, resources)
    assert (await give(world, turn_id, OUTCOME)).status_code == 200
    assert (await give(world, turn_id, {"summary": "Another secret"})).status_code == 409
    await world.tenant.lead(phone=world.phone, leadId="heir")
    await world.tenant.call("POST", f"/leads/{world.lead['leadId']}/erase")
    assert (await world.thread(thread))["leadId"] == "heir"
    [turn] = await world.turns(thread)
    assert (turn["outcome"], turn["refused"]) == (None, [])
    async with resources.database.system_tx() as tx:
        assert (
            await tx.fetch_value("SELECT refused_outcome FROM interactions WHERE interaction_id = $1", thread) is None
        )


async def test_a_placeholders_answers_go_to_the_real_lead(world: World, resources: Resources) -> None:
    stranger = phone()
    await change_agent(world, inboundCampaignIds=[world.campaign["campaignId"]])
    assert await world.carrier.text(stranger, world.ours, "Hello") == 200
    found = (await world.tenant.call("GET", f"/interactions?search={stranger[1:]}"))["interactions"]
    thread = found[0]["interactionId"]
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": True})
    world.agent.answers = [(200, {"answers": [{"key": "bill", "answer": "120"}]})]
    assert await world.carrier.text(stranger, world.ours, "120") == 200
    await world.turn_is(thread, "concluded")
    owner = {"key": "owner", "question": "Do you own your home?", "answer": "no"}
    await world.tenant.lead(phone=stranger, leadId="real", questionnaire=[owner])
    lead = await world.tenant.call("GET", "/leads/real")
    assert {one["key"]: one["answer"] for one in lead["questionnaire"]} == {"owner": "no", "bill": "120"}
    answers = (await world.tenant.call("GET", "/leads/real/export"))["answers"]
    assert {one["key"] for one in answers} == {"owner", "bill"}

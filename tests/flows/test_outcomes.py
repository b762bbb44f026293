"""A conversation ends in an outcome: the agent says what it came to, in its webhook's answer or
through the API."""

from typing import Any

import pytest

from app.resources import Resources
from tests.flows.test_agent_mode import reply, talking
from tests.flows.test_hand_offs import CLOSED, WISH, again, by_hand, notes
from tests.flows.test_turn_sets import claimed, fall_due, forwarding, writing
from tests.flows.test_turns import change_agent
from tests.makers import Data
from tests.world import World, until

OUTCOME = {
    "status": "qualified",
    "summary": "Jane owns her home; her bill is 120.",
    "answers": [{"key": "bill", "answer": "about 120"}],
    "leadStatus": "won",
    "note": "She sounds keen.",
}


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


@pytest.mark.parametrize(
    "status", ["in_progress", "completed", "incomplete", "follow_up", "qualified", "disqualified"]
)
async def test_an_agent_sets_any_status(world: World, status: str) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"status": status})]
    await world.text("120")
    await world.turn_is(thread, "concluded")
    assert (await world.thread(thread))["status"] == status


async def test_do_not_contact_by_an_agent_is_the_leads_own_wish(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"status": "dnc"})]
    await world.text("I would rather hear nothing more")
    await world.turn_is(thread, "concluded")
    assert (await world.thread(thread))["status"] == "dnc"
    consent = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert consent["causes"] == ["lead"]
    [event] = consent["events"]
    assert (event["event"], event["rule"], event["text"]) == ("opted_out", "agent", "I would rather hear nothing more")
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


@pytest.mark.parametrize(("bad", "detail"), BAD)
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
async def test_the_api_refuses_a_faulty_outcome_by_name(idle_world: World, resources: Resources, bad: Data, detail: str) -> None:
    world = idle_world
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [handed] = await claimed(forwarding(resources), [thread])
    answer = await give(world, handed.turn_id, OUTCOME | bad)
    assert answer.status_code == 400
    field = detail.split(":")[0].replace("answers[", "answers[")
    assert any(line.startswith(field) for line in answer.json()["error"]["details"]), answer.text
    assert (await world.turns(thread[1]))[0]["outcome"] is None
    assert (await world.thread(thread[1]))["summary"] is None

"""An agent hands the conversation to a person: a wish about the thread, obeyed whatever became
of its turn, and never dropped untold."""

import asyncio
from typing import Any

import pytest

from app.commands import outgoing
from app.domain import ids
from app.domain.callers import Caller
from app.domain.orders import Order
from app.jobs.forward import Forwarder
from app.jobs.turn_claims import HandOver
from app.resources import Resources
from app.store.threads import ThreadKey
from tests.flows.test_agent_mode import reply, talking
from tests.flows.test_turn_sets import claimed, fall_due, forwarding, writing
from tests.flows.test_turns import change_agent
from tests.makers import Data
from tests.world import World, until

WISH = {"handoff": True, "reason": "a hard one"}
NOTE = "The agent handed over to a person: a hard one"


async def handed_over(world: World, thread: str) -> Data:
    """The thread, once agent mode is off in it: with follow-up and one note."""

    async def off() -> Data | None:
        shown = await world.thread(thread)
        return None if shown["sms"]["agentMode"] else shown

    shown = await until(off)
    assert shown["status"] == "follow_up"
    assert notes(shown) == [NOTE]
    return shown


def notes(shown: Data) -> list[str]:
    return [e["message"] for e in shown["transcript"] if e["status"] == "note"]


async def ends(world: World, thread: str) -> list[tuple[str, bool]]:
    """The state of each turn, and whether its reason tells of the hand-off."""
    turns = await world.turns(thread)
    return [(turn["state"], "handed off: a hard one" in turn["reason"]) for turn in turns]


@pytest.mark.parametrize("delay", [0, 1500])
async def test_a_goodbye_by_the_api_leaves_and_the_hand_off_after_it_is_obeyed(world: World, delay: int) -> None:
    await change_agent(world, replyDelayMs=delay)
    thread = await talking(world)
    world.agent.answers = [(200, WISH)]
    said: list[str] = []

    async def say_goodbye(told: Data) -> None:
        given = await reply(world, "A colleague will call.", turnId=told["turn"]["turnId"])
        said.append(given.json()["data"]["messageId"])

    world.agent.meanwhile = say_goodbye
    await world.text("A human please")
    await handed_over(world, thread)
    await world.status_is(said[0], "delivered")
    [turn] = await world.turns(thread)
    assert turn["state"] == "replied"
    assert turn["reply"]["messageIds"] == said
    assert turn["reason"] == "answered; the agent handed off: a hard one"
    assert turn["refused"] == []


async def test_a_hand_off_is_obeyed_although_the_lead_wrote_on(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, WISH)]

    async def write_on(_: Data) -> None:
        await world.text("Hello?")

    world.agent.meanwhile = write_on
    await world.text("A human please")
    await handed_over(world, thread)
    assert await ends(world, thread) == [("handed_off", True), ("cancelled", False)]
    assert (await world.turns(thread))[1]["reason"] == "the agent handed over to a person"


CLOSED = ["replied", "declined", "superseded", "expired", "failed", "cancelled"]


async def answered_when(world: World, resources: Resources, state: str, answer: Any = WISH) -> ThreadKey:
    """A thread whose turn is answered only when it is in `state` already."""
    by = forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [handed] = await claimed(by, [thread])
    async with resources.database.system_tx() as tx:
        await tx.execute(
            "UPDATE turns SET state = $2, reason = 'so it came', lease = 'evt_another',"
            " closed_at = CASE WHEN $2 = ANY ($3) THEN now() END WHERE turn_id = $1",
            handed.turn_id, state, CLOSED,
        )  # fmt: skip
    world.agent.answers = [(200, answer)]
    await by.perform(handed)
    return thread


@pytest.mark.parametrize("state", [*CLOSED, "delivering", "awaiting_reply"])
async def test_a_hand_off_is_obeyed_in_whatever_state_its_turn_is(
    idle_world: World, resources: Resources, state: str
) -> None:
    _, thread = await answered_when(idle_world, resources, state)
    await handed_over(idle_world, thread)
    [turn] = await idle_world.turns(thread)
    assert turn["state"] == (state if state in CLOSED else "handed_off")
    before = "so it came; " if state in CLOSED else ""
    assert turn["reason"] == f"{before}the agent handed off: a hard one"
    assert turn["refused"] == []


async def again(by: Forwarder, resources: Resources, thread: ThreadKey) -> HandOver:
    """The turn is handed over once more, as if the lease of the first time had ended."""
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE turns SET due_at = clock_timestamp()")
    [handed] = await claimed(by, [thread])
    return handed


async def test_a_wish_that_is_said_twice_is_one_note(idle_world: World, resources: Resources) -> None:
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [first] = await claimed(by, [thread])
    second = await again(by, resources, thread)
    world.agent.answers = [(200, WISH), (200, WISH)]
    await by.perform(first)
    await by.perform(second)
    await handed_over(world, thread[1])
    [turn] = await world.turns(thread[1])
    assert (turn["state"], turn["refused"]) == ("handed_off", [])
    await world.tenant.call("PATCH", f"/interactions/{thread[1]}", {"agentMode": True})
    assert [len(turn["attempts"]) for turn in await world.turns(thread[1])] == [2]


async def by_hand(world: World, resources: Resources, thread: ThreadKey) -> None:
    """As the compose box does it."""
    shown = await world.thread(thread[1])
    order = Order(
        tenant_id=thread[0], message_id=ids.make("msg"), thread_id=ids.make("int"),
        lead_id=shown["leadId"], text="By hand", source="manual", actor="user_1",
        interaction_id=thread[1],
    )  # fmt: skip
    async with resources.database.system_tx() as tx:
        await outgoing.dispatch_text(tx, Caller(thread[0], "user_1", "person", "api"), order)


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize(
    ("what", "code", "detail"),
    [
        ("by hand", "TURN_CANCELLED", "handoff: a person wrote"),
        ("off", "TURN_CANCELLED", "handoff: agent mode is off"),
        ("stop", "DNC_BLOCKED", "handoff: the phone may not be texted"),
    ],
)
async def test_a_hand_off_that_comes_after_a_person_or_a_stop_is_told_and_not_obeyed(
    idle_world: World, resources: Resources, what: str, code: str, detail: str, answered: bool
) -> None:
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [handed] = await claimed(by, [thread])
    before = await world.thread(thread[1])
    if answered:
        body = {"leadId": before["leadId"], "message": "Bye", "source": "sms_agent",
                "turnId": handed.turn_id}  # fmt: skip
        assert (await world.tenant.ask("POST", "/sms/send", body)).status_code == 202
    match what:
        case "by hand":
            await by_hand(world, resources, thread)
        case "off":
            path = f"/interactions/{thread[1]}"
            await world.tenant.call("PATCH", path, {"agentMode": False})
        case "stop":
            assert await world.carrier.text(before["phone"], world.ours, "STOP") == 200
    before = await world.thread(thread[1])
    world.agent.answers = [(200, WISH)]
    await by.perform(handed)
    after = await world.thread(thread[1])
    assert after["sms"]["agentMode"] == before["sms"]["agentMode"]
    assert (after["status"], notes(after)) == (before["status"], notes(before))
    [turn] = await world.turns(thread[1])
    assert turn["state"] == ("replied" if answered else "cancelled")
    [refused] = turn["refused"]
    assert refused | {"at": None} == {
        "texts": [], "handoff": "a hard one", "code": code, "detail": detail, "at": None,
        "by": "inline",
    }  # fmt: skip


@pytest.mark.parametrize("delay", [0, 1000])
@pytest.mark.parametrize("said", [{"reply": "one"}, {"replies": ["one", "two"]}])
async def test_a_reply_beside_a_hand_off_goes_out_first(world: World, said: Data, delay: int) -> None:
    await change_agent(world, replyDelayMs=delay)
    thread = await talking(world)
    world.agent.answers = [(200, said | WISH)]
    await world.text("A human please")
    turn = await world.turn_is(thread, "handed_off")
    texts = said.get("replies", ["one"])
    assert turn["reason"] == "the agent handed off: a hard one"
    assert turn["reply"]["texts"] == texts
    for message_id in turn["reply"]["messageIds"]:
        await world.status_is(message_id, "delivered")
    assert world.carrier.received(world.phone) == ["Hi Jane", *texts]
    shown = await handed_over(world, thread)
    if not delay:
        assert [e["message"] for e in shown["transcript"]][-1 - len(texts) :] == [*texts, NOTE]


@pytest.mark.parametrize("said", [{"reply": " "}, {"reply": "x" * 1601}, {"replies": [5]}])
async def test_a_reply_that_cannot_go_keeps_no_hand_off_back(world: World, said: Data) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, said | WISH)]
    await world.text("A human please")
    turn = await world.turn_is(thread, "handed_off")
    assert [one["code"] for one in turn["refused"]] == ["VALIDATION_ERROR"]
    assert turn["reply"] is None
    await handed_over(world, thread)


@pytest.mark.parametrize("stale_reply", ["rerun", "hold"])
async def test_a_stale_reply_keeps_no_hand_off_back(world: World, stale_reply: str) -> None:
    await change_agent(world, staleReply=stale_reply)
    thread = await talking(world)
    world.agent.answers = [(200, {"reply": "Too late"} | WISH)]

    async def write_on(_: Data) -> None:
        await world.text("Hello?")

    world.agent.meanwhile = write_on
    await world.text("A human please")
    turn = (await world.turn_is(thread, "cancelled")) and (await world.turns(thread))[0]
    assert (turn["state"], turn["held"]) == ("handed_off", None)
    assert [(one["code"], one["texts"]) for one in turn["refused"]] == [("STALE_TURN", ["Too late"])]
    await handed_over(world, thread)
    assert "Too late" not in world.carrier.received(world.phone)


async def test_a_second_reply_to_a_turn_that_was_answered_is_told_and_the_hand_off_obeyed(
    idle_world: World, resources: Resources
) -> None:
    answer = {"reply": "And another thing"} | WISH
    _, thread = await answered_when(idle_world, resources, "replied", answer)
    await handed_over(idle_world, thread)
    [turn] = await idle_world.turns(thread)
    assert [(one["code"], one["texts"], one["by"]) for one in turn["refused"]] == [
        ("TURN_CLOSED", ["And another thing"], "inline")
    ]


@pytest.mark.parametrize("answer", [{}, {"replies": []}])
async def test_an_answer_without_words_to_an_answered_turn_is_no_refusal(
    idle_world: World, resources: Resources, answer: Data
) -> None:
    _, thread = await answered_when(idle_world, resources, "replied", answer)
    [turn] = await idle_world.turns(thread)
    assert (turn["state"], turn["refused"]) == ("replied", [])
    assert (await idle_world.thread(thread))["sms"]["agentMode"]


async def test_more_than_ten_texts_are_refused_and_the_turn_stays_open(world: World) -> None:
    thread = await talking(world)
    many = [f"text {n}" for n in range(800)]
    world.agent.answers = [(200, {"replies": many})]
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")
    [refused] = turn["refused"]
    assert (refused["code"], refused["texts"]) == ("VALIDATION_ERROR", many)
    assert refused["detail"] == "replies: more than 10 texts"
    assert (await reply(world, "In short", turnId=turn["turnId"])).status_code == 202


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"reply": None, "replies": ["first", "second"], "handoff": False}, "replied"),
        ({"reply": "first", "replies": ["second"]}, "replied"),
        ({"reply": None, "replies": []}, "declined"),
        ({"reply": None}, "awaiting_reply"),
    ],
)
async def test_null_is_absent_in_an_answer(world: World, answer: Data, state: str) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, answer)]
    await world.text("Hey")
    turn = await world.turn_is(thread, state)
    assert turn["refused"] == []
    if state == "replied":
        await world.status_is(turn["reply"]["messageIds"][-1], "delivered")
        assert world.carrier.received(world.phone) == ["Hi Jane", "first", "second"]


async def test_an_answer_that_is_not_understood_stands_in_the_turn(world: World) -> None:
    thread = await talking(world)
    world.agent.answers = [(200, {"Reply": "Hello"})]
    await world.text("Hey")
    turn = await world.turn_is(thread, "awaiting_reply")
    [refused] = turn["refused"]
    assert (
        refused["detail"]
        == "the answer holds none of reply, replies, handoff, status, summary, answers, leadStatus, note, but Reply"
    )
    assert '"Hello"' in turn["attempts"][0]["answer"]


# Replays, shadows and tests: what is said is kept, and nobody is handed over.


@pytest.mark.parametrize("kind", ["replay", "shadow", "test"])
@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        (WISH, None),
        ({"reply": "Bye"} | WISH, ["Bye"]),
        ({"replies": ["a", "b"]} | WISH, ["a", "b"]),
    ],
)
async def test_a_twins_hand_off_is_kept_and_never_obeyed(
    world: World, kind: str, answer: Data, texts: list[str] | None
) -> None:
    twin, thread = await twinned(world, kind, answer)
    assert (twin["kind"], twin["state"], twin["reason"]) == (kind, "handed_off", "a hard one")
    assert (twin["reply"] and twin["reply"]["texts"]) == texts
    shown = await world.thread(thread)
    assert shown["sms"]["agentMode"]
    assert (shown["status"], notes(shown)) == ("in_progress", [])
    assert world.carrier.received(world.phone) == ["Hi Jane"]


@pytest.mark.parametrize("kind", ["replay", "shadow", "test"])
@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ({"reply": " "}, "reply: must not be blank"),
        ({"replies": ["a"] * 11}, "replies: more than 10 texts"),
        (["what"], "the answer is a list, and must be an object"),
    ],
)
async def test_what_is_wrong_with_a_twins_answer_is_told(world: World, kind: str, answer: Any, detail: str) -> None:
    twin, _ = await twinned(world, kind, answer)
    assert (twin["state"], twin["reply"]) == ("awaiting_reply", None)
    assert [one["detail"] for one in twin["refused"]] == [detail]


async def twinned(world: World, kind: str, answer: Any) -> tuple[Data, str]:
    """A replay, shadow or test that was answered so, and the thread beside it."""
    thread = await talking(world)
    if kind == "shadow":
        await change_agent(world, shadowWebhookUrl=world.agent.url)
        world.agent.answers = [(200, answer), (200, answer)]
    await change_agent(world, webhookUrl=world.agent.url)
    if kind == "test":
        world.agent.answers = [(200, answer)]
        path = f"/sms-agents/{world.smsagent['smsAgentId']}/test"
        return await world.tenant.call("POST", path), thread
    if kind == "shadow":
        await change_agent(world, webhookUrl="http://127.0.0.1:9/away")
    await world.text("Hey")
    if kind == "replay":
        live = await world.turn_is(thread, "awaiting_reply")
        world.agent.answers = [(200, answer)]
        return await world.tenant.call("POST", f"/turns/{live['turnId']}/replay", {}), thread

    async def heard() -> Data | None:
        twins = [turn for turn in await world.turns(thread) if turn["kind"] == "shadow"]
        return twins[0] if twins and twins[0]["state"] != "delivering" else None

    return await until(heard), thread


async def test_a_goodbye_to_a_replay_by_the_api_hides_no_hand_off(world: World) -> None:
    thread = await talking(world)
    await world.text("Hey")
    live = await world.turn_is(thread, "awaiting_reply")
    world.agent.answers = [(200, WISH)]

    async def say_goodbye(told: Data) -> None:
        await reply(world, "Bye", turnId=told["turn"]["turnId"])

    world.agent.meanwhile = say_goodbye
    replay = await world.tenant.call("POST", f"/turns/{live['turnId']}/replay", {})
    assert (replay["state"], replay["reply"]["texts"]) == ("replied", ["Bye"])
    assert replay["reason"] == "caught; the agent handed off: a hard one"
    await asyncio.sleep(0.2)
    assert notes(await world.thread(thread)) == []

"""The record of a turn, one click from the thread."""

from html import unescape
from typing import get_args

from app.domain.turns import TurnState
from app.resources import Resources
from app.web.page.render import TURN_WORDS
from tests.makers import Data, Tenant, phone
from tests.web.people import Browser
from tests.web.test_page import a_thread
from tests.world import World, until


def test_every_state_of_a_turn_has_words_on_the_page() -> None:
    assert set(TURN_WORDS) == set(get_args(TurnState))


async def conversing(world: World) -> str:
    sent = await world.send(agentMode=True)
    interaction_id: str = sent["interactionId"]
    return interaction_id


async def test_the_record_shows_texts_attempts_and_the_reply(sam: Browser, world: World) -> None:
    world.agent.answers = [(500, {"error": "busy <b>"}), (200, {"reply": "Yes, it does."})]
    thread = await conversing(world)
    await world.text("Does it cost <i>anything</i>?")
    await world.turn_is(thread, "delivering")
    await world.turn_is(thread, "replied")
    page = await sam.page(f"/conversations/{thread}")
    [turn] = await world.turns(thread)
    here = f"/conversations/{thread}/turns/{turn['turnId']}"
    assert page.count(f'href="{here}"') == 3  # the lead's text, the agent's, and the newest
    record = unescape(await sam.page(here))
    for shown in ("Answered", "Does it cost <i>anything</i>?", "Yes, it does.", "Attempt 1",
                  "Attempt 2", "500", "200", "busy <b>", '"combinedText"'):  # fmt: skip
        assert shown in record, shown
    raw = await sam.page(here)
    assert "<i>anything" not in raw
    assert "busy <b>" not in raw


async def test_a_refused_reply_stands_in_the_record_with_the_reason(sam: Browser, world: World) -> None:
    thread = await conversing(world)
    await world.text("Hello?")
    payload = await world.told(1)
    await world.text("One more thing")
    refused = await world.tenant.ask(
        "POST", "/sms/send",
        {"leadId": world.lead["leadId"], "message": "Too late", "source": "sms_agent",
         "turnId": payload["turn"]["turnId"]},
    )  # fmt: skip
    assert refused.status_code == 409
    record = await sam.page(f"/conversations/{thread}/turns/{payload['turn']['turnId']}")
    assert "Too late" in record
    assert "The lead had written again." in record
    assert "No reply was sent." in record


async def test_each_text_of_a_held_reply_is_sent_for_itself(sam: Browser, world: World) -> None:
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"staleReply": "hold"})
    thread = await conversing(world)

    async def write_on(_: object) -> None:
        world.agent.meanwhile = None
        await world.text("And another thing")

    world.agent.meanwhile = write_on
    world.agent.answers = [(200, {"replies": ["First.", "Second."]})]
    await world.text("Hello?")
    await world.told(2)
    page = await sam.page(f"/conversations/{thread}")
    assert "Reply held" in page
    answer = await sam.submit(page, "/held", action="send", text=["First, edited.", "Second."])
    assert answer.status_code == 303
    said = [e["message"] for e in (await world.thread(thread))["transcript"]]
    assert said[-2:] == ["First, edited.", "Second."]


async def test_a_held_reply_that_was_withdrawn_is_offered_no_more_and_the_record_says_why(
    sam: Browser, world: World
) -> None:
    path = f"/sms-agents/{world.smsagent['smsAgentId']}"
    await world.tenant.call("PATCH", path, {"staleReply": "hold"})
    thread = await conversing(world)

    async def write_on(_: object) -> None:
        world.agent.meanwhile = None
        await world.text("And another thing")

    world.agent.meanwhile = write_on
    world.agent.answers = [(200, {"reply": "Too late"}), (200, {"reply": "In time"})]
    await world.text("Hello?")
    await world.told(2)
    await world.turn_is(thread, "replied")
    page = await sam.page(f"/conversations/{thread}")
    assert "Too late" not in page
    assert "Reply held" not in page
    first = (await world.turns(thread))[0]
    record = await sam.page(f"/conversations/{thread}/turns/{first['turnId']}")
    assert "Too late" in record
    assert "withdrawn: a later reply went out" in record


async def test_a_hand_off_beside_an_answer_stands_in_the_record(sam: Browser, world: World) -> None:
    thread = await conversing(world)
    world.agent.answers = [(200, {"handoff": True, "reason": "a <b>hard</b> one"})]

    async def say_goodbye(told: Data) -> None:
        body = {"leadId": world.lead["leadId"], "message": "Bye", "source": "sms_agent",
                "turnId": told["turn"]["turnId"]}  # fmt: skip
        await world.tenant.ask("POST", "/sms/send", body)

    world.agent.meanwhile = say_goodbye
    await world.text("A human please")

    async def off() -> bool:
        return not (await world.thread(thread))["sms"]["agentMode"]

    await until(off)
    [turn] = await world.turns(thread)
    record = unescape(await sam.page(f"/conversations/{thread}/turns/{turn['turnId']}"))
    assert "Answered; the agent handed off: a <b>hard</b> one." in record


async def test_a_hand_off_in_vain_and_an_answer_not_understood_stand_in_the_record(sam: Browser, world: World) -> None:
    thread = await conversing(world)
    world.agent.answers = [(200, {"handoff": True, "reason": "a hard one"}), (200, ["what"])]

    async def switch_off(_: Data) -> None:
        world.agent.meanwhile = None
        await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": False})

    world.agent.meanwhile = switch_off
    await world.text("A human please")
    turn = await world.turn_is(thread, "cancelled")
    here = f"/conversations/{thread}/turns"

    async def told() -> bool:
        return bool((await world.turns(thread))[-1]["refused"])

    await until(told)
    record = await sam.page(f"{here}/{turn['turnId']}")
    assert "Hand-off: a hard one" in record
    assert "handoff: agent mode is off" in record
    await world.tenant.call("PATCH", f"/interactions/{thread}", {"agentMode": True})
    await world.text("Hello?")
    turn = await world.turn_is(thread, "awaiting_reply")
    record = await sam.page(f"{here}/{turn['turnId']}")
    assert "the answer is a list, and must be an object" in record


async def test_a_turn_is_found_in_its_own_thread_and_tenant_only(
    sam: Browser, world: World, other_tenant: Tenant, resources: Resources
) -> None:
    thread = await conversing(world)
    await world.text("Hello?")
    await world.told(1)
    [turn] = await world.turns(thread)
    other = await world.tenant.lead(phone=phone())
    sent = await world.send(leadId=other["leadId"])
    for path in (
        f"{sent['interactionId']}/turns/{turn['turnId']}",
        f"{thread}/turns/turn_unknown",
        f"int_unknown/turns/{turn['turnId']}",
    ):
        assert (await sam.get(f"/conversations/{path}")).status_code == 404
    account = await other_tenant.account()
    await other_tenant.number(providerAccountId=account["accountId"])
    _, theirs = await a_thread(other_tenant)
    path = f"/conversations/{theirs['interactionId']}/turns/{turn['turnId']}"
    assert (await sam.get(path)).status_code == 404


async def test_a_turn_is_replayed_beside_its_record_to_its_agent_or_another_webhook(
    sam: Browser, world: World, other_tenant: Tenant, resources: Resources
) -> None:
    world.agent.answers = [(200, {"reply": "Yes, it does."})]
    thread = await conversing(world)
    await world.text("Does it cost <i>anything</i>?")
    await world.turn_is(thread, "replied")
    [turn] = await world.turns(thread)
    here = f"/conversations/{thread}/turns/{turn['turnId']}"

    async def arrived() -> bool:
        return world.carrier.received(world.phone)[1:] == ["Yes, it does."]

    await until(arrived)
    sent_count = len(world.carrier.received(world.phone))
    world.agent.answers = [(200, {"reply": "No <b>not</b> at all."}), (500, {"error": "x"})]
    page = await sam.page(f"{here}?view=mine")

    async def replay(_: Data | None = None) -> None:
        answer = await sam.submit(page, "/replay")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{here}?view=mine#twins")

    world.agent.meanwhile = replay  # a double click
    await replay()
    world.agent.meanwhile = None
    await replay()
    kept = await sam.submit(page, "/keep")
    assert (kept.status_code, kept.headers["location"]) == (303, f"{here}?view=mine#trials")
    record = await sam.page(here)
    assert record.count('<article class="twin">') == 1
    assert "No &lt;b&gt;not&lt;/b&gt; at all." in record.partition("<h4>Then</h4>")[2]
    assert record.partition("<h4>Then</h4>")[2].count("Yes, it does.") == 1
    await sam.submit(record, "/replay", url=world.smsagent["webhookUrl"])
    record = await sam.page(here)
    assert record.index("could not be reached") < record.index("not&lt;/b&gt; at all")  # the newest first
    refused = await sam.submit(record, "/replay", url="ftp://x")
    assert refused.status_code == 400
    assert 'value="ftp://x"' in refused.text
    assert len(world.carrier.received(world.phone)) == sent_count
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE users SET role = 'agent' WHERE tenant_id = $1", world.tenant.tenant_id)
    assert "/replay" not in await sam.page(here)
    assert (await sam.submit(record, "/replay")).status_code == 403

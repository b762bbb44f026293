"""A lead is erased on request: its words are in no table, and it is not texted again."""

import asyncio

import pytest

from app.resources import Resources
from tests.makers import Data, Tenant, phone
from tests.world import World, until

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"


async def places(resources: Resources, word: str) -> list[str]:
    """The tables in whose rows the word lies, bytes read as text."""
    found = []
    async with resources.database.system_tx() as tx:
        for row in await tx.fetch_rows(TABLES):
            table = row["tablename"]
            column = {"turn_attempts": "request_body", "corpus_turns": "payload"}.get(table)
            bodies = f"|| encode(t.{column}, 'escape')" if column else ""
            if await tx.fetch_value(
                f"SELECT 1 FROM {table} t WHERE position($1 IN t::text {bodies}) > 0 LIMIT 1", word
            ):
                found.append(table)
    return sorted(found)


async def erase(world: World, lead: Data) -> Data:
    return await world.tenant.call("POST", f"/leads/{lead['leadId']}/erase")


async def statuses(world: World) -> list[str]:
    """Of all threads of the tenant: the lead has another id by now."""
    threads = (await world.tenant.call("GET", "/interactions"))["interactions"]
    return [thread["status"] for thread in threads]


async def test_nothing_the_lead_said_or_was_told_lies_anywhere(world: World, resources: Resources) -> None:
    world.agent.answers = [(200, {"reply": "Marzipan is marzipan."})]
    body = {"leadId": world.lead["leadId"], "message": "Hi Zebedee", "agentMode": True}
    sent = await world.tenant.call("POST", "/sms/send", body, headers={"Idempotency-Key": "greeting"})
    await world.text("my secret is marzipan")
    await world.turn_is(sent["interactionId"], "replied")
    corpus = await world.tenant.call("POST", "/corpora", {"name": "Hard cases"})
    await world.tenant.call("POST", f"/corpora/{corpus['corpusId']}/turns", {"filter": {}})
    await world.text("STOP sending me marzipan")
    said = ("marzipan", "Zebedee", world.phone, world.lead["leadId"], sent["interactionId"])
    before = {word: await places(resources, word) for word in said}
    assert {"messages", "turns", "turn_attempts", "corpus_turns"} <= set(before["marzipan"])
    assert {"messages", "idempotency", "turns"} <= set(before[sent["interactionId"]])
    assert {"leads", "suppressions", "consent_events"} <= set(before[world.phone])

    assert await erase(world, world.lead) == {"erased": True, "interactions": 1}
    assert {word: await places(resources, word) for word in said} == {word: [] for word in said}
    again = await world.tenant.ask("POST", f"/leads/{world.lead['leadId']}/erase")
    assert again.status_code == 404


async def test_made_up_turns_that_tell_of_the_lead_go_too_and_no_others(idle_world: World) -> None:
    """The lead's id is also the name of a field in each payload."""
    tenant, number = idle_world.tenant, phone()
    lead = await tenant.lead(leadId="lead", phone=number)
    corpus = await tenant.call("POST", "/corpora", {"name": "Hard cases"})
    made = [
        {"name": "of the lead", "payload": {"lead": {"leadId": "lead"}}},
        {"name": "the phone in a text", "says": [f"call me at {number} please"]},
        {"name": f"the phone {number} in the name", "says": ["Hi"]},
        {"name": "the phone in the answer", "says": ["Hi"], "recorded": {"texts": [f"We call {number}."]}},
        {"name": "of another", "says": ["I am no lead"], "payload": {"lead": {"leadId": "lead_2"}}},
        {"name": "of nobody", "says": ["Hi"]},
    ]
    await tenant.call("POST", f"/corpora/{corpus['corpusId']}/turns", {"made": made})
    await erase(idle_world, lead)
    kept = (await tenant.call("GET", f"/corpora/{corpus['corpusId']}/turns"))["turns"]
    assert [turn["name"] for turn in kept] == ["of another", "of nobody"]


WAITED_FOR = """
SELECT EXISTS (SELECT 1 FROM pg_locks w JOIN pg_locks h USING (transactionid)
               WHERE h.pid = $1 AND h.granted AND NOT w.granted)
"""


async def test_whoever_settles_a_text_is_not_in_its_way(idle_world: World, resources: Resources) -> None:
    """A worker, and a receipt, lock what is owed and then the text."""
    world = idle_world
    key = (await world.send("Hi"))["messageId"]
    async with resources.database.system_tx() as tx:
        await tx.fetch_value("SELECT 1 FROM outbox WHERE message_id = $1 FOR UPDATE", key)
        backend = await tx.fetch_value("SELECT pg_backend_pid()")
        erasing = asyncio.create_task(erase(world, world.lead))

        async def waits() -> bool:
            async with resources.database.system_tx() as looking:
                return bool(await looking.fetch_value(WAITED_FOR, backend))

        await until(waits)
        await tx.execute("UPDATE messages SET status = 'sent' WHERE message_id = $1", key)
    assert await erasing == {"erased": True, "interactions": 1}


async def test_who_opted_out_stays_so_when_the_phone_comes_back_as_a_lead(world: World) -> None:
    await world.send("Hi")
    await world.text("STOP")
    await erase(world, world.lead)
    back = await world.tenant.lead(phone=world.phone)
    assert back["isDnc"]
    body = {"leadId": back["leadId"], "message": "Hi again"}
    answer = await world.tenant.ask("POST", "/sms/send", body)
    assert answer.json()["error"]["code"] == "DNC_BLOCKED"
    record = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert record["causes"] == ["lead"]
    assert [event["event"] for event in record["events"]][-1] == "erased"
    assert not any(event["text"] for event in record["events"])


async def test_who_opted_out_stays_so_when_it_writes_again_and_may_come_back(
    world: World,
) -> None:
    await world.send("Hi")
    await world.text("STOP")
    await erase(world, world.lead)
    await world.text("is this spam?")
    assert await statuses(world) == ["dnc"]
    await world.text("START")
    assert await statuses(world) == ["in_progress"]


async def test_a_phone_that_another_lead_has_keeps_its_name_and_its_causes(world: World, resources: Resources) -> None:
    await world.send("Hi")
    await world.text("I am the first of two")
    other = await world.tenant.lead(phone=world.phone)
    await world.text("STOP")
    await erase(world, world.lead)
    assert (await world.tenant.call("GET", f"/leads/{other['leadId']}"))["isDnc"]
    assert await places(resources, "the first of two") == []
    assert "suppressions" in await places(resources, world.phone)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({}, "awaiting_reply"),
        ({"handoff": True, "reason": "words of the first"}, "handed_off"),
        ({"replies": ["You wrote: words of the first", " "]}, "awaiting_reply"),
    ],
)
async def test_in_a_thread_that_went_on_with_another_lead_only_its_own_words_go(
    world: World, resources: Resources, answer: Data, state: str
) -> None:
    world.agent.answers = [(200, answer)]
    first = await world.send("Hi", agentMode=True)
    await world.text("words of the first")
    await world.turn_is(first["interactionId"], state)
    other = await world.tenant.lead(phone=world.phone)
    await world.send("Hi, you are another", leadId=other["leadId"])
    assert "turn_attempts" in await places(resources, "words of the first")
    assert (await erase(world, world.lead))["interactions"] == 0
    thread = await world.tenant.call("GET", f"/interactions/{first['interactionId']}")
    assert thread["leadId"] == other["leadId"]
    assert await places(resources, "words of the first") == []
    assert "messages" in await places(resources, "Hi, you are another")


async def test_a_lead_of_another_tenant_is_not_found(world: World, other_tenant: Tenant) -> None:
    answer = await other_tenant.ask("POST", f"/leads/{world.lead['leadId']}/erase")
    assert answer.status_code == 404
    assert (await world.tenant.lead(phone=phone()))["leadId"]
    await world.tenant.call("GET", f"/leads/{world.lead['leadId']}")

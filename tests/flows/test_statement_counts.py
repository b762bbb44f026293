"""What plain traffic costs: so many statements, and none more for what it does not need."""

import asyncio

import pytest

from app.resources import Resources
from tests.flows.test_outcomes import OUTCOME
from tests.flows.test_turn_sets import claimed, fall_due, forwarding, writing
from tests.makers import Data
from tests.sql import named_statements
from tests.world import World

BY_THEMSELVES = ("events.", "installation.")
"""These come whatever is asked: the feed is read for who listens, and each process says that it is there."""


async def names_of(said: list[str]) -> list[str]:
    """The named statements among them, in order."""
    count = -1
    while len(said) > count:  # statements are noted after they are answered
        count = len(said)
        await asyncio.sleep(0.3)
    names = {sql: name for name, sql in named_statements().items() if not name.startswith(BY_THEMSELVES)}
    return [names[sql] for sql in said if sql in names]


@pytest.mark.parametrize("agent_mode", [False, True])
async def test_a_plain_inbound_text_takes_as_few_statements_as_can_be(
    idle_world: World, said: list[str], agent_mode: bool
) -> None:
    world = idle_world
    await world.send(agentMode=agent_mode)
    for n in range(15):  # each connection of the pool looks its types up once
        await world.text(f"Hello {n}")
    said.clear()
    await world.text("Hello")
    assert await names_of(said) == [
        "suppressions.LOCK_PHONES_SQL",
        "inbox.REMEMBER_NEW_SQL",
        "arrivals.STORE_ARRIVALS_SQL",
    ]


@pytest.mark.parametrize(
    ("answer", "closing"),
    [
        ({"replies": []}, "turns.CLOSE_TURNS_SQL"),
        ({"status": "qualified", "summary": "A good one"}, "turns.CLOSE_TURNS_SQL"),
        ({"replies": []} | OUTCOME, "turns.CLOSE_TURNS_WITH_NEWS_SQL"),
        (OUTCOME, "turns.CLOSE_TURNS_WITH_NEWS_SQL"),
        ({"reply": "Thanks"} | OUTCOME, "turns.CLOSE_TURNS_WITH_NEWS_SQL"),
    ],
)
async def test_an_outcome_settles_in_the_statement_that_settles_its_turn(
    idle_world: World, resources: Resources, said: list[str], answer: Data, closing: str
) -> None:
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [hand_over] = await claimed(by, [thread])
    world.agent.answers = [(200, answer)]
    said.clear()
    await by.perform(hand_over)
    written = [sql for sql in said if "UPDATE turns" in sql or "UPDATE leads" in sql]
    names = await names_of(written)
    assert [name for name in names if name.startswith(("turns.", "lead_answers."))] == [closing]
    for word in ("status = coalesce", "summary = coalesce"):
        assert sum(word in sql for sql in said) == 1


async def test_an_ab_test_costs_a_turn_no_statement(idle_world: World, resources: Resources, said: list[str]) -> None:
    world, by = idle_world, forwarding(resources)
    threads = [await writing(world, world.campaign) for _ in range(3)]
    await fall_due(resources)
    [first] = await claimed(by, threads[:1])  # statements are prepared
    names = []
    for thread in threads[1:]:
        said.clear()
        [hand_over] = await claimed(by, [thread])
        names.append(await names_of(said))
        body = {"smsAgentId": world.smsagent["smsAgentId"], "name": "B", "webhookUrl": "https://b.example.com"}
        if not names[1:]:
            await world.tenant.call("POST", "/experiments", body)
    assert b'"experiment"' in hand_over.body
    assert b'"experiment"' not in first.body
    assert names[0] == names[1]
    assert "hand_overs.GET_PAYLOAD_FACTS_SQL" in names[0]

"""How a turn ends: what waits for its reply goes on, and of two answers to it the first counts."""

import asyncio

import pytest

from app.resources import Resources
from app.store.threads import ThreadKey
from tests.flows.test_hand_offs import again
from tests.flows.test_outcomes import OUTCOME, give
from tests.flows.test_turn_sets import claimed, fall_due, forwarding, writing
from tests.makers import Data
from tests.world import Answer, World

WAIT = """
SELECT extract(epoch FROM due_at - window_due_at)::float8 FROM turns
WHERE interaction_id = $1 AND state = 'collecting'
"""
ENDS: dict[str, tuple[Answer, str]] = {
    "declined": ((200, {"replies": []}), "declined"),
    "concluded": ((200, OUTCOME), "concluded"),
    "declined with an outcome": ((200, {"replies": []} | OUTCOME), "declined"),
    "replied": ((200, {"reply": "Here I am"}), "replied"),
    "concluded through the API": ((503, {}), "concluded"),
}


async def collecting_wait(resources: Resources, thread: ThreadKey) -> float:
    """The seconds that the collecting turn waits beyond its window."""
    async with resources.database.system_tx() as tx:
        return float(await tx.fetch_value(WAIT, thread[1]))


@pytest.mark.parametrize("end", ENDS)
async def test_whatever_ends_a_protected_turn_ends_the_wait_for_it(
    idle_world: World, resources: Resources, end: str
) -> None:
    world, by, (answer, state) = idle_world, forwarding(resources), ENDS[end]
    thread = await writing(world, world.campaign)
    shown = await world.thread(thread[1])
    await fall_due(resources)
    [first] = await claimed(by, [thread])
    world.agent.answers = [(503, {}), answer]
    await by.perform(first)
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE turns SET protected = true")
    assert await world.carrier.text(shown["phone"], world.ours, "Hello?") == 200
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE turns SET due_at = clock_timestamp() WHERE state = 'collecting'")
    assert await claimed(by, [thread]) == []
    assert await collecting_wait(resources, thread) > 50
    async with resources.database.system_tx() as tx:
        await tx.execute("UPDATE turns SET due_at = clock_timestamp() WHERE state = 'delivering'")
    [second] = await claimed(by, [thread])
    if end == "concluded through the API":
        assert (await give(world, second.turn_id, OUTCOME)).status_code == 200
    await by.perform(second)
    assert (await world.turns(thread[1]))[0]["state"] == state
    assert await collecting_wait(resources, thread) == 0
    await asyncio.sleep(1)
    [successor] = await claimed(by, [thread])
    assert successor.turn_id == (await world.turns(thread[1]))[1]["turnId"]


@pytest.mark.parametrize("first_to_come", [0, 1])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("later", "refused"),
    [
        ({"reply": "Two"}, ["Two"]), ({"replies": ["Two", "Three"]}, ["Two", "Three"]), ({"reply": "One"}, None),
        ({"replies": []}, None), ({}, None),
    ],
)  # fmt: skip
async def test_of_two_answers_to_one_turn_the_first_is_sent_and_the_other_told(
    idle_world: World, resources: Resources, first_to_come: int, together: bool, later: Data, refused: list[str] | None
) -> None:
    """The lease of the first POST ended while its agent thought, so the turn was handed over once more."""
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [first] = await claimed(by, [thread])
    posts = [first, await again(by, resources, thread)]
    world.agent.answers = [(200, {"reply": "One"}), (200, later)]
    ordered = [posts[first_to_come], posts[1 - first_to_come]]
    if together:
        results = [await by._post_turn(post) for post in ordered]
        await by._settle_answers(list(zip(ordered, results, strict=True)))
    else:
        for post in ordered:
            await by.perform(post)
    [turn] = await world.turns(thread[1])
    assert (turn["state"], turn["reply"]["texts"]) == ("replied", ["One"])
    told = [(one["code"], one["texts"], one["by"]) for one in turn["refused"]]
    assert told == ([("TURN_CLOSED", refused, "inline")] if refused else [])
    texts = [entry["message"] for entry in (await world.thread(thread[1]))["transcript"]]
    assert texts[-1] == "One"


async def test_a_reply_after_an_empty_answer_of_another_lease_is_sent(idle_world: World, resources: Resources) -> None:
    world, by = idle_world, forwarding(resources)
    thread = await writing(world, world.campaign)
    await fall_due(resources)
    [first] = await claimed(by, [thread])
    second = await again(by, resources, thread)
    world.agent.answers = [(200, {}), (200, {"reply": "Here I am"})]
    await by.perform(first)
    await by.perform(second)
    [turn] = await world.turns(thread[1])
    assert (turn["state"], turn["refused"]) == ("replied", [])

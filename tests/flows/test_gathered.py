"""Texts that go together in one statement: a thread that somebody holds delays nobody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.settings import Settings
from tests.makers import phone
from tests.world import World

STRANGERS = 40


@asynccontextmanager
async def holding(configuration: Settings, interaction_id: str) -> AsyncIterator[None]:
    """The thread's row lock, held by somebody else."""
    connection = await asyncpg.connect(configuration.database_url)
    try:
        await connection.execute("BEGIN; SET LOCAL ROLE app_system")
        await connection.execute(
            f"SELECT 1 FROM interactions WHERE interaction_id = '{interaction_id}' FOR UPDATE"
        )
        yield
    finally:
        await connection.close()


async def both(
    configuration: Settings, held: str, mine: Awaitable[None], others: list[Awaitable[None]]
) -> None:
    """All at once; fails unless the others are done while the thread is still held."""
    async with holding(configuration, held):
        waiting = asyncio.ensure_future(mine)
        await asyncio.wait_for(asyncio.gather(*others), 10)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 10)


async def test_a_held_thread_delays_no_other_threads_sends(
    idle_world: World, configuration: Settings
) -> None:
    world = idle_world
    first = await world.send("One")
    leads = [await world.tenant.lead(phone=phone()) for _ in range(STRANGERS)]

    async def send(lead_id: str) -> None:
        await world.tenant.call("POST", "/sms/send", {"leadId": lead_id, "message": "Hi"})

    await both(
        configuration,
        first["interactionId"],
        send(world.lead["leadId"]),
        [send(lead["leadId"]) for lead in leads],
    )
    thread = await world.tenant.call("GET", f"/interactions/{first['interactionId']}")
    assert [entry["seq"] for entry in thread["transcript"]] == [1, 2]


async def test_a_held_thread_delays_no_other_leads_texts(
    idle_world: World, configuration: Settings
) -> None:
    world = idle_world
    first = await world.send("One")
    writers = [phone() for _ in range(STRANGERS)]

    async def write(number: str) -> None:
        assert await world.carrier.text(number, world.ours, "Hey") == 200

    await both(
        configuration,
        first["interactionId"],
        write(world.phone),
        [write(number) for number in writers],
    )
    thread = await world.tenant.call("GET", f"/interactions/{first['interactionId']}")
    assert [entry["message"] for entry in thread["transcript"]] == ["One", "Hey"]
    listed = await world.tenant.call("GET", "/interactions?limit=100")
    assert len(listed["interactions"]) == STRANGERS + 1


@pytest.mark.parametrize("word", ["STOP", "Please stop texting me", "HELP"])
async def test_a_word_that_must_be_obeyed_goes_by_itself(idle_world: World, word: str) -> None:
    world = idle_world
    others = [phone() for _ in range(20)]
    statuses = await asyncio.gather(
        *(world.carrier.text(number, world.ours, "Hey") for number in others),
        world.carrier.text(world.phone, world.ours, word),
    )
    assert set(statuses) == {200}
    consent = await world.tenant.call("GET", f"/consent/{world.phone}")
    assert consent["suppressed"] is (word != "HELP")
    assert len(consent["events"]) == 1

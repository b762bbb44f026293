"""A run on an island during an outage: start it, check that it goes on, read its record."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from tests.faults import ledger
from tests.faults.island import Island
from tests.faults.talks import Run, patiently, quiet, running, slow, table
from tests.world import until

TALKS, BACKENDS, WORKERS = 10, 4, 2
BACK_WITHIN = 5.0
STARTS_WITHIN = 30.0


@pytest.fixture
async def run(island: Island, rng: random.Random) -> AsyncIterator[Run]:
    """Two web processes, two workers, and conversations that have not begun."""
    await asyncio.gather(island.start_web(), island.start_web())
    await island.crew.start(WORKERS)
    async with running(island.tenant, island.carrier, rng, TALKS, backends=BACKENDS) as made:
        yield made


async def at_work(run: Run) -> None:
    """Returns once a worker has handed over a turn and the other had time to start: a worker that
    starts while the database is away ends."""

    async def handed_over() -> bool:
        return bool(run.agents.heard)

    await until(handed_over, STARTS_WITHIN)
    await asyncio.sleep(2)


async def goes_on(island: Island, run: Run) -> None:
    """Asserts that soon a send is accepted and a turn is handed over."""
    lead, heard = run.backends[0].lead, len(run.agents.heard)
    body = {"leadId": lead["leadId"], "message": f"still here {heard}"}
    asked = patiently(island.tenant, "POST", "/sms/send", body)
    answer = await asyncio.wait_for(asked, BACK_WITHIN)
    assert answer.status_code == 202, answer.text

    async def handed_over() -> bool:
        return len(run.agents.heard) > heard

    await until(handed_over)


async def counted(island: Island, run: Run, hurt_at: list[float]) -> ledger.Record:
    """Waits until the run is quiet, checks the ledger, and returns the record."""
    await quiet(island.resources.database, run.agents)
    record = await run.record()
    late, took = slow(run, record, hurt_at)
    posted = sum(len(text.ids) for text in record.posted)
    print(f"{len(record.written)} texts, {posted} sends, {len(record.turns)} turns; "
          f"last texts answered in time: {len(took)}")  # fmt: skip
    print(table(run, record))
    assert ledger.breaches(record) == []
    assert late == []
    assert took or hurt_at
    assert posted > 20
    processes = [*island.webs.values(), *island.crew.members]
    assert [process.returncode for process in processes] == [None] * (2 + WORKERS), island.said()
    return record

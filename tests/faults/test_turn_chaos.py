"""Fifty conversations at once with well and badly behaved agents, while workers are killed and
Redis is flushed: each burst gets one answer, and no reply to a closed turn reaches the lead."""

import asyncio
import itertools
import random
from collections import Counter

import pytest
import redis.asyncio

from app.resources import Resources
from tests.faults import ledger
from tests.faults.crew import Crew
from tests.faults.talks import ANSWERED_WITHIN, quiet, running, slow, table
from tests.makers import Tenant
from tests.world import Carrier


async def flushing(url: str, rng: random.Random) -> None:
    """Flushes our Redis database again and again (not the others: other tests use them)."""
    async with redis.asyncio.from_url(url) as client:  # type: ignore[no-untyped-call]
        while True:
            await asyncio.sleep(rng.uniform(1, 5))
            await client.flushdb()


@pytest.mark.parametrize(
    ("talks", "workers", "seconds", "deadly"),
    [
        pytest.param(10, 2, 8.0, (3.0, 5.0), marks=pytest.mark.short),
        pytest.param(50, 3, 45.0, (4.0, 9.0), marks=[pytest.mark.long, pytest.mark.alone]),
        pytest.param(50, 4, 45.0, (3.0, 6.0), marks=[pytest.mark.long, pytest.mark.alone]),
    ],
)
async def test_in_chaos_each_burst_gets_one_answer_and_nobody_talks_over_anybody(
    tenant: Tenant,
    carrier: Carrier,
    resources: Resources,
    redis_url: str,
    crew: Crew,
    rng: random.Random,
    talks: int,
    workers: int,
    seconds: float,
    deadly: tuple[float, float],
) -> None:
    crew.skews = itertools.cycle([0.0, 1800.0, -1800.0])  # on hosts with wrong clocks
    await crew.start(workers)
    async with running(tenant, carrier, rng, talks) as run:
        plagues = [asyncio.create_task(crew.suffer(*deadly)),
                   asyncio.create_task(flushing(redis_url, rng))]  # fmt: skip
        async with run.living(seconds):
            pass
        for plague in plagues:
            plague.cancel()
        await asyncio.gather(*plagues, return_exceptions=True)
        await quiet(resources.database, run.agents)
        record = await run.record()
    late, took = slow(run, record, crew.killed_at, ANSWERED_WITHIN)
    stale = sum(len(turn["refused"]) for turn in record.turns)
    print(f"{len(record.written)} texts, {len(record.turns)} turns, {len(crew.killed_at)} workers "
          f"killed, {stale} replies refused; last texts answered in time: {len(took)}")  # fmt: skip
    print(table(run, record))
    assert ledger.breaches(record) == []
    assert late == []
    assert took, "nobody was answered in time: the run was dead"
    assert crew.killed_at
    states = Counter(turn["state"] for turn in record.turns)
    assert states["replied"] > talks / 2
    assert states["superseded"]


@pytest.mark.long
async def test_agents_that_send_without_naming_a_turn_show_what_the_guards_prevent(
    tenant: Tenant, carrier: Carrier, resources: Resources, crew: Crew, rng: random.Random
) -> None:
    """The control run: the same agents send like a backend. The ledger must find breaches."""
    await crew.start(1)
    async with running(tenant, carrier, rng, 20, guarded=False) as run:
        run.talks = [talk for talk in run.talks if talk.manner in ("late", "twice", "by api")]
        async with run.living(10.0):
            pass
        await quiet(resources.database, run.agents)
        record = await run.record()
    seen = "\n".join(ledger.breaches(record))
    assert "was answered 3 times" in seen
    assert "is superseded, and its reply went out" in seen

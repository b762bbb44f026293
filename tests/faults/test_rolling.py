"""Deploys: web and workers are replaced one after the other during turns, and nothing is lost."""

import asyncio
import random

import pytest

from app.demo import http_clients
from tests.faults import ledger
from tests.faults.crew import Member
from tests.faults.island import Island
from tests.faults.talks import quiet, running, slow, table
from tests.processes import wait_until_ended
from tests.web.people import add_person, browser


@pytest.mark.parametrize(
    ("restarts", "talks"),
    [
        pytest.param(1, 10, marks=pytest.mark.short),
        pytest.param(6, 30, marks=[pytest.mark.long, pytest.mark.alone]),
    ],
)
async def test_rolling_restarts_in_mid_turn_refuse_nothing_and_lose_nothing(
    island: Island, rng: random.Random, restarts: int, talks: int
) -> None:
    serving = [await island.start_web() for _ in range(2)]
    await island.crew.start(2)
    ends: list[int] = []
    relieved: list[Member] = []
    async with running(island.tenant, island.carrier, rng, talks, backends=4) as run:
        async with run.living():
            for _ in range(2 * restarts):
                serving.append(await island.start_web())
                ends.append(await island.stop_web(serving.pop(0)))
                relieved.append(await island.crew.relieve_one())
            ends += [await wait_until_ended(worker) for worker in relieved]
        await quiet(island.resources.database, run.agents)
        record = await run.record()
    late, took = slow(run, record, [])
    posted = sum(len(text.ids) for text in record.posted)
    print(f"{len(record.written)} texts, {posted} sends, {len(record.turns)} turns, "
          f"{len(ends)} processes replaced; last texts answered: {len(took)}")  # fmt: skip
    print(table(run, record))
    assert island.balancer.broken == []
    assert {text.status for text in record.written} == {200}
    assert [answer for backend in run.backends for answer in backend.refused] == []
    assert ends == [0] * 4 * restarts
    assert ledger.breaches(record) == []
    assert late == []
    assert took
    assert posted > 10 * restarts


async def test_an_open_event_stream_does_not_hold_up_a_stop(island: Island) -> None:
    url = await island.start_web()
    await add_person(island.resources, island.tenant.tenant_id, "sam@example.com")
    sam = browser(url)
    assert (await sam.sign_in("sam@example.com")).status_code == 303
    key = {"X-API-Key": island.tenant.key}
    polled = asyncio.create_task(sam.http.get("/api/v1/events?wait=25", headers=key, timeout=30))
    async with sam.http.stream("GET", "/conversations/events", timeout=30) as stream:
        assert stream.status_code == 200
        stopped = asyncio.create_task(island.stop_web(url))
        async for _ in stream.aiter_lines():
            pass
        # Both streams have ended while the process still serves other requests.
        assert (await polled).json()["data"]["events"] == []
        assert not stopped.done()
        async with http_clients.build_client(base_url=url) as http:
            assert (await http.get("/health/live")).status_code == 200
            unready = await http.get("/health/ready")
            assert unready.json()["error"]["details"] == ["process: is stopping"]
    assert await stopped == 0
    await sam.http.aclose()

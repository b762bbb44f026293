"""Redis and PostgreSQL fail under load, and the same processes go on when they are back."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator

import httpx
import pytest
import redis.asyncio
from redis.exceptions import RedisError

from app.demo import http_clients
from tests.faults.island import Harbour, Island, pid_of
from tests.faults.outage import BACK_WITHIN, at_work, counted, goes_on, run
from tests.faults.talks import Run
from tests.relay import Loss
from tests.world import until

__all__ = ["run"]
pytestmark = pytest.mark.long
AWAY = 2.5
BALLAST = 2_000
LOSSES: tuple[Loss, ...] = ("before", "after", "late")
NO_WRITES = "ALTER DATABASE {} SET default_transaction_read_only = {}"
ALL_THE_SAME = "SET default_transaction_read_only = off"
HANG_UP = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = session_user
"""

LEASES_RUN_OUT = [
    """UPDATE outbox SET due_at = clock_timestamp() WHERE message_id IN (
           SELECT message_id FROM outbox WHERE lease IS NOT NULL FOR UPDATE SKIP LOCKED)""",
    """UPDATE turns SET due_at = clock_timestamp() WHERE turn_id IN (
           SELECT turn_id FROM turns WHERE state = 'delivering' FOR UPDATE SKIP LOCKED)""",
]
"""Except the rows that the frozen worker has locked: nobody else gets them until it wakes."""


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Freezes the process: it accepts connections and never answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def fill(client: redis.asyncio.Redis) -> None:
    """Fills Redis. If it evicts keys to make room, our hints are among them."""
    with contextlib.suppress(RedisError):
        for n in range(BALLAST):
            await client.set(f"ballast:{n}", "x" * 10_000)


async def test_without_redis_everything_goes_on_and_with_it_too(island: Island, harbour: Harbour, run: Run) -> None:
    url = harbour.valkey.url
    async with run.living():
        async with redis.asyncio.from_url(url) as client:  # type: ignore[no-untyped-call]
            for _ in range(5):
                await client.flushdb()
                await asyncio.sleep(0.2)
            await client.config_set("maxmemory", "3mb")
            await fill(client)
            await goes_on(island, run)
            await client.config_set("maxmemory-policy", "allkeys-random")
            await asyncio.gather(fill(client), goes_on(island, run))
            assert (await client.info("stats"))["evicted_keys"] > BALLAST / 2
            await client.config_set("maxmemory-policy", "noeviction")
            await client.config_set("maxmemory", "0")
            await client.flushdb()
        with stopped(pid_of(harbour.valkey)):
            await goes_on(island, run)
        island.clock.freeze()
        await goes_on(island, run)
        await island.restart_valkey(AWAY)
        await goes_on(island, run)
    record = await counted(island, run, [])
    assert [answer for backend in run.backends for answer in backend.refused] == []
    assert {text.status for text in record.written} == {200}
    ready = await island.tenant.http.get("/health/ready")
    assert ready.json()["data"]["redis"] == "ok"


async def test_while_the_database_is_away_all_hear_so_and_afterwards_nothing_is_missing(
    island: Island, run: Run, rng: random.Random
) -> None:
    hurt_at: list[float] = []
    async with run.living():
        await at_work(run)
        for how in ("crash", "read-only", "frozen", "hung up"):
            hurt_at.append(time.time())
            match how:
                case "crash":
                    await island.restart_postgres(AWAY)
                case "read-only":
                    await island.owner(NO_WRITES.format(island.name, "on"), HANG_UP)
                    await says_so(island)
                    await island.owner(ALL_THE_SAME, NO_WRITES.format(island.name, "off"), HANG_UP)
                case "frozen":
                    island.database.freeze()
                    await says_so(island)
                    island.database.restore()
                case "hung up":
                    island.database.drop()
            await asyncio.wait_for(island.is_ready(), BACK_WITHIN)
            await goes_on(island, run)
        island.database.losing = [(b"", rng.choice(LOSSES)) for _ in range(20)]

        async def lost() -> bool:
            return not island.database.losing

        await until(lost)
        hurt_at.append(time.time())
    await counted(island, run, hurt_at)


async def says_so(island: Island) -> None:
    """Asserts that every web process is live, not ready, and refuses what it cannot store."""
    for url in island.webs:
        async with http_clients.build_client(base_url=url, timeout=5) as http:

            async def unready(http: httpx.AsyncClient = http) -> bool:
                return (await http.get("/health/ready")).status_code == 503

            await until(unready)
            assert (await http.get("/health/live")).status_code == 200
            key = {"X-API-Key": island.tenant.key}
            refused = await http.post("/api/v1/leads", headers=key, json={"phone": "+12125550198"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "UNAVAILABLE")


async def test_a_worker_that_stood_still_past_its_leases_changes_nothing_when_it_wakes(
    island: Island, run: Run
) -> None:
    hurt_at: list[float] = []
    async with run.living():
        await at_work(run)
        for worker in island.crew.members:
            hurt_at.append(time.time())
            with run.speechless(), stopped(worker.pid):
                await asyncio.sleep(1)
                async with island.resources.database.system_tx() as tx:
                    for statement in LEASES_RUN_OUT:
                        await tx.execute(statement)
                await goes_on(island, run)
    await counted(island, run, hurt_at)

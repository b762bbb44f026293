"""Webhook endpoints through faults: workers are killed, Redis is emptied, receivers fail, hang and lie. Each
event is taken at least once, and none before those of its thread that come before it."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import asyncpg
import pytest
import redis.asyncio

from app.domain.problems import Unavailable
from app.resources import Resources
from tests.faults.crew import Crew
from tests.makers import Data, Tenant
from tests.world import until

THREADS_SQL = """
WITH lead AS (
    INSERT INTO leads (tenant_id, lead_id, phone) VALUES ($1, $1 || '_lead', '+12125550142')
)
INSERT INTO interactions (tenant_id, interaction_id, our_number, lead_phone, lead_id)
SELECT $1, 'int_' || n, '+12125550143', '+1212' || (5550000 + n), $1 || '_lead' FROM generate_series(1, $2) n
"""
TEXTS_SQL = """
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text, status)
SELECT $1, 'msg_' || n || '_' || $3::int, 'int_' || n, $1 || '_lead', $3::int, 'agent', 'api', 'Hi', 'queued'
FROM unnest($2::int[]) n
"""
STEP_SQL = """
UPDATE messages SET status = $4
WHERE tenant_id = $1 AND message_id = ANY (SELECT 'msg_' || n || '_' || $3::int FROM unnest($2::int[]) n)
"""
FEED_SQL = """
SELECT interaction_id, name, transaction::text || '-' || event_id AS id FROM tenant_events
WHERE tenant_id = $1 AND name IS NOT NULL AND interaction_id IS NOT NULL ORDER BY transaction, event_id
"""
RETRY_SQL = """
UPDATE webhook_queue SET due_at = clock_timestamp()
WHERE tenant_id = $1 AND lease IS NULL AND due_at > clock_timestamp()
"""
END_LEASES_SQL = "UPDATE webhook_queue SET due_at = clock_timestamp(), lease = NULL WHERE tenant_id = $1"
COUNT_OWED_SQL = """
SELECT count(*) FROM webhook_endpoints e WHERE e.tenant_id = $1 AND e.description <> 'hangs' AND (
    EXISTS (SELECT FROM webhook_queue q WHERE q.tenant_id = e.tenant_id AND q.endpoint_id = e.endpoint_id)
    OR EXISTS (SELECT FROM webhook_backlogs b WHERE b.tenant_id = e.tenant_id AND b.endpoint_id = e.endpoint_id)
    OR EXISTS (SELECT FROM tenant_events v WHERE v.tenant_id = e.tenant_id
               AND (v.transaction, v.event_id) > (e.transaction, e.event_id)))
"""
LEFT_SQL = """
SELECT e.description, e.failures, e.paused_reason, count(q.*), min(q.due_at) - clock_timestamp() AS due,
       count(q.*) FILTER (WHERE q.lease IS NOT NULL) AS leased, max(q.attempts) AS attempts
FROM webhook_endpoints e LEFT JOIN webhook_queue q USING (tenant_id, endpoint_id)
WHERE e.tenant_id = $1 GROUP BY e.endpoint_id, e.tenant_id
"""
RESUME_SQL = "UPDATE webhook_endpoints SET paused_at = NULL WHERE tenant_id = $1 AND paused_at IS NOT NULL"
LOCK_SQL = "SELECT FROM webhook_endpoints WHERE tenant_id = $1 ORDER BY endpoint_id FOR UPDATE"

OK_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Receiver:
    """A backend that remembers, by thread, what it got and what it took."""

    kind: str
    rng: random.Random
    got: defaultdict[str, list[tuple[str, bool]]] = field(default_factory=lambda: defaultdict(list))
    """By thread: each event id in the order of arrival, and whether it was taken."""
    bodies: dict[str, int] = field(default_factory=dict)
    """A hash of each event's body."""
    posts: int = 0
    changed_bodies: int = 0

    def take(self, body: bytes) -> bool:
        event: Data = json.loads(body)
        chance = {"fails": 0.1, "lies": 0.05, "hangs": 1.0}.get(self.kind, 0.0)
        is_taken = self.rng.random() >= chance
        self.posts += 1
        if event["interactionId"]:
            self.got[event["interactionId"]].append((event["eventId"], is_taken))
        if self.bodies.setdefault(event["eventId"], hash(body)) != hash(body):
            self.changed_bodies += 1
        return is_taken

    def find_faults(self, fed: dict[str, list[str]]) -> list[str]:
        """What is missing, or came before its turn."""
        faults = []
        for thread, ids in fed.items():
            places = {event_id: place for place, event_id in enumerate(ids)}
            next_place = 0
            for event_id, is_taken in self.got[thread]:
                if places[event_id] > next_place:
                    faults.append(f"{self.kind}: {event_id} of {thread} came early")
                if is_taken and places[event_id] == next_place:
                    next_place += 1
            if next_place != len(ids):
                faults.append(f"{self.kind}: {thread} lacks {len(ids) - next_place} events")
        return faults


class Connection(asyncio.Protocol):
    """Speaks HTTP for a receiver. Nothing but asyncio: it must cost less than what is tested."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if not found or len(rest) < length:
                return
            self._buffer = rest[length:]
            self._answer(self._receiver.take(rest[:length]))

    def _answer(self, is_taken: bool) -> None:
        match self._receiver.kind:
            case "hangs":
                return
            case "slow":
                asyncio.get_running_loop().call_later(0.1, self._transport.write, OK_ANSWER)
            case "lies" if not is_taken:
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nTaken, or")
                self._transport.close()
            case _:
                status = 200 if is_taken else self._receiver.rng.choice([500, 503, 429, 404, 302])
                self._transport.write(OK_ANSWER.replace(b"200", str(status).encode()))


@asynccontextmanager
async def receivers(tenant: Tenant, rng: random.Random, few_types: list[str] | None) -> AsyncIterator[list[Receiver]]:
    """The one that is well gets all events, the others those of `few_types`."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        made = [Receiver(kind, rng) for kind in ("well", "fails", "lies", "slow", "hangs")]
        for receiver in made:
            server = await loop.create_server(partial(Connection, receiver), "127.0.0.1", 0)
            stack.callback(server.close)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            types = None if receiver.kind == "well" else few_types
            await tenant.call("POST", "/webhook-endpoints", {"url": url, "description": receiver.kind, "types": types})
        yield made


async def happen(resources: Resources, tenant: Tenant, threads: int, texts: int) -> None:
    """Texts are stored and get on, in eight transactions at a time that end in any order."""
    async with resources.database.system_tx() as tx:
        await tx.execute(THREADS_SQL, tenant.tenant_id, threads)

    async def go_on(mine: list[int]) -> None:
        for nth in range(1, texts + 1):
            async with resources.database.system_tx() as tx:
                await tx.execute(TEXTS_SQL, tenant.tenant_id, mine, nth)
            for status in ("sending", "sent", "delivered"):
                async with resources.database.system_tx() as tx:
                    await tx.execute(STEP_SQL, tenant.tenant_id, mine, nth, status)
                await asyncio.sleep(0)

    await asyncio.gather(*[go_on(list(range(1 + lane, threads + 1, 8))) for lane in range(8)])


async def change(resources: Resources, tenant: Tenant, *statements: str) -> None:
    """Runs the statements on the tenant's queue alone, also if the database is slow to answer."""
    while True:
        try:
            async with resources.database.system_tx() as tx:
                for sql in (LOCK_SQL, *statements):
                    await tx.execute(sql, tenant.tenant_id)
        except (Unavailable, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(0.1)
        else:
            return


async def hurry(resources: Resources, tenant: Tenant) -> None:
    """Time moves on: what waits for a retry is due soon."""
    while True:
        await change(resources, tenant, RETRY_SQL, RESUME_SQL)
        await asyncio.sleep(0.5)


async def suffer(
    resources: Resources, tenant: Tenant, crew: Crew, redis_url: str, made: list[Receiver], times: int, after: int
) -> None:
    """Again and again, `after` posts after the last time: all workers are killed, so that their leases may
    end at once; Redis is emptied; new ones start."""

    async def have_posted(count: int) -> bool:
        return sum(receiver.posts for receiver in made) >= count

    for _ in range(times):
        count = sum(receiver.posts for receiver in made)
        await until(partial(have_posted, count + after), 300)
        for member in crew.members:
            member.kill()
            await member.wait()
        crew.members.clear()
        async with redis.asyncio.from_url(redis_url) as clock:  # type: ignore[no-untyped-call]
            await clock.flushdb()
        await change(resources, tenant, END_LEASES_SQL)
        await crew.start(2)


async def run(
    resources: Resources,
    tenant: Tenant,
    crew: Crew,
    redis_url: str,
    *,
    threads: int,
    texts: int,
    kills: int,
    limit: float,
    few_types: list[str] | None = None,
) -> int:
    """Workers are killed at equal distances of the work. Returns how many events of threads there were."""
    async with receivers(tenant, crew.rng, few_types) as made:
        await crew.start(2)
        tasks = [
            asyncio.create_task(hurry(resources, tenant)),
            asyncio.create_task(suffer(resources, tenant, crew, redis_url, made, kills, threads * texts * 2)),
        ]
        try:
            await happen(resources, tenant, threads, texts)

            async def is_all_taken() -> bool:
                async with resources.database.system_tx() as tx:
                    return not await tx.fetch_value(COUNT_OWED_SQL, tenant.tenant_id)

            await until(is_all_taken, limit)
            assert tasks[1].done(), "the workers were not killed as often as they should be"
            await tasks[1]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            async with resources.database.system_tx() as tx:
                print(await tx.fetch_rows(LEFT_SQL, tenant.tenant_id))
            print({receiver.kind: receiver.posts for receiver in made})
        async with resources.database.system_tx() as tx:
            rows = await tx.fetch_rows(FEED_SQL, tenant.tenant_id)
        for receiver in made[:-1]:
            types = None if receiver.kind == "well" else few_types
            fed: dict[str, list[str]] = {}
            for row in rows:
                if types is None or row["name"] in types:
                    fed.setdefault(row["interaction_id"], []).append(row["id"])
            assert receiver.find_faults(fed) == []
            assert receiver.changed_bodies == 0
        hung = made[-1]
        assert hung.posts, "the one that hangs was never asked"
        return len(rows)


@pytest.mark.short
async def test_every_event_is_taken_in_order_while_workers_die_and_receivers_fail(
    resources: Resources, tenant: Tenant, crew: Crew, redis_url: str
) -> None:
    """Each thread has more events than may be queued of it."""
    assert await run(resources, tenant, crew, redis_url, threads=12, texts=14, kills=2, limit=180) == 684


@pytest.mark.long
@pytest.mark.alone
async def test_a_hundred_thousand_events_are_taken_in_order(
    resources: Resources, tenant: Tenant, crew: Crew, redis_url: str
) -> None:
    few = ["interaction.opened", "message.delivered"]
    assert (
        await run(resources, tenant, crew, redis_url, threads=1_000, texts=25, kills=3, limit=1_500, few_types=few)
        == 101_000
    )

"""A primary that freezes, and its standby that is promoted: of PostgreSQL, and of Redis."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import redis.asyncio

from app import settings
from app.demo import http_clients
from app.domain.windows import MAX_WAIT_WINDOWS
from app.embedded.processes import find_free_port
from app.resources import Resources, open_resources
from app.settings import Settings
from app.store.clock import Clock
from app.store.redis_client import open_client
from tests import makers
from tests.faults.crew import Member, start_process
from tests.faults.island import KEY, STARTS_WITHIN
from tests.faults.sentinels import Watched, watched
from tests.faults.standby import Pair, freeze_and_promote, pair
from tests.faults.talks import COMES_BACK_WITHIN
from tests.makers import Data
from tests.test_cli import ran
from tests.world import AgentDouble, Carrier, World, furnished, until

__all__ = ["pair", "watched"]
READY_WITHIN = 3.0
SEND_EVERY, WRITE_EVERY, LOOK_EVERY = 0.1, 0.4, 0.05
WINDOW = 1.0
BEFORE, FROZEN, AFTER = 2.0, 2.0, 3.0
"""Seconds of each part of a run."""
ON_THEIR_WAY, ARRIVED = {"queued", "sending", "unknown"}, {"sent", "delivered"}
"""What a worker had claimed on the frozen primary is taken up again when its lease has run out."""


@dataclass(slots=True)
class Sent:
    """One text that we were asked to send, with what became of it."""

    text: str
    first_at: float
    accepted_at: float = 0.0
    refusals: int = 0


@dataclass(slots=True)
class Service:
    """A web process and a worker on servers that fail over, and who uses them meanwhile."""

    world: World
    buyer: Data
    """The lead to whom texts are sent. The world's lead talks with the agent."""
    url: str
    sent: list[Sent] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    """What the lead wrote and was answered 2xx."""
    tried: dict[str, float] = field(default_factory=dict)
    """When the lead wrote each text, taken or not."""
    heard: set[str] = field(default_factory=set)
    """What the agent was told of it."""
    turns: list[tuple[float, float]] = field(default_factory=list)
    """When each turn was due, and when the agent was told of it first."""
    ready: list[tuple[float, int]] = field(default_factory=list)
    """When /health/ready answered, and its status."""

    async def send(self) -> None:
        """Sends one text after the other, each until it is accepted."""
        for n in range(10_000):
            one = Sent(f"order {n}", time.monotonic())
            body = {"leadId": self.buyer["leadId"], "message": one.text}
            self.sent.append(one)
            while not one.accepted_at:
                answer = await self.world.tenant.ask("POST", "/sms/send", body, headers={"Idempotency-Key": one.text})
                if answer.status_code == 202:
                    one.accepted_at = time.monotonic()
                else:
                    assert answer.status_code in (503, 504), answer.text
                    one.refusals += 1
                await asyncio.sleep(SEND_EVERY)

    async def write(self) -> None:
        """Writes as the lead; a text that was not taken is written again in other words."""
        for n in range(10_000):
            text = f"hello {n}"
            self.tried[text] = time.monotonic()
            status = await self.world.carrier.text(self.world.phone, self.world.ours, text)
            if status < 300:
                self.written.append(text)
            await asyncio.sleep(WRITE_EVERY)

    async def look(self) -> None:
        async with http_clients.build_client(base_url=self.url, timeout=5) as http:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    self.ready.append(((await http.get("/health/ready")).status_code, time.monotonic())[::-1])
                await asyncio.sleep(LOOK_EVERY)

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in (self.send(), self.write(), self.look())]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
            sending = self.sent[-1]

            async def accepted() -> bool:
                return sending.accepted_at > 0

            await until(accepted)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def require_everything(self, patience: float) -> None:
        """Asserts that each accepted text stands once in the transcript and is on its way or reached the
        lead, once; and that what the other lead wrote stands once in theirs. With `patience` (seconds)
        also that all of it arrived, at the lead and at the agent."""
        accepted = [one.text for one in self.sent if one.accepted_at]
        sent = await self._read_transcript(self.buyer)
        assert [entry["message"] for entry in sent] == accepted
        assert {entry["status"] for entry in sent} <= ON_THEIR_WAY | ARRIVED
        talk = [e["message"] for e in await self._read_transcript(self.world.lead) if e["role"] == "user"]
        assert set(self.written) <= set(talk)  # what was answered otherwise may stand there, too
        assert len(talk) == len(set(talk))

        async def arrived() -> bool:
            return set(accepted) <= set(self._received()) and set(self.written) <= self.heard

        if patience:
            await until(arrived, patience)
        received = self._received()
        assert len(received) == len(set(received))
        print(f"{len(accepted)} texts accepted, {len(set(accepted) - set(received))} still on their way; "
              f"{len(self.written)} of the lead")  # fmt: skip

    async def hear(self, told: Data) -> None:
        """For the agent's double: notes what it is told."""
        texts = {message["text"] for message in told["message"]["messages"]}
        if texts - self.heard:
            times = [self.tried[text] for text in texts]
            due_at = min(max(times) + WINDOW, min(times) + WINDOW * MAX_WAIT_WINDOWS)
            self.turns.append((due_at, time.monotonic()))
        self.heard |= texts

    def list_arrivals(self) -> dict[str, float]:
        """When each text was at the carrier."""
        ahead = time.time() - time.monotonic()
        texts = self.world.carrier.known.phones.get(self.buyer["phone"], [])
        return {text.text: datetime.fromisoformat(text.at).timestamp() - ahead for text in texts}

    def _received(self) -> list[str]:
        return self.world.carrier.received(self.buyer["phone"])

    async def _read_transcript(self, lead: Data) -> list[Data]:
        found = await self.world.tenant.call("GET", f"/interactions?leadId={lead['leadId']}")
        [thread] = found["interactions"]
        shown = await self.world.tenant.call("GET", f"/interactions/{thread['interactionId']}")
        transcript: list[Data] = shown["transcript"]
        return transcript


Serve = Callable[[str, str], Awaitable[Service]]


@pytest.fixture
async def serve(carrier: Carrier, agent: AgentDouble, tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a web process and a worker on these servers; they end with the test."""
    processes: list[Member] = []
    async with contextlib.AsyncExitStack() as stack:

        async def start(database_url: str, redis_url: str) -> Service:
            port = find_free_port()
            url = f"http://127.0.0.1:{port}"
            given = {
                "DATABASE_URL": database_url, "REDIS_URL": redis_url, "SECRET_KEYS": KEY, "PUBLIC_BASE_URL": url,
                "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8,::1/128", "LOG_LEVEL": "WARNING", "PORT": str(port),
            }  # fmt: skip
            configuration = settings.load(**{name.lower(): value for name, value in given.items()})
            with (tmp_path / "processes.log").open("ab") as out:
                for word in ("web", "worker"):
                    env = dict(os.environ) | given
                    processes.append(await start_process(word, 0, env, out.fileno(), out.fileno()))
            http = await stack.enter_async_context(http_clients.build_client(base_url=url, timeout=30))
            await until(lambda: _is_ready(http), STARTS_WITHIN)
            world = await _furnish(configuration, http, carrier, agent)
            await world.send("Hi Jane", agentMode=True)
            service = Service(world, await world.tenant.lead(), url)
            agent.meanwhile = service.hear
            return service

        try:
            yield start
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            print((tmp_path / "processes.log").read_text()[-3000:])


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def _furnish(configuration: Settings, http: httpx.AsyncClient, carrier: Carrier, agent: AgentDouble) -> World:
    async with open_resources(configuration, 2) as resources:
        tenant = await makers.tenant(resources, http)
    world = await furnished(tenant, carrier, agent)
    number = world.number["phoneNumberId"]
    await tenant.call("PATCH", f"/phone-numbers/{number}", {"messagesPerSecond": 50})
    return replace(world, tenant=tenant)


def describe(service: Service, hurt_at: float, mended_at: float) -> str:
    """The longest waits before, during and after the failover: until a text was accepted, from then until it was
    at the carrier, and from when a turn was due until the agent was told."""

    def find_longest(waits: Sequence[tuple[float, float]]) -> str:
        before = [end - begin for begin, end in waits if end < hurt_at]
        during = [end - begin for begin, end in waits if end >= hurt_at and begin < mended_at]
        after = [end - begin for begin, end in waits if begin >= mended_at]
        return ", ".join(f"{max(part, default=0):.2f}" for part in (before, during, after))

    arrivals = service.list_arrivals()
    accepted = [one for one in service.sent if one.accepted_at]
    waits = {
        "accepted": [(one.first_at, one.accepted_at) for one in accepted],
        "at the carrier": [(one.accepted_at, arrivals[one.text]) for one in accepted if one.text in arrivals],
        "at the agent": service.turns,
    }
    return "; ".join(f"{what} after {find_longest(times)} s" for what, times in waits.items())


@pytest.mark.parametrize(
    "patience",
    [pytest.param(0, marks=pytest.mark.short), pytest.param(COMES_BACK_WITHIN, marks=pytest.mark.long)],
    ids=["short", "long"],
)
async def test_a_frozen_primary_is_left_for_its_standby_and_nothing_is_lost(
    pair: Pair, redis_url: str, serve: Serve, patience: float
) -> None:
    service = await serve(pair.url, redis_url)
    async with service.living():
        await asyncio.sleep(BEFORE)
        hurt_at = time.monotonic()
        await freeze_and_promote(pair, FROZEN)
        promoted_at = time.monotonic()

        async def ready_again() -> float:
            return next((at for at, status in service.ready if at > promoted_at and status == 200), 0.0)

        ready_at = await until(ready_again)
        await asyncio.sleep(AFTER)
    assert ready_at - promoted_at < READY_WITHIN
    assert any(status == 503 for _, status in service.ready)
    assert len(service.sent) > 15
    await service.require_everything(patience)
    print(f"ready {ready_at - promoted_at:.2f} s after the promotion, {ready_at - hurt_at:.2f} s after the freeze; "
          f"{describe(service, hurt_at, ready_at)}")  # fmt: skip


async def test_when_the_master_of_redis_freezes_its_replica_is_used_and_no_request_is_refused(
    resources: Resources, watched: Watched, serve: Serve
) -> None:
    await _replicates(watched)
    service = await serve(str(resources.settings.database_url), watched.url)
    async with service.living():
        await asyncio.sleep(BEFORE)
        hurt_at = time.monotonic()
        watched.freeze(watched.master)
        watched.freeze(watched.ports[2])  # a Sentinel of the same host

        async def well_again() -> bool:
            return await _says(service, "ok")

        await until(lambda: _says(service, "away"))
        await until(well_again, 20)
        well_at = time.monotonic()
        await asyncio.sleep(AFTER)
        watched.wake(watched.ports[2])
        watched.wake(watched.master)
        await asyncio.sleep(AFTER)
        assert await _says(service, "ok")
    assert [one.refusals for one in service.sent if one.refusals] == []
    assert {status for _, status in service.ready} == {200}
    await service.require_everything(30)
    print(f"well {well_at - hurt_at:.2f} s after the freeze; {describe(service, hurt_at, well_at)}")


async def _replicates(watched: Watched) -> None:
    """Returns when all Sentinels know the replica and each other: before, they elect nobody."""

    async def known() -> bool:
        for port in watched.ports[2:]:
            async with redis.asyncio.Redis(port=port, decode_responses=True) as sentinel:
                master = (await sentinel.sentinel_masters())["texts"]  # type: ignore[no-untyped-call]
                if (master["num-slaves"], master["num-other-sentinels"]) != (1, 2):
                    return False
        async with redis.asyncio.Redis(port=watched.replica) as replica:
            return bool((await replica.info("replication"))["master_link_status"] == "up")

    await until(known, 30)


async def _says(service: Service, state: str) -> bool:
    async with http_clients.build_client(base_url=service.url, timeout=5) as http:
        return bool((await http.get("/health/ready")).json()["data"]["redis"] == state)


async def test_a_read_only_replica_is_degraded_until_it_is_the_master(
    configuration: Settings, watched: Watched
) -> None:
    url = f"redis://127.0.0.1:{watched.replica}"
    clock = Clock(url)
    try:
        await until(lambda: _has_state(clock, "degraded"))
        status, out, _ = await ran(configuration, "doctor", "--offline", REDIS_URL=url)
        assert (status, "BAD   redis: is a read-only replica" in out) == (1, True)
        async with open_client(url, redis.asyncio.Redis) as replica:
            await replica.replicaof("NO", "ONE")
        await until(lambda: _has_state(clock, "ok"))
    finally:
        await clock.close()


async def _has_state(clock: Clock, state: str) -> bool:
    return await clock.find_state() == state

"""A separate installation: databases that tests may break, and web and workers as processes."""

import asyncio
import contextlib
import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from app import embedded, settings
from app.demo import http_clients
from app.embedded.processes import find_free_port
from app.operations.migrations import migrate_to_head
from app.resources import Resources, open_resources
from app.settings import Settings
from tests import makers
from tests.faults.balancer import Balancer
from tests.faults.crew import Crew, Member, start_process
from tests.makers import Tenant
from tests.processes import end
from tests.relay import Relay
from tests.service import database_named
from tests.world import Carrier, until

KEY = "dGVzdHMnIG93biBzZWFsaW5nIGtleSwgMzIgYnl0ZXM="
MIGRATED = "leadsail_migrated"
STARTS_WITHIN = 30.0
LINGER = 2.0
"""How long a stopping web process still serves, in seconds: the balancer looks ten times meanwhile."""


@dataclass(slots=True)
class Harbour:
    """PostgreSQL and Valkey for these tests alone, with a migrated database to copy. PostgreSQL is
    durable: a crash must not lose what was committed."""

    folder: Path
    postgres: embedded.Server
    valkey: embedded.Server

    def restart_postgres(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Sends SIGQUIT (PostgreSQL's `immediate`, like a crash) and starts it on another port."""
        os.kill(pid_of(self.postgres), number)
        assert self.postgres._process
        self.postgres._process.wait(30)
        self.postgres.close()
        self.postgres = embedded.serve_postgres(self.folder)

    def restart_valkey(self) -> None:
        self.valkey.close()
        self.valkey = embedded.serve_valkey(self.folder)


def pid_of(server: embedded.Server) -> int:
    return server._pid


def port_of(server: embedded.Server) -> int:
    return server._port


@pytest.fixture(scope="session")
def harbour() -> Iterator[Harbour]:
    with tempfile.TemporaryDirectory(prefix="leadsail-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the servers' account must be able to enter it
        with moored(folder) as held:
            yield held


@contextlib.contextmanager
def moored(folder: Path) -> Iterator[Harbour]:
    """Starts the servers with their data in `folder`, and migrates the database."""
    held = Harbour(folder, embedded.serve_postgres(folder), embedded.serve_valkey(folder))
    try:
        with ThreadPoolExecutor(1) as aside:  # in a thread, because this thread's event loop is the tests'
            create = _execute(held.postgres.url, f"CREATE DATABASE {MIGRATED}")
            aside.submit(asyncio.run, create).result()
            url = database_named(held.postgres.url, MIGRATED)
            aside.submit(migrate_to_head, url).result()
        yield held
    finally:
        held.postgres.close()
        held.valkey.close()


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@dataclass(slots=True)
class Island:
    """One installation: servers behind relays, processes, and a balancer in front."""

    harbour: Harbour
    name: str
    database: Relay
    clock: Relay
    balancer: Balancer
    configuration: Settings
    env: dict[str, str]
    log: Path
    crew: Crew
    carrier: Carrier
    resources: Resources
    """The resources of the test itself."""
    tenant: Tenant
    webs: dict[str, Member] = field(default_factory=dict)
    """The web processes by their address."""

    async def start_web(self, skew: float = 0) -> str:
        """Starts a web process whose clock is `skew` seconds ahead, and waits until the balancer sends it
        requests. Returns its address."""
        port = find_free_port()
        url = f"http://127.0.0.1:{port}"
        with self.log.open("ab") as out:
            env = self.env | {"PORT": str(port)}
            self.webs[url] = await start_process("web", skew, env, out.fileno(), out.fileno())
        self.balancer.add(url)

        async def ready() -> bool:
            assert self.webs[url].returncode is None, self.log.read_text()[-3000:]
            return url in self.balancer.ready

        await until(ready, STARTS_WITHIN)
        return url

    async def is_ready(self) -> None:
        """Returns once every web process says that it is ready."""

        async def all_ready() -> bool:
            return set(self.webs) == set(self.balancer.ready)

        await until(all_ready, STARTS_WITHIN)

    async def stop_web(self, url: str) -> int:
        """Stops the web process with SIGTERM; returns its exit status."""
        process = self.webs.pop(url)
        status = await end(process)
        self.balancer.remove(url)
        return status

    async def restart_postgres(self, away: float) -> None:
        """Crashes PostgreSQL and starts it again after `away` seconds."""
        self.database.cut()
        await asyncio.to_thread(self.harbour.restart_postgres)
        await asyncio.sleep(away)
        self.database.to = port_of(self.harbour.postgres)
        self.database.restore()

    async def restart_valkey(self, away: float) -> None:
        self.clock.cut()
        await asyncio.to_thread(self.harbour.restart_valkey)
        await asyncio.sleep(away)
        self.clock.to = port_of(self.harbour.valkey)
        self.clock.restore()

    async def owner(self, *statements: str) -> None:
        """A connection as the database's owner that does not pass the relay."""
        await _execute(database_named(self.harbour.postgres.url, self.name), *statements)

    def said(self) -> str:
        """The logs of the processes."""
        return self.log.read_text()


@pytest.fixture
async def island(harbour: Harbour, carrier: Carrier, rng: random.Random, tmp_path: Path) -> AsyncIterator[Island]:
    """An island with a tenant and without processes."""
    name = f"leadsail_island_{random.randrange(2**32)}"
    await _execute(harbour.postgres.url, f"CREATE DATABASE {name} TEMPLATE {MIGRATED}")
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(Relay("127.0.0.1", port_of(harbour.postgres)).running())
        clock = await stack.enter_async_context(Relay("127.0.0.1", port_of(harbour.valkey)).running())
        balancer = await stack.enter_async_context(Balancer().running())
        given = {
            "DATABASE_URL": _by(database_named(harbour.postgres.url, name), database.port),
            "REDIS_URL": _by(harbour.valkey.url, clock.port),
            "SECRET_KEYS": KEY,
            "PUBLIC_BASE_URL": balancer.url,
            "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8,::1/128",
            "LOG_LEVEL": "WARNING",
            "LINGER_SECONDS": str(LINGER),
        }
        configuration = settings.load(**{name.lower(): value for name, value in given.items()})
        http = await stack.enter_async_context(http_clients.build_client(base_url=balancer.url, timeout=30))
        resources = await stack.enter_async_context(open_resources(configuration))
        log = tmp_path / "processes.log"
        env = dict(os.environ) | given
        members: list[Member] = []

        async def spawn(skew: float = 0) -> Member:
            with log.open("ab") as out:
                process = await start_process("worker", skew, env, out.fileno(), out.fileno())
            members.append(process)
            return process

        one = Island(
            harbour, name, database, clock, balancer, configuration, env, log, Crew(spawn, rng),
            carrier, resources, await makers.tenant(resources, http),
        )  # fmt: skip
        try:
            yield one
        finally:
            for process in (*members, *one.webs.values()):
                if process.returncode is None:
                    process.kill()
                    await process.wait()


def _by(url: str, port: int) -> str:
    """The same URL, through the relay on `port`."""
    before, _, after = url.rpartition(":")
    _, slash, path = after.partition("/")
    return f"{before}:{port}{slash}{path}"

"""A database for each process of the run, and the API over a real socket.

A plugin that `conftest.py` loads for tests that may need the service: it imports all of it.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
import redis.asyncio
import structlog
import uvicorn
from asyncpg.connection import LoggedQuery
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import Pool

from app import settings
from app.cli.processes import KEEP_ALIVE_SECONDS
from app.demo import http_clients
from app.domain.problems import Unavailable
from app.main import build_app
from app.operations.migrations import migrate_to_head
from app.resources import Resources, open_resources
from app.settings import Settings
from app.store import readiness
from app.store.schema import Table
from app.web.joined_writes import JoinedProtocol
from tests import makers
from tests.conftest import find_servers
from tests.makers import Tenant

# As the service logs it itself: structlog's own choice shows all local variables, and takes seconds
# for each unexpected error.
structlog.configure(
    [
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
KEPT = frozenset({"installation"})
LOCK = 8_114_220_903


@pytest.fixture(scope="session")
def server_url(pytestconfig: pytest.Config) -> str:
    """The PostgreSQL on which databases may be made."""
    return find_servers(pytestconfig)[0]


@pytest.fixture(scope="session")
async def database_url(server_url: str) -> AsyncIterator[str]:
    """A database of this process alone, copied from the one that Alembic built."""
    template = await _template(server_url)
    name = f"leadsail_test_{os.getpid()}"
    await _on_server(
        server_url,
        f"DROP DATABASE IF EXISTS {name}",
        f"CREATE DATABASE {name} TEMPLATE {template}",
    )
    yield database_named(server_url, name)
    await _on_server(server_url, f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
async def empty_database_url(server_url: str) -> AsyncIterator[str]:
    """A database without any table."""
    name = f"leadsail_empty_{os.getpid()}"
    await _on_server(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    yield database_named(server_url, name)
    await _on_server(server_url, f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
async def other_database_url(server_url: str) -> AsyncIterator[str]:
    """A second migrated database, of another cell."""
    name = f"leadsail_other_{os.getpid()}"
    await _on_server(
        server_url,
        f"DROP DATABASE IF EXISTS {name}",
        f"CREATE DATABASE {name} TEMPLATE {await _template(server_url)}",
    )
    yield database_named(server_url, name)
    await _on_server(server_url, f"DROP DATABASE IF EXISTS {name}")


def database_named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


async def _on_server(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _template(url: str) -> str:
    """The name of a migrated database; it is made once for one state of the migrations."""
    digest = hashlib.sha256()
    for file in sorted((readiness.MIGRATIONS_PATH / "versions").glob("*.*")):
        digest.update(file.read_bytes())
    name = f"leadsail_template_{digest.hexdigest()[:12]}"
    known = "SELECT 1 FROM pg_database WHERE datname = $1"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        if not await connection.fetchval(known, name):
            await connection.execute(f"DROP DATABASE IF EXISTS {name}_half")
            await connection.execute(f"CREATE DATABASE {name}_half")
            await asyncio.to_thread(migrate_to_head, database_named(url, f"{name}_half"))
            await connection.execute(f"ALTER DATABASE {name}_half RENAME TO {name}")
    finally:
        await connection.close()
    return name


@pytest.fixture(scope="session")
def redis_url(pytestconfig: pytest.Config) -> str:
    """A numbered database of Redis for each xdist worker."""
    url = make_url(find_servers(pytestconfig)[1])
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    number = int(url.database or 0) + int(worker)
    return url.set(database=str(number)).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def listening() -> Iterator[socket.socket]:
    """The socket on which the API of this process listens."""
    # Said to be TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


@pytest.fixture(scope="session")
def configuration(database_url: str, redis_url: str, listening: socket.socket) -> Settings:
    port = listening.getsockname()[1]
    return settings.load(
        database_url=database_url,
        redis_url=redis_url,
        host="127.0.0.1",
        port=port,
        public_base_url=f"http://127.0.0.1:{port}",
        secret_keys=base64.urlsafe_b64encode(b"tests' own sealing key, 32 bytes").decode(),
        allowed_private_networks="127.0.0.0/8,::1/128",
    )


@pytest.fixture(scope="session")
async def resources(configuration: Settings) -> AsyncIterator[Resources]:
    """Database, clock, wire and seal, as every process of the service holds them."""
    # Here the API and a worker share them.
    async with open_resources(configuration, connections=24) as held:
        yield held


class Server(uvicorn.Server):
    """uvicorn inside the test's own loop: signals stay pytest's. It ends at once: uvicorn itself takes
    up to 0.2 seconds, and most tests start two of these."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ended = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._ended.set()

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)  # idle connections are closed now
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._wait_tasks_to_complete()
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class Api:
    """The running API: its address, and a client of it without a key."""

    url: str
    http: httpx.AsyncClient


@pytest.fixture(scope="session")
async def running(configuration: Settings, resources: Resources, listening: socket.socket) -> AsyncIterator[Api]:
    config = uvicorn.Config(
        build_app(configuration, resources),
        log_config=None,
        access_log=False,
        http=JoinedProtocol,
        ws="none",
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        if serving.done():
            serving.result()
        await asyncio.sleep(0.01)
    async with http_clients.build_client(base_url=configuration.base_url, timeout=10) as http:
        yield Api(configuration.base_url, http)
    server.end()
    await serving


@pytest.fixture
def api(running: Api) -> Api:
    """The API of this process, served by uvicorn over a real socket."""
    return running


@pytest.fixture
async def tenant(resources: Resources, api: Api) -> Tenant:
    """A fresh tenant with an admin key, and makers of its things through the public API."""
    return await makers.tenant(resources, api.http)


@pytest.fixture
async def other_tenant(resources: Resources, api: Api) -> Tenant:
    """Another one, of whom the first must never see anything."""
    return await makers.tenant(resources, api.http)


@pytest.fixture(autouse=True)
async def clean(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Deletes what a test wrote. Tests commit for real, so that order and races show."""
    yield
    if "resources" not in request.fixturenames:
        return
    resources: Resources = request.getfixturevalue("resources")
    tables = [t.name for t in reversed(Table.metadata.sorted_tables) if t.name not in KEPT]
    await _deleted(resources, "; ".join(f"DELETE FROM {name}" for name in tables))
    assert resources.settings.redis_url
    url = resources.settings.redis_url
    async with redis.asyncio.from_url(url) as client:  # type: ignore[no-untyped-call]
        await client.flushdb()


async def _deleted(resources: Resources, statements: str) -> None:
    """A test that failed may have left something that still writes: its locks pass."""
    for _ in range(5):
        try:
            async with resources.database.system_tx() as tx:
                await tx.execute(statements)
        except (asyncpg.DeadlockDetectedError, TimeoutError, Unavailable):
            await asyncio.sleep(1)
        else:
            return
    raise AssertionError("the test's rows could not be deleted")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Every statement that reaches the database from here on."""
    seen: list[str] = []

    def listen(pooled: Any, *_: object) -> None:
        pooled.driver_connection.add_query_logger(note)

    async def note(query: LoggedQuery) -> None:
        seen.append(query.query)

    event.listen(Pool, "checkout", listen)
    yield seen
    event.remove(Pool, "checkout", listen)

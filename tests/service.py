"""A database for each process of the run, and the API over a real socket.

A plugin that `conftest.py` loads for tests that may need the service: it imports all of it.
"""

import asyncio
import base64
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
import structlog
from asyncpg.connection import LoggedQuery
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import Pool

from app import settings
from app.demo import http_clients
from app.main import build_app
from app.operations.migrations import migrate_to_head
from app.resources import Resources, open_resources
from app.settings import Settings
from app.store import readiness
from app.web.joined_writes import JoinedProtocol
from tests import makers
from tests.cleaning import Cleaner, open_cleaner
from tests.conftest import find_servers
from tests.makers import Tenant
from tests.serving import listen, serve

# As the service logs it itself: structlog's own choice shows all local variables, and takes seconds
# for each unexpected error.
structlog.configure(
    [
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
LOCK = 8_114_220_903
SERVER_SECONDS = 150
"""How long a statement about a whole database may take, with those of the others before it."""


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
    connection = await asyncpg.connect(url, command_timeout=SERVER_SECONDS)
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
    connection = await asyncpg.connect(url, command_timeout=SERVER_SECONDS)
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
    with listen("127.0.0.1") as listener:
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


@dataclass(frozen=True, slots=True)
class Api:
    """The running API: its address, and a client of it without a key."""

    url: str
    http: httpx.AsyncClient


@pytest.fixture(scope="session")
async def running(configuration: Settings, resources: Resources, listening: socket.socket) -> AsyncIterator[Api]:
    async with (
        serve(
            build_app(configuration, resources),
            listening,
            http=JoinedProtocol,
            lifespan="on",
            timeout_graceful_shutdown=2,
        ),
        http_clients.build_client(base_url=configuration.base_url, timeout=10) as http,
    ):
        yield Api(configuration.base_url, http)


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
def cleaned(request: pytest.FixtureRequest) -> None:
    """What a test with our resources wrote is deleted, after all else of it has ended."""
    if "resources" in request.fixturenames:
        request.getfixturevalue("clean")


@pytest.fixture
async def clean(cleaner: Cleaner) -> AsyncIterator[None]:
    yield
    await cleaner.clean()


@pytest.fixture(scope="session")
async def cleaner(configuration: Settings, resources: Resources) -> AsyncIterator[Cleaner]:
    role = "app_system" if resources.database.two_roles else "CURRENT_USER"
    async with open_cleaner(str(configuration.database_url), str(configuration.redis_url), role) as held:
        yield held


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

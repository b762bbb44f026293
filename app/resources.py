"""What a process holds while it runs: database, clock, wire, seal. Opened once, closed once."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from app.access.sealing import Seal
from app.domain.problems import Unavailable
from app.settings import ConfigurationError, Settings
from app.store import engine, installation, readiness
from app.store.clock import Clock
from app.store.engine import Database
from app.wire.client import Wire

MAX_TRIES = 5
log = structlog.get_logger("resources")


@dataclass(frozen=True, slots=True)
class Resources:
    settings: Settings
    database: Database
    clock: Clock
    wire: Wire
    seal: Seal


async def unseal_phones(database: Database, seal: Seal) -> None:
    """The key of the hash beside each phone; made at the installation's first start."""
    async with database.system_tx() as tx:
        sealed_key = await installation.get_phone_key(tx, seal.close(os.urandom(32)))
    database.phone_key = seal.open(sealed_key)


async def _require_schema(database: Database) -> None:
    """Raises `ConfigurationError` when the database lacks migrations: no statement would be right."""
    async with database.system_tx() as tx:
        version = await readiness.get_version(tx)
    if readiness.is_behind(version):
        state = f"at revision {version}" if version else "empty"
        raise ConfigurationError(
            f"the database is {state}, and this build needs {readiness.head()}: run `migrate` first"
        )


async def _connect_ready(settings: Settings, clock: Clock, connections: int, seal: Seal) -> Database:
    """The database, ready to be worked with."""
    assert settings.database_url
    database = await engine.connect(settings.database_url, clock, connections)
    try:
        await _require_schema(database)
        await unseal_phones(database, seal)
    except BaseException:
        await database.close()
        raise
    return database


async def _connect_with_retries(settings: Settings, clock: Clock, connections: int, seal: Seal) -> Database:
    """Tried again where the server was too slow: nobody waits for an answer yet, and to be gone
    because it is busy would make nothing better. One that refuses is away."""
    try_count = 0
    while True:
        try_count += 1
        try:
            return await _connect_ready(settings, clock, connections, seal)
        except Unavailable as error:
            if try_count == MAX_TRIES or not isinstance(error.__cause__, TimeoutError):
                raise
            log.warning("the database is slow to answer; trying again")


@asynccontextmanager
async def open_resources(settings: Settings, connections: int = 12) -> AsyncIterator[Resources]:
    """The resources of one process. `settings` must name a database and a Redis."""
    assert settings.redis_url
    clock = Clock(settings.redis_url)
    seal = Seal(settings.decode_sealing_keys())
    database = await _connect_with_retries(settings, clock, connections, seal)
    if not database.two_roles:
        log.warning("one database role only: row-level security guards nothing here")
    wire = Wire(settings.allowed_private_networks)
    try:
        yield Resources(settings, database, clock, wire, seal)
    finally:
        await wire.close()
        await database.close()
        await clock.close()


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """The database alone, for a command that leaves no hints: no Redis needs to be there."""
    clock = Clock("redis://127.0.0.1")
    database = await engine.connect(url, clock, pool_size=2)
    try:
        yield database
    finally:
        await database.close()
        await clock.close()

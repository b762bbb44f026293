"""The resources of a process: database, clock, wire, seal. Opened at its start, closed at its end."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from app import traces
from app.access.sealing import Seal
from app.domain.problems import Unavailable
from app.settings import ConfigurationError, Settings
from app.store import installation, pools, readiness
from app.store.clock import Clock
from app.store.engine import Database
from app.store.standby import LaggingReads
from app.wire.client import Wire
from app.wire.mail import MailClient

MAX_CONNECT_TRIES = 5
log = structlog.get_logger("resources")


@dataclass(frozen=True, slots=True)
class Resources:
    settings: Settings
    database: Database
    lagging_reads: LaggingReads
    clock: Clock
    wire: Wire
    seal: Seal
    mail: MailClient | None
    """None: no mail server is configured."""


async def unseal_phones(database: Database, seal: Seal) -> None:
    """Sets `database.phone_key`, the key of the phones' hashes. The installation's first start makes
    it."""
    async with database.system_tx() as tx:
        sealed_key = await installation.get_phone_key(tx, seal.close(os.urandom(32)))
    database.phone_key = seal.open(sealed_key)


async def _require_schema(database: Database) -> None:
    """Raises `ConfigurationError` if the database lacks a migration of this build."""
    async with database.system_tx() as tx:
        version = await readiness.get_version(tx)
    if readiness.is_behind(version):
        state = f"at revision {version}" if version else "empty"
        raise ConfigurationError(
            f"the database is {state}, and this build needs {readiness.head()}: run `migrate` first"
        )


async def _connect_ready(settings: Settings, clock: Clock, connections: int, seal: Seal) -> Database:
    """Connects, checks the schema and loads the phone key."""
    assert settings.database_url
    database = await pools.connect(settings.database_url, clock, connections)
    try:
        await _require_schema(database)
        await unseal_phones(database, seal)
    except BaseException:
        await database.close()
        raise
    return database


async def _connect_with_retries(settings: Settings, clock: Clock, connections: int, seal: Seal) -> Database:
    """Connects, with retries after a timeout: nobody waits for this process yet, and ending it would
    not help a busy server. A server that refuses the connection is not tried again."""
    try_count = 0
    while True:
        try_count += 1
        try:
            return await _connect_ready(settings, clock, connections, seal)
        except Unavailable as error:
            if try_count == MAX_CONNECT_TRIES or not isinstance(error.__cause__, TimeoutError):
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
        log.warning("the service has only one database role, so row-level security is not in force")
    lagging_reads = pools.prepare_lagging_reads(settings.database_replica_url, database.two_roles)
    wire = Wire(settings.allowed_private_networks, traces.build_headers)
    mail = build_mail_client(settings)
    try:
        yield Resources(settings, database, lagging_reads, clock, wire, seal, mail)
    finally:
        if mail:
            mail.close()
        await wire.close()
        await lagging_reads.close()
        await database.close()
        await clock.close()


def build_mail_client(settings: Settings) -> MailClient | None:
    server = settings.mail_server
    return MailClient(server, settings.mail_from or "") if server else None


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """The database alone, for a command that leaves no hints: no Redis needs to be there."""
    clock = Clock("redis://127.0.0.1")
    database = await pools.connect(url, clock, pool_size=2)
    try:
        yield database
    finally:
        await database.close()
        await clock.close()

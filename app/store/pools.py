"""The connection pools: how a connection is opened and what it is set to."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.domain.problems import Unavailable
from app.store.clock import Clock
from app.store.connections import DATABASE_AWAY_ERRORS, Trust
from app.store.dialling import CONNECT_SECONDS, WantedHost, dial, dial_host
from app.store.engine import BATCH_LOCK_TIMEOUT, Database
from app.store.standby import MAX_CONNECTIONS, LaggingReads, Standby

OpenConnection = Callable[..., Awaitable[Any]]
JSON_DECODER = json.JSONDecoder()
STATEMENT_SECONDS = 10.0
"""Timeout of a statement. Without it, a frozen server or a silent network blocks for ever."""
MAX_BATCH_CONNECTIONS = 4
"""One for a batch of sends, one for a batch of receipts, two for batches of inbound texts."""
ABANDONED_TX_TIMEOUT = "10s"
"""The server ends a transaction that is idle for this long, and frees its locks."""
SET_TCP_SQL = f"SET tcp_user_timeout = '{ABANDONED_TX_TIMEOUT}'; SET tcp_keepalives_idle = 60"
"""The server also ends a transaction whose result nobody takes for so long: a process that is frozen or cut off while
it reads much would else keep its locks. And it sends something on connections that rest, of which the pool has many,
before a firewall forgets them. No settings of the start, which a pooler would refuse."""
TRY_ROLES_SQL = "SET ROLE app_tenant; SET ROLE app_system"


async def connect(url: str, clock: Clock, pool_size: int = 12) -> Database:
    """Connects to the database at `url`. Raises `Unavailable` when it cannot be reached."""
    try:
        probe = await dial(url)
        two_roles = await _has_both_roles(probe)
        await probe.close()
    except DATABASE_AWAY_ERRORS as error:
        raise Unavailable from error

    trust = Trust()
    open_one = _build_opening(url, two_roles, trust)

    async def open_batch_connection() -> Any:
        return await open_one(lock_timeout=BATCH_LOCK_TIMEOUT)

    return Database(
        _create_pool(open_one, pool_size, trust),
        _create_pool(open_batch_connection, MAX_BATCH_CONNECTIONS, trust),
        clock,
        two_roles,
        trust,
    )


def prepare_lagging_reads(url: str | None, two_roles: bool) -> LaggingReads:
    """`url`: the standby's, if there is one. It is dialled by the first read: a process also starts while
    it is away."""
    if not url:
        return LaggingReads(None)
    trust = Trust()
    pool = _create_pool(_build_opening(url, two_roles, trust, "standby"), MAX_CONNECTIONS, trust)
    return LaggingReads(Standby(pool, trust))


def _build_opening(url: str, two_roles: bool, trust: Trust, wanted_host: WantedHost = "read-write") -> OpenConnection:
    """What opens the connections of a pool."""
    server_settings = {
        "application_name": "leadsail-sms",
        "timezone": "UTC",
        "jit": "off",
        # A plan is made once a session, often while tables are small, and a sequential scan would
        # stay when the table has grown. The statements look up keys, never whole tables.
        "enable_seqscan": "off",
        "plan_cache_mode": "force_generic_plan",
        "idle_in_transaction_session_timeout": ABANDONED_TX_TIMEOUT,
    }
    if two_roles:
        server_settings["role"] = "app_system"

    async def open_one(**extra_settings: str) -> Any:
        connection, host = await dial_host(
            url,
            wanted_host,
            command_timeout=STATEMENT_SECONDS,
            server_settings=server_settings | extra_settings,
        )
        trust.note_opening(connection, host)
        return connection

    return open_one


def _create_pool(open_one: OpenConnection, size: int, trust: Trust) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=open_one,
        pool_size=size,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
        pool_use_lifo=True,  # the fewer connections take turns, the fewer sessions plan each statement
    )

    def refuse_dead(adapter: Any, _: object, __: object) -> None:
        """Makes the pool replace a connection that is closed or no longer trusted; costs no round trip."""
        if not trust.is_trusted(adapter.driver_connection):
            adapter.driver_connection.terminate()
        if adapter.driver_connection.is_closed():
            raise exc.DisconnectionError

    event.listen(engine.sync_engine, "connect", _prepare_session)
    event.listen(engine.sync_engine, "checkout", refuse_dead)
    return engine


async def _has_both_roles(probe: Any) -> bool:
    """Whether we may switch to both roles. Tried, not looked up: since PostgreSQL 16 a member of
    a role may be forbidden to SET ROLE to it."""
    try:
        await probe.execute(TRY_ROLES_SQL)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError):
        return False
    return True


def _prepare_session(adapter: Any, _: object) -> None:
    """Sets how the server treats a silent connection, and reads and writes jsonb as Python values."""

    async def prepare(connection: Any) -> None:
        await connection.execute(SET_TCP_SQL)
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=_decode_json)

    adapter.run_async(prepare)


def _decode_json(json_text: str) -> Any:
    """As `json.loads`, but faster: PostgreSQL writes no white space around a value, and most
    values are empty lists (a transcript has a thousand)."""
    return [] if json_text == "[]" else JSON_DECODER.raw_decode(json_text)[0]

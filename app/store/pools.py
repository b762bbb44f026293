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
from app.store.dialling import CONNECT_SECONDS, dial, dial_host
from app.store.engine import BATCH_LOCK_TIMEOUT, Database

JSON_DECODER = json.JSONDecoder()
STATEMENT_SECONDS = 10.0
"""Timeout of a statement. Without it, a frozen server or a silent network blocks for ever."""
MAX_BATCH_CONNECTIONS = 4
"""One for a batch of sends, one for a batch of receipts, two for batches of inbound texts."""
ABANDONED_TX_TIMEOUT = "10s"
"""The server ends a transaction that is idle for this long, and frees its locks."""
TRY_ROLES_SQL = "SET ROLE app_tenant; SET ROLE app_system"


async def connect(url: str, clock: Clock, pool_size: int = 12) -> Database:
    """Connects to the database at `url`. Raises `Unavailable` when it cannot be reached."""
    try:
        probe = await dial(url)
        two_roles = await _has_both_roles(probe)
        await probe.close()
    except DATABASE_AWAY_ERRORS as error:
        raise Unavailable from error

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

    trust = Trust()

    async def open_connection(**extra_settings: str) -> Any:
        connection, host = await dial_host(
            url,
            command_timeout=STATEMENT_SECONDS,
            server_settings=server_settings | extra_settings,
        )
        trust.note_opening(connection, host)
        return connection

    async def open_batch_connection() -> Any:
        return await open_connection(lock_timeout=BATCH_LOCK_TIMEOUT)

    return Database(
        _create_pool(open_connection, pool_size, trust),
        _create_pool(open_batch_connection, MAX_BATCH_CONNECTIONS, trust),
        clock,
        two_roles,
        trust,
    )


def _create_pool(open_connection: Callable[..., Awaitable[Any]], size: int, trust: Trust) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=open_connection,
        pool_size=size,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
    )

    def refuse_dead(adapter: Any, _: object, __: object) -> None:
        """Makes the pool replace a connection that is closed or no longer trusted; costs no round trip."""
        if not trust.is_trusted(adapter.driver_connection):
            adapter.driver_connection.terminate()
        if adapter.driver_connection.is_closed():
            raise exc.DisconnectionError

    event.listen(engine.sync_engine, "connect", _register_json_codec)
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


def _register_json_codec(adapter: Any, _: object) -> None:
    """Reads and writes jsonb as Python values."""
    adapter.run_async(
        lambda connection: connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=_decode_json
        )
    )


def _decode_json(json_text: str) -> Any:
    """As `json.loads`, but faster: PostgreSQL writes no white space around a value, and most
    values are empty lists (a transcript has a thousand)."""
    return [] if json_text == "[]" else JSON_DECODER.raw_decode(json_text)[0]

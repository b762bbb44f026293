"""Transactions. Whoever opens one here commits it at its end; nothing else commits.

SQLAlchemy pools the connections; statements run on asyncpg itself, with `$1` parameters and
prepared plans. Every transaction runs as one of two roles: `app_tenant` under row-level
security, for one tenant; `app_system` for the statements that serve many.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Any

import asyncpg
from sqlalchemy import event, exc
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection

from app.domain.problems import OutcomeUnknown, Unavailable
from app.store.clock import Clock

Row = Mapping[str, Any]
"""A row by column names: asyncpg's Record, as far as anybody here needs it."""
JSON = json.JSONDecoder()
TENANT_ID = re.compile(r"[A-Za-z0-9_]{1,64}")
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # an idle connection that the server has just hung up
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DiskFullError,
    exc.TimeoutError,
)
"""What a database that is away looks like from here."""
CONNECT_SECONDS = 1.5
START_SECONDS = 1.7
"""From asking for a connection to an open transaction: a refusal is promised within 2 s."""
STATEMENT_SECONDS = 10.0
"""A statement that a frozen server, or a network that swallows everything, leaves unanswered."""
LOCKS_WAITED_FOR = "250ms"
"""By a batch of strangers; then its entries go one by one."""
BATCHES_AT_ONCE = 4
"""Connections for them: sends have one on its way, receipts one, texts of leads two."""
PLANS_LAST = 5.0
"""Seconds."""
ABANDONED = "10s"
"""After this the server ends a transaction of which it hears no more, and frees its locks."""
UNGUARDED = """
SELECT current_setting('role') AS role, set_config('role', $1, true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('work_mem', '32MB', true)
"""
GUARDED = """
SELECT set_config('role', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true)
"""
KEYED = f"""
BEGIN; SET LOCAL lock_timeout = '{LOCKS_WAITED_FOR}';
SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off
"""
PLANNED = "(SELECT set_config('plan_cache_mode', 'force_generic_plan', true)) IS NOT NULL"
"""Always true. In the WHERE of a statement that writes after `replan`: the statement is planned
by now, and the triggers and foreign keys that it fires, row by row, keep their plans."""
TRY_ROLES = "SET ROLE app_tenant; SET ROLE app_system"


class HungUp(Unavailable):
    """A connection turned out to be dead at its first word: nothing was asked of the server, and
    the next connection may well be alive."""


class CommitLost(OutcomeUnknown):
    """What commits was sent and its answer lost. `backend`: the server's process that may have
    it."""

    def __init__(self, backend: int) -> None:
        super().__init__()
        self.backend = backend


class Read:
    """A transaction that reads. Functions that take one may not write."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool) -> None:
        self._connection = connection
        self._phone_key = phone_key
        self._two_roles = two_roles
        self.until: float | None = None
        """By when statements must be answered, where a refusal is promised by then."""

    async def rows(self, sql: str, *args: Any) -> list[Row]:
        rows: list[Row] = await self._connection.fetch(sql, *args, timeout=self._patience())
        return rows

    def _patience(self) -> float | None:
        return None if self.until is None else max(self.until - _now(), 0.1)

    async def row(self, sql: str, *args: Any) -> Row | None:
        row: Row | None = await self._connection.fetchrow(sql, *args)
        return row

    async def value(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetchval(sql, *args)

    async def unguarded(self, sql: str, *args: Any) -> list[Row]:
        """Rows of a search, which must name its tenant: row-level security would let no index
        serve a LIKE or a look for words, since their operators might tell of what they saw.
        Its plan is made for the very words, and bitmaps fit into memory. For ids only; what is
        shown is read as always."""
        role = "app_system" if self._two_roles else "none"
        before = await self.row(UNGUARDED, role)
        assert before is not None
        rows = await self.rows(sql, *args)
        await self.row(GUARDED, before["role"])
        return rows

    def phone_hash(self, phone: str) -> bytes:
        """The keyed hash that stands beside a phone, and for it after an erasure."""
        return hmac_digest(self._phone_key, phone.encode(), sha256)


class Tx(Read):
    """A transaction that may write; it commits when its `async with` block ends, and its
    hints leave after that."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool) -> None:
        super().__init__(connection, phone_key, two_roles)
        self.hints: dict[str, datetime] = {}
        self.begun = True
        self.planned_lately = False

    async def together(self) -> None:
        """What follows commits as one, also where each statement would commit by itself: to be
        called before the first of several that write."""
        if not self.begun:
            await self._connection.execute("BEGIN", timeout=self._patience())
            self.until, self.begun = None, True

    def last(self) -> None:
        """The next statement writes, and is the last that does; without `together` it commits by
        itself. What came before only read, and could be refused."""
        self.until = None

    async def execute(self, sql: str, *args: Any) -> None:
        await self._connection.execute(sql, *args)

    async def expect_many(self) -> None:
        """The next statements take hundreds of rows: the plan made for a few would be wrong."""
        await self.replan()

    async def replan(self) -> None:
        """The next statements are planned for what is there now. The outbox is empty at one
        moment and holds a hundred thousand texts at the next; a plan that was made while it was
        empty took seconds for a claim that takes milliseconds."""
        if not self.planned_lately:
            await self._connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")


class Database:
    """The pools, and the ways to open a transaction on them. Batches have connections of their
    own: they wait for locks a moment only, and in no queue."""

    def __init__(self, engine: AsyncEngine, batches: AsyncEngine, clock: Clock, two_roles: bool) -> None:
        self._engine = engine
        self._batches = batches
        self._clock = clock
        self.two_roles = two_roles
        self.phone_key = b""

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Tx]:
        """For statements that serve many tenants."""
        async with self._writing("BEGIN") as tx:
            yield tx

    @asynccontextmanager
    async def gathered(self) -> AsyncIterator[Tx]:
        """As `system`, for a batch of strangers: one locked thread must not stall the others.
        Until `together` each statement commits by itself, which saves two round trips; all before
        the `last` must only read."""
        async with self._opened(self._batches, None) as (pooled, deadline):
            connection = pooled.driver_connection
            assert connection is not None
            await _plan_anew(pooled, deadline)
            tx = Tx(connection, self.phone_key, self.two_roles)
            tx.begun, tx.planned_lately = False, True
            tx.until = deadline
            try:
                yield tx
            except AWAY as error:
                if tx.until is not None:  # nothing was to be stored yet
                    raise _given_up(connection, error) from error
                if tx.begun:
                    raise
                raise _lost(connection) from error
            if tx.begun:
                await _commit(connection)
        self._clock.hint(tx.hints)

    @asynccontextmanager
    async def keyed(self) -> AsyncIterator[Tx]:
        """As `gathered`, for statements that take a set of keys from tables that may be empty
        when a session makes its plans. A join by hash, or of what was read once, looks as good
        then as a look at each key; so only the latter is left."""
        async with self._writing(KEYED) as tx:
            yield tx

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[Tx]:
        """For one tenant, under row-level security."""
        async with self._writing(f"BEGIN; {self._as_tenant(tenant_id)}") as tx:
            yield tx

    @asynccontextmanager
    async def reading(self, tenant_id: str) -> AsyncIterator[Read]:
        """For one tenant, read-only, on one snapshot."""
        begin = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {self._as_tenant(tenant_id)}"
        async with self._begun(begin) as connection:
            yield Read(connection, self.phone_key, self.two_roles)

    async def close(self) -> None:
        await self._engine.dispose()
        await self._batches.dispose()

    @asynccontextmanager
    async def _writing(self, begin: str) -> AsyncIterator[Tx]:
        async with self._begun(begin) as connection:
            tx = Tx(connection, self.phone_key, self.two_roles)
            yield tx
        self._clock.hint(tx.hints)

    def _as_tenant(self, tenant_id: str) -> str:
        # In the same round trip as BEGIN, hence no parameter: the id must be plainly one.
        if not TENANT_ID.fullmatch(tenant_id):
            raise ValueError("not a tenant id")
        role = "SELECT set_config('role', 'app_tenant', true); " if self.two_roles else ""
        return f"{role}SELECT set_config('app.tenant', '{tenant_id}', true)"

    @asynccontextmanager
    async def _begun(self, begin: str) -> AsyncIterator[Any]:
        async with self._opened(self._engine, begin) as (pooled, _):
            yield pooled.driver_connection
            await _commit(pooled.driver_connection)

    @asynccontextmanager
    async def _opened(
        self, engine: AsyncEngine, begin: str | None
    ) -> AsyncIterator[tuple[PoolProxiedConnection, float]]:
        """A connection of the pool, on which a transaction has begun if there is a `begin`, and
        by when its first statement must be answered. It goes back without an open one."""
        deadline = _now() + START_SECONDS
        pooled = await _taken(engine, begin, deadline)
        connection = pooled.driver_connection
        assert connection is not None
        try:
            yield pooled, deadline
        except (CommitLost, HungUp):
            raise
        except BaseException as error:
            await _roll_back(connection)
            if isinstance(error, AWAY) and connection.is_closed():
                raise Unavailable from error
            raise
        finally:
            pooled.close()


async def _taken(engine: AsyncEngine, begin: str | None, deadline: float) -> PoolProxiedConnection:
    """Where connections died in the pool unnoticed, the first that lives."""
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                pooled = await engine.raw_connection()
        except (*AWAY, exc.DBAPIError, AsyncAdapt_asyncpg_dbapi.Error) as error:
            raise Unavailable from error
        if begin is None:
            return pooled
        try:
            await _start(pooled.driver_connection, begin, deadline)
        except HungUp:
            pooled.close()
        except BaseException:
            pooled.close()
            raise
        else:
            return pooled


async def _plan_anew(pooled: PoolProxiedConnection, deadline: float) -> None:
    """Now and then the connection forgets its plans, so that one made while a table was small or
    empty does not outlive that for long."""
    now = _now()
    planned = pooled.info.setdefault("planned", now)
    if now - planned > PLANS_LAST:
        await _start(pooled.driver_connection, "DISCARD PLANS", deadline)
        pooled.info["planned"] = now


async def _commit(connection: Any) -> None:
    try:
        await connection.execute("COMMIT")
    except AWAY as error:
        raise _lost(connection) from error


def _lost(connection: Any) -> CommitLost:
    """Nobody listens to the connection any more; its process at the server may still commit."""
    lost = CommitLost(connection.get_server_pid())
    connection.terminate()
    return lost


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _start(connection: Any, begin: str, deadline: float) -> None:
    """The first word, with a limit: a server that is frozen or cut off does not even refuse."""
    try:
        await connection.execute(begin, timeout=max(deadline - _now(), 0.1))
    except AWAY as error:
        raise _given_up(connection, error) from error
    except BaseException:
        connection.terminate()
        raise


def _given_up(connection: Any, error: Exception) -> Unavailable:
    """What a failed first word means. Given up on the way it may still take hold later, when the
    connection would look unused: so the connection ends."""
    hung_up = connection.is_closed() and not isinstance(error, TimeoutError)
    connection.terminate()
    return HungUp() if hung_up else Unavailable()


async def _roll_back(connection: Any) -> None:
    """Leaves the connection usable, or closed: an open transaction must never be pooled."""
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK", timeout=2)
    except Exception:
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise


def driver_url(url: str) -> str:
    """A plain `postgresql://` address as asyncpg takes it."""
    parsed = make_url(url).set(drivername="postgresql")
    return parsed.render_as_string(hide_password=False)


async def connect(url: str, clock: Clock, pool_size: int = 12) -> Database:
    """The database at `url`. Raises `Unavailable` when it is away."""
    dsn = driver_url(url)
    try:
        probe = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
        two_roles = await _may_be_both(probe)
        await probe.close()
    except AWAY as error:
        raise Unavailable from error

    settings = {
        "application_name": "leadsail-sms",
        "timezone": "UTC",
        "jit": "off",
        # Plans are made once a session, often while tables are small: a plan that scans a small
        # table stays when it has grown. Statements here take keys, never whole tables.
        "enable_seqscan": "off",
        "plan_cache_mode": "force_generic_plan",
        "idle_in_transaction_session_timeout": ABANDONED,
    }
    if two_roles:
        settings["role"] = "app_system"

    async def dial(**more: str) -> Any:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings=settings | more,
        )

    async def dial_for_batches() -> Any:
        return await dial(lock_timeout=LOCKS_WAITED_FOR)

    return Database(_pool(dial, pool_size), _pool(dial_for_batches, BATCHES_AT_ONCE), clock, two_roles)


def _pool(dial: Callable[..., Awaitable[Any]], size: int) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=dial,
        pool_size=size,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _speak_json)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


async def _may_be_both(probe: Any) -> bool:
    """Whether the two roles are there for us. Tried and not looked up: since PostgreSQL 16 a
    member of a role need not be allowed to become it."""
    try:
        await probe.execute(TRY_ROLES)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError):
        return False
    return True


def _speak_json(adapted: Any, _: object) -> None:
    """jsonb as Python values, in and out."""
    adapted.run_async(
        lambda connection: connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=_from_json
        )
    )


def _from_json(written: str) -> Any:
    """As `json.loads`, without its look for what a server never writes around a value: most
    values are empty lists, and a transcript has a thousand."""
    return [] if written == "[]" else JSON.raw_decode(written)[0]


def _refuse_closed(adapted: Any, _: object, __: object) -> None:
    """A connection that died in the pool is replaced, without a round trip to ask it."""
    if adapted.driver_connection.is_closed():
        raise exc.DisconnectionError


def spread(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as columns, for `unnest`."""
    return [[row[i] for row in rows] for i in range(width)]

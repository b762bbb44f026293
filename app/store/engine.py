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
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import event, exc
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection

from app.domain.problems import OutcomeUnknown, Unavailable
from app.store.clock import Clock

T = TypeVar("T")
Row = Mapping[str, Any]
"""A row by column names: asyncpg's Record, as far as anybody here needs it."""
JSON_DECODER = json.JSONDecoder()
TENANT_ID_PATTERN = re.compile(r"[A-Za-z0-9_]{1,64}")
DATABASE_AWAY_ERRORS = (
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
BATCH_LOCK_TIMEOUT = "250ms"
"""By a batch of strangers; then its entries go one by one."""
MAX_BATCH_CONNECTIONS = 4
"""Connections for them: sends have one on its way, receipts one, texts of leads two."""
PLAN_LIFE_SECONDS = 5.0
"""Seconds."""
ABANDONED_TX_TIMEOUT = "10s"
"""After this the server ends a transaction of which it hears no more, and frees its locks."""
LEAVE_ROW_SECURITY_SQL = """
SELECT current_setting('role') AS role, set_config('role', $1, true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('work_mem', '32MB', true)
"""
RESTORE_ROW_SECURITY_SQL = """
SELECT set_config('role', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true)
"""
BEGIN_INDEX_LOOKUPS_SQL = f"""
BEGIN; SET LOCAL lock_timeout = '{BATCH_LOCK_TIMEOUT}';
SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off
"""
RESTORE_GENERIC_PLANS_SQL = "(SELECT set_config('plan_cache_mode', 'force_generic_plan', true)) IS NOT NULL"
"""Always true. In the WHERE of a statement that writes after `plan_afresh`: the statement is planned
by now, and the triggers and foreign keys that it fires, row by row, keep their plans."""
TRY_ROLES_SQL = "SET ROLE app_tenant; SET ROLE app_system"


class HungUp(Unavailable):
    """A connection turned out to be dead at its first word: nothing was asked of the server, and
    the next connection may well be alive."""


class CommitLost(OutcomeUnknown):
    """What commits was sent and its answer lost. `backend`: the server's process that may have
    it."""

    def __init__(self, backend: int) -> None:
        super().__init__()
        self.backend = backend


class ReadTx:
    """A transaction that reads. Functions that take one may not write."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool) -> None:
        self._connection = connection
        self._phone_key = phone_key
        self._two_roles = two_roles
        self.deadline: float | None = None
        """By when statements must be answered, where a refusal is promised by then."""

    async def fetch_rows(self, sql: str, *args: Any) -> list[Row]:
        rows: list[Row] = await self._connection.fetch(sql, *args, timeout=self._seconds_left())
        return rows

    def _seconds_left(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - _loop_time(), 0.1)

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        row: Row | None = await self._connection.fetchrow(sql, *args)
        return row

    async def fetch(self, kind: type[T], sql: str, *args: Any) -> list[T]:
        """Each row as a `kind`: a dataclass whose fields are the statement's columns in order."""
        return [kind(*row) for row in await self.fetch_rows(sql, *args)]

    async def fetch_one(self, kind: type[T], sql: str, *args: Any) -> T | None:
        """The first row as a `kind`; None if there is none."""
        row = await self.fetch_row(sql, *args)
        return None if row is None else kind(*row)

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        return await self._connection.fetchval(sql, *args)

    async def fetch_rows_without_rls(self, sql: str, *args: Any) -> list[Row]:
        """Rows of a search, which must name its tenant: row-level security would let no index
        serve a LIKE or a look for words, since their operators might tell of what they saw.
        Its plan is made for the very words, and bitmaps fit into memory. For ids only; what is
        shown is read as always."""
        role = "app_system" if self._two_roles else "none"
        previous = await self.fetch_row(LEAVE_ROW_SECURITY_SQL, role)
        assert previous is not None
        rows = await self.fetch_rows(sql, *args)
        await self.fetch_row(RESTORE_ROW_SECURITY_SQL, previous["role"])
        return rows

    def hash_phone(self, phone: str) -> bytes:
        """The keyed hash that stands beside a phone, and for it after an erasure."""
        return hmac_digest(self._phone_key, phone.encode(), sha256)


class Tx(ReadTx):
    """A transaction that may write; it commits when its `async with` block ends, and its
    hints leave after that."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool) -> None:
        super().__init__(connection, phone_key, two_roles)
        self.hints: dict[str, datetime] = {}
        self.has_begun = True
        self.has_fresh_plans = False

    async def begin(self) -> None:
        """What follows commits as one, also where each statement would commit by itself: to be
        called before the first of several that write."""
        if not self.has_begun:
            await self._connection.execute("BEGIN", timeout=self._seconds_left())
            self.deadline, self.has_begun = None, True

    def mark_last_write(self) -> None:
        """The next statement writes, and is the last that does; without `begin` it commits by
        itself. What came before only read, and could be refused."""
        self.deadline = None

    async def execute(self, sql: str, *args: Any) -> None:
        await self._connection.execute(sql, *args)

    async def plan_for_many(self) -> None:
        """The next statements take hundreds of rows: the plan made for a few would be wrong."""
        await self.plan_afresh()

    async def plan_afresh(self) -> None:
        """The next statements are planned for what is there now. The outbox is empty at one
        moment and holds a hundred thousand texts at the next; a plan that was made while it was
        empty took seconds for a claim that takes milliseconds."""
        if not self.has_fresh_plans:
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
    async def system_tx(self) -> AsyncIterator[Tx]:
        """For statements that serve many tenants."""
        async with self._open_write_tx("BEGIN") as tx:
            yield tx

    @asynccontextmanager
    async def batch_tx(self) -> AsyncIterator[Tx]:
        """As `system_tx`, for a batch of strangers: one locked thread must not stall the others.
        Until `begin` each statement commits by itself, which saves two round trips; all before
        what follows `mark_last_write` must only read."""
        async with self._open_connection(self._batches, None) as (proxy, deadline):
            connection = proxy.driver_connection
            assert connection is not None
            await _discard_old_plans(proxy, deadline)
            tx = Tx(connection, self.phone_key, self.two_roles)
            tx.has_begun, tx.has_fresh_plans = False, True
            tx.deadline = deadline
            try:
                yield tx
            except DATABASE_AWAY_ERRORS as error:
                if tx.deadline is not None:  # nothing was to be stored yet
                    raise _build_start_error(connection, error) from error
                if tx.has_begun:
                    raise
                raise _build_commit_lost(connection) from error
            if tx.has_begun:
                await _commit_transaction(connection)
        self._clock.hint(tx.hints)

    @asynccontextmanager
    async def index_lookup_tx(self) -> AsyncIterator[Tx]:
        """As `batch_tx`, for statements that take a set of keys from tables that may be empty
        when a session makes its plans. A join by hash, or of what was read once, looks as good
        then as a look at each key; so only the latter is left."""
        async with self._open_write_tx(BEGIN_INDEX_LOOKUPS_SQL) as tx:
            yield tx

    @asynccontextmanager
    async def tenant_tx(self, tenant_id: str) -> AsyncIterator[Tx]:
        """For one tenant, under row-level security."""
        async with self._open_write_tx(f"BEGIN; {self._become_tenant_sql(tenant_id)}") as tx:
            yield tx

    @asynccontextmanager
    async def read_tx(self, tenant_id: str) -> AsyncIterator[ReadTx]:
        """For one tenant, read-only, on one snapshot."""
        begin = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {self._become_tenant_sql(tenant_id)}"
        async with self._open_transaction(begin) as connection:
            yield ReadTx(connection, self.phone_key, self.two_roles)

    async def close(self) -> None:
        await self._engine.dispose()
        await self._batches.dispose()

    @asynccontextmanager
    async def _open_write_tx(self, begin: str) -> AsyncIterator[Tx]:
        async with self._open_transaction(begin) as connection:
            tx = Tx(connection, self.phone_key, self.two_roles)
            yield tx
        self._clock.hint(tx.hints)

    def _become_tenant_sql(self, tenant_id: str) -> str:
        # In the same round trip as BEGIN, hence no parameter: the id must be plainly one.
        if not TENANT_ID_PATTERN.fullmatch(tenant_id):
            raise ValueError("not a tenant id")
        role = "SELECT set_config('role', 'app_tenant', true); " if self.two_roles else ""
        return f"{role}SELECT set_config('app.tenant', '{tenant_id}', true)"

    @asynccontextmanager
    async def _open_transaction(self, begin: str) -> AsyncIterator[Any]:
        async with self._open_connection(self._engine, begin) as (proxy, _):
            yield proxy.driver_connection
            await _commit_transaction(proxy.driver_connection)

    @asynccontextmanager
    async def _open_connection(
        self, engine: AsyncEngine, begin: str | None
    ) -> AsyncIterator[tuple[PoolProxiedConnection, float]]:
        """A connection of the pool, on which a transaction has begun if there is a `begin`, and
        by when its first statement must be answered. It goes back without an open one."""
        deadline = _loop_time() + START_SECONDS
        proxy = await _take_connection(engine, begin, deadline)
        connection = proxy.driver_connection
        assert connection is not None
        try:
            yield proxy, deadline
        except (CommitLost, HungUp):
            raise
        except BaseException as error:
            await _roll_back(connection)
            if isinstance(error, DATABASE_AWAY_ERRORS) and connection.is_closed():
                raise Unavailable from error
            raise
        finally:
            proxy.close()


async def _take_connection(engine: AsyncEngine, begin: str | None, deadline: float) -> PoolProxiedConnection:
    """Where connections died in the pool unnoticed, the first that lives."""
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                proxy = await engine.raw_connection()
        except (*DATABASE_AWAY_ERRORS, exc.DBAPIError, AsyncAdapt_asyncpg_dbapi.Error) as error:
            raise Unavailable from error
        if begin is None:
            return proxy
        try:
            await _run_first_statement(proxy.driver_connection, begin, deadline)
        except HungUp:
            proxy.close()
        except BaseException:
            proxy.close()
            raise
        else:
            return proxy


async def _discard_old_plans(proxy: PoolProxiedConnection, deadline: float) -> None:
    """Now and then the connection forgets its plans, so that one made while a table was small or
    empty does not outlive that for long."""
    now = _loop_time()
    planned_at = proxy.info.setdefault("planned", now)
    if now - planned_at > PLAN_LIFE_SECONDS:
        await _run_first_statement(proxy.driver_connection, "DISCARD PLANS", deadline)
        proxy.info["planned"] = now


async def _commit_transaction(connection: Any) -> None:
    try:
        await connection.execute("COMMIT")
    except DATABASE_AWAY_ERRORS as error:
        raise _build_commit_lost(connection) from error


def _build_commit_lost(connection: Any) -> CommitLost:
    """Nobody listens to the connection any more; its process at the server may still commit."""
    commit_lost = CommitLost(connection.get_server_pid())
    connection.terminate()
    return commit_lost


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


async def _run_first_statement(connection: Any, begin: str, deadline: float) -> None:
    """The first word, with a limit: a server that is frozen or cut off does not even refuse."""
    try:
        await connection.execute(begin, timeout=max(deadline - _loop_time(), 0.1))
    except DATABASE_AWAY_ERRORS as error:
        raise _build_start_error(connection, error) from error
    except BaseException:
        connection.terminate()
        raise


def _build_start_error(connection: Any, error: Exception) -> Unavailable:
    """What a failed first word means. Given up on the way it may still take hold later, when the
    connection would look unused: so the connection ends."""
    has_hung_up = connection.is_closed() and not isinstance(error, TimeoutError)
    connection.terminate()
    return HungUp() if has_hung_up else Unavailable()


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
    parsed_url = make_url(url).set(drivername="postgresql")
    return parsed_url.render_as_string(hide_password=False)


async def connect(url: str, clock: Clock, pool_size: int = 12) -> Database:
    """The database at `url`. Raises `Unavailable` when it is away."""
    dsn = driver_url(url)
    try:
        probe = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
        two_roles = await _has_both_roles(probe)
        await probe.close()
    except DATABASE_AWAY_ERRORS as error:
        raise Unavailable from error

    server_settings = {
        "application_name": "leadsail-sms",
        "timezone": "UTC",
        "jit": "off",
        # Plans are made once a session, often while tables are small: a plan that scans a small
        # table stays when it has grown. Statements here take keys, never whole tables.
        "enable_seqscan": "off",
        "plan_cache_mode": "force_generic_plan",
        "idle_in_transaction_session_timeout": ABANDONED_TX_TIMEOUT,
    }
    if two_roles:
        server_settings["role"] = "app_system"

    async def open_connection(**extra_settings: str) -> Any:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings=server_settings | extra_settings,
        )

    async def open_batch_connection() -> Any:
        return await open_connection(lock_timeout=BATCH_LOCK_TIMEOUT)

    return Database(
        _create_pool(open_connection, pool_size),
        _create_pool(open_batch_connection, MAX_BATCH_CONNECTIONS),
        clock,
        two_roles,
    )


def _create_pool(open_connection: Callable[..., Awaitable[Any]], size: int) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=open_connection,
        pool_size=size,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _register_json_codec)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


async def _has_both_roles(probe: Any) -> bool:
    """Whether the two roles are there for us. Tried and not looked up: since PostgreSQL 16 a
    member of a role need not be allowed to become it."""
    try:
        await probe.execute(TRY_ROLES_SQL)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError):
        return False
    return True


def _register_json_codec(adapter: Any, _: object) -> None:
    """jsonb as Python values, in and out."""
    adapter.run_async(
        lambda connection: connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=_decode_json
        )
    )


def _decode_json(json_text: str) -> Any:
    """As `json.loads`, without its look for what a server never writes around a value: most
    values are empty lists, and a transcript has a thousand."""
    return [] if json_text == "[]" else JSON_DECODER.raw_decode(json_text)[0]


def _refuse_closed(adapter: Any, _: object, __: object) -> None:
    """A connection that died in the pool is replaced, without a round trip to ask it."""
    if adapter.driver_connection.is_closed():
        raise exc.DisconnectionError


def as_columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as columns, for `unnest`."""
    return [[row[i] for row in rows] for i in range(width)]

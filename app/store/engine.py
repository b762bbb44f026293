"""Transactions and connection pools. A transaction commits when its `async with` block ends, and
nowhere else.

SQLAlchemy pools the connections; the statements run on asyncpg, with `$1` parameters and prepared
plans. A transaction runs under one of two roles: `app_tenant` serves one tenant under row-level
security, `app_system` runs the statements that serve many tenants.
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
"""A row by column name; in fact an asyncpg `Record`."""
JSON_DECODER = json.JSONDecoder()
TENANT_ID_PATTERN = re.compile(r"[A-Za-z0-9_]{1,64}")
DATABASE_AWAY_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server has just closed an idle connection
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DiskFullError,
    exc.TimeoutError,
)
"""Errors that mean: the database cannot be reached or cannot be written now."""
CONNECT_SECONDS = 1.5
START_SECONDS = 1.7
"""Time to get a connection and open a transaction: callers are promised a refusal within 2 s."""
STATEMENT_SECONDS = 10.0
"""Timeout of a statement. Without it, a frozen server or a silent network blocks for ever."""
BATCH_LOCK_TIMEOUT = "250ms"
"""How long a batch waits for a lock. After that, its entries run one by one."""
MAX_BATCH_CONNECTIONS = 4
"""One for a batch of sends, one for a batch of receipts, two for batches of inbound texts."""
PLAN_LIFE_SECONDS = 5.0
"""Age at which a batch connection discards its prepared plans."""
ABANDONED_TX_TIMEOUT = "10s"
"""The server ends a transaction that is idle for this long, and frees its locks."""
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
"""Always true; evaluating it switches back to generic plans. It stands in the WHERE of a statement
that runs after `plan_afresh` and writes: the statement itself is already planned, and the triggers
and foreign-key checks that it fires for each row keep their cached plans."""
TRY_ROLES_SQL = "SET ROLE app_tenant; SET ROLE app_system"


class HungUp(Unavailable):
    """A pooled connection was dead at its first statement. The server did nothing, and another
    connection may work."""


class CommitLost(OutcomeUnknown):
    """COMMIT was sent and its answer was lost. `backend` is the process id of the PostgreSQL
    backend that may still commit."""

    def __init__(self, backend: int) -> None:
        super().__init__()
        self.backend = backend


class ReadTx:
    """A transaction for reading. A function that takes a `ReadTx` must not write."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool) -> None:
        self._connection = connection
        self._phone_key = phone_key
        self._two_roles = two_roles
        self.deadline: float | None = None
        """Loop time by which statements must be answered; None: no such limit."""

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
        """Runs a search without row-level security; the statement itself must name the tenant.

        Under row-level security PostgreSQL uses no index for LIKE and full-text operators, because
        they are not leakproof (docs/decisions/0018-search-reads-ids-past-row-level-security.md).
        The statement gets a custom plan for its search words, and enough memory for bitmaps. Use it
        to find ids only; read the rows to show with `fetch_rows`."""
        role = "app_system" if self._two_roles else "none"
        previous = await self.fetch_row(LEAVE_ROW_SECURITY_SQL, role)
        assert previous is not None
        rows = await self.fetch_rows(sql, *args)
        await self.fetch_row(RESTORE_ROW_SECURITY_SQL, previous["role"])
        return rows

    def hash_phone(self, phone: str) -> bytes:
        """The keyed hash of a phone. It stays when the phone itself is erased."""
        return hmac_digest(self._phone_key, phone.encode(), sha256)


class Tx(ReadTx):
    """A transaction that may write. It commits when its `async with` block ends; `hints` go to
    Redis after that."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool) -> None:
        super().__init__(connection, phone_key, two_roles)
        self.hints: dict[str, datetime] = {}
        self.has_begun = True
        self.has_fresh_plans = False

    async def begin(self) -> None:
        """Begins a transaction in a `batch_tx`, where each statement would commit by itself.
        Call it before the first of several statements that write."""
        if not self.has_begun:
            await self._connection.execute("BEGIN", timeout=self._seconds_left())
            self.deadline, self.has_begun = None, True

    def mark_last_write(self) -> None:
        """Call it before the only statement that writes; without `begin`, that statement commits
        by itself. From here on the request can no longer be refused, so the deadline ends."""
        self.deadline = None

    async def execute(self, sql: str, *args: Any) -> None:
        await self._connection.execute(sql, *args)

    async def plan_for_many(self) -> None:
        """The next statements take hundreds of rows, and the cached plan was made for a few."""
        await self.plan_afresh()

    async def plan_afresh(self) -> None:
        """Plans the next statements anew, for the present table sizes. The outbox is empty at one
        moment and holds a hundred thousand texts at the next; with a plan from the empty outbox a
        claim takes seconds instead of milliseconds."""
        if not self.has_fresh_plans:
            await self._connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")


class Database:
    """The connection pools, and the kinds of transactions. Batches have a pool of their own, so
    that they never wait for a connection and wait only briefly for a lock."""

    def __init__(self, engine: AsyncEngine, batches: AsyncEngine, clock: Clock, two_roles: bool) -> None:
        self._engine = engine
        self._batches = batches
        self._clock = clock
        self.two_roles = two_roles
        self.phone_key = b""

    @asynccontextmanager
    async def system_tx(self) -> AsyncIterator[Tx]:
        """A transaction for statements that serve many tenants."""
        async with self._open_write_tx("BEGIN") as tx:
            yield tx

    @asynccontextmanager
    async def batch_tx(self) -> AsyncIterator[Tx]:
        """As `system_tx`, for a batch of entries of many tenants, with a short lock timeout: one
        locked thread must not delay the others.

        Without `begin` each statement commits by itself, which saves two round trips. Then only
        the statement after `mark_last_write` may write. Raises `CommitLost` if its answer is
        lost."""
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
                if tx.deadline is not None:  # nothing was written yet
                    raise _build_start_error(connection, error) from error
                if tx.has_begun:
                    raise
                raise _build_commit_lost(connection) from error
            if tx.has_begun:
                await _commit_transaction(connection)
        self._clock.hint(tx.hints)

    @asynccontextmanager
    async def index_lookup_tx(self) -> AsyncIterator[Tx]:
        """As `system_tx`, with the short lock timeout of `batch_tx`, for statements that look up a
        set of keys. If a table is empty when a session plans, a hash join, a merge join and an
        index lookup cost the same; so only the index lookup stays enabled."""
        async with self._open_write_tx(BEGIN_INDEX_LOOKUPS_SQL) as tx:
            yield tx

    @asynccontextmanager
    async def tenant_tx(self, tenant_id: str) -> AsyncIterator[Tx]:
        """A transaction for one tenant, under row-level security."""
        async with self._open_write_tx(f"BEGIN; {self._become_tenant_sql(tenant_id)}") as tx:
            yield tx

    @asynccontextmanager
    async def read_tx(self, tenant_id: str) -> AsyncIterator[ReadTx]:
        """A read-only transaction for one tenant, on one snapshot."""
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
        # BEGIN goes in the same round trip, where parameters are not possible: check the id.
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
        """A pooled connection, and the deadline of its first statement. `begin` is run on it, if
        given. No transaction is open when the connection goes back to the pool."""
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
    """Takes the first connection that works; skips those that died in the pool."""
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
    """Discards the connection's prepared plans every few seconds: a plan made for an empty table
    is wrong soon after (docs/decisions/0022-plans-are-made-fresh.md)."""
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
    """Closes the connection. Its backend may still commit."""
    commit_lost = CommitLost(connection.get_server_pid())
    connection.terminate()
    return commit_lost


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


async def _run_first_statement(connection: Any, begin: str, deadline: float) -> None:
    """Runs the first statement with a timeout, because a frozen server does not even refuse."""
    try:
        await connection.execute(begin, timeout=max(deadline - _loop_time(), 0.1))
    except DATABASE_AWAY_ERRORS as error:
        raise _build_start_error(connection, error) from error
    except BaseException:
        connection.terminate()
        raise


def _build_start_error(connection: Any, error: Exception) -> Unavailable:
    """The error to raise when the first statement failed. Closes the connection: after a timeout
    the server may still run the statement, and the pool would lend out an open transaction."""
    has_hung_up = connection.is_closed() and not isinstance(error, TimeoutError)
    connection.terminate()
    return HungUp() if has_hung_up else Unavailable()


async def _roll_back(connection: Any) -> None:
    """Rolls back, or closes the connection: an open transaction must never go back to the pool."""
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK", timeout=2)
    except Exception:
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise


def driver_url(url: str) -> str:
    """The `postgresql://` URL in the form that asyncpg takes."""
    parsed_url = make_url(url).set(drivername="postgresql")
    return parsed_url.render_as_string(hide_password=False)


async def connect(url: str, clock: Clock, pool_size: int = 12) -> Database:
    """Connects to the database at `url`. Raises `Unavailable` when it cannot be reached."""
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
        # A plan is made once a session, often while tables are small, and a sequential scan would
        # stay when the table has grown. The statements look up keys, never whole tables.
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


def _refuse_closed(adapter: Any, _: object, __: object) -> None:
    """Makes the pool replace a connection that is known to be closed; costs no round trip."""
    if adapter.driver_connection.is_closed():
        raise exc.DisconnectionError


def as_columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Turns rows of `width` values into columns, for `unnest`."""
    return [[row[i] for row in rows] for i in range(width)]

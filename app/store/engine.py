"""Transactions. A transaction commits when its `async with` block ends, and
nowhere else.

SQLAlchemy pools the connections; the statements run on asyncpg, with `$1` parameters and prepared
plans. A transaction runs under one of two roles: `app_tenant` serves one tenant under row-level
security, `app_system` runs the statements that serve many tenants.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from app.domain.phones import list_forms
from app.domain.problems import Unavailable
from app.store.clock import Clock
from app.store.connections import (
    DATABASE_AWAY_ERRORS,
    START_SECONDS,
    HungUp,
    Trust,
    build_commit_lost,
    build_start_error,
    commit_transaction,
    discard_old_plans,
    get_backend,
    loop_time,
    open_connection,
    run_first_statement,
)

T = TypeVar("T")
Row = Mapping[str, Any]
"""A row by column name; in fact an asyncpg `Record`."""
TENANT_ID_PATTERN = re.compile(r"[A-Za-z0-9_]{1,64}")
AUTHOR_PATTERN = re.compile(r"[a-z]+(:[A-Za-z0-9_]{1,64})?")
BEGIN_READ_SQL = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
BATCH_LOCK_TIMEOUT = "250ms"
"""How long a batch waits for a lock. After that, its entries run one by one."""
PLAN_NOW_SQL = "SET LOCAL plan_cache_mode = force_custom_plan; "
LEAVE_ROW_SECURITY_SQL = """
SELECT current_setting('role') AS role, set_config('role', $1, true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('work_mem', '32MB', true)
"""
RESTORE_ROW_SECURITY_SQL = """
SELECT set_config('role', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true)
"""
INDEX_LOOKUPS_SQL = """
SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_material = off
"""
RESTORE_GENERIC_PLANS_SQL = "AND (SELECT set_config('plan_cache_mode', 'force_generic_plan', true)) IS NOT NULL"
"""Always true; evaluating it switches back to generic plans. By then the statement itself is planned,
and the triggers and foreign-key checks that it fires for each row keep their cached plans."""


class ReadTx:
    """A transaction for reading. A function that takes a `ReadTx` must not write."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool, has_fresh_plans: bool = False) -> None:
        self._connection = connection
        self._phone_key = phone_key
        self._two_roles = two_roles
        self._has_fresh_plans = has_fresh_plans
        self.deadline: float | None = None
        """Loop time by which statements must be answered; None: no such limit."""

    async def fetch_rows(self, sql: str, *args: Any) -> list[Row]:
        rows: list[Row] = await self._connection.fetch(sql, *args, timeout=self._seconds_left())
        return rows

    def _seconds_left(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - loop_time(), 0.1)

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        row: Row | None = await self._connection.fetchrow(sql, *args, timeout=self._seconds_left())
        return row

    async def fetch(self, kind: type[T], sql: str, *args: Any) -> list[T]:
        """Each row as a `kind`: a dataclass whose fields are the statement's columns in order."""
        return [kind(*row) for row in await self.fetch_rows(sql, *args)]

    async def fetch_one(self, kind: type[T], sql: str, *args: Any) -> T | None:
        """The first row as a `kind`; None if there is none."""
        row = await self.fetch_row(sql, *args)
        return None if row is None else kind(*row)

    async def fetch_planned_now(self, kind: type[T], sql: str, *args: Any) -> list[T]:
        """As `fetch`, but the statement is planned for its arguments and the present table sizes.
        `sql` ends with a WHERE, which gets one more condition.

        The outbox is empty at one moment and holds a hundred thousand texts at the next; with a plan
        from the empty outbox a claim takes seconds instead of milliseconds."""
        return [kind(*row) for row in await self.fetch_rows(await self._begin_planned_now(sql), *args)]

    async def _begin_planned_now(self, sql: str) -> str:
        """Returns the statement to run next: it is planned now, and then restores generic plans."""
        if self._has_fresh_plans:
            return sql
        await self._connection.execute(PLAN_NOW_SQL)
        return f"{sql} {RESTORE_GENERIC_PLANS_SQL}"

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

    async def is_pooled(self) -> bool:
        """Whether a pooler stands between us and the server: it names another server process."""
        return bool(await self.fetch_value("SELECT pg_backend_pid() <> $1", self._connection.get_server_pid()))

    def hash_phone(self, phone: str) -> bytes:
        """The keyed hash of a phone. It stays when the phone itself is erased."""
        return hmac_digest(self._phone_key, phone.encode(), sha256)

    def hash_forms(self, phone: str) -> list[bytes]:
        """The hash of the phone, and of the form in which it may have been stored before."""
        return [self.hash_phone(form) for form in list_forms(phone)]


class Tx(ReadTx):
    """A transaction that may write. It commits when its `async with` block ends; `hints` go to
    Redis after that."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool, has_fresh_plans: bool = False) -> None:
        super().__init__(connection, phone_key, two_roles, has_fresh_plans)
        self.hints: dict[str, datetime] = {}

    async def execute(self, sql: str, *args: Any) -> None:
        await self._connection.execute(sql, *args)

    async def prepare_now(self, sql: str) -> Callable[..., Awaitable[Any]]:
        """Returns what runs the statement, to be called several times: its first run plans it for the present
        table sizes, and the others use that plan. It must not depend on what the planner guesses of values that it
        does not know: so from now on the transaction has generic plans, and joins by index lookups only."""
        await self._connection.execute(f"SET LOCAL plan_cache_mode = force_generic_plan; {INDEX_LOOKUPS_SQL}")
        statement = await self._connection.prepare(sql)
        return statement.fetch  # type: ignore[no-any-return]  # asyncpg's

    async def execute_planned_now(self, sql: str, *args: Any) -> None:
        """As `fetch_planned_now`, for a statement that returns nothing."""
        await self._connection.execute(await self._begin_planned_now(sql), *args)


class Batch(ReadTx):
    """Reads for many entries, then one write: with `commit`, or in the transaction of `begin`.

    Each read sees what is committed when it runs. Until the write, the batch may still be refused,
    and its statements have a deadline."""

    def __init__(self, connection: Any, phone_key: bytes, two_roles: bool, deadline: float) -> None:
        super().__init__(connection, phone_key, two_roles, has_fresh_plans=True)
        self.deadline = deadline
        self.hints: dict[str, datetime] = {}
        self.has_begun = False

    async def commit(self, kind: type[T], sql: str, *args: Any) -> list[T]:
        """Runs the only statement that writes, as a transaction of its own: that saves the round
        trips of BEGIN and COMMIT. Raises `CommitLost` if its answer is lost."""
        assert not self.has_begun
        self.deadline = None
        backend = get_backend(self._connection)
        try:
            return [kind(*row) for row in await self.fetch_rows(sql, *args)]
        except DATABASE_AWAY_ERRORS as error:
            raise build_commit_lost(self._connection, backend) from error

    async def begin(self) -> Tx:
        """Begins a transaction for several statements that write. It commits when the block of the
        batch ends."""
        await self._connection.execute("BEGIN", timeout=self._seconds_left())
        self.deadline, self.has_begun = None, True
        tx = Tx(self._connection, self._phone_key, self._two_roles, has_fresh_plans=True)
        tx.hints = self.hints
        return tx


class Database:
    """The connection pools, and the kinds of transactions. Batches have a pool of their own, so
    that they never wait for a connection and wait only briefly for a lock."""

    def __init__(self, engine: AsyncEngine, batches: AsyncEngine, clock: Clock, two_roles: bool, trust: Trust) -> None:
        self._engine = engine
        self._batches = batches
        self._clock = clock
        self._trust = trust
        self.two_roles = two_roles
        self.phone_key = b""

    @asynccontextmanager
    async def system_tx(self, plan_now: bool = False) -> AsyncIterator[Tx]:
        """A transaction for statements that serve many tenants. `plan_now`: each of its statements is
        planned when it runs, and so are their triggers; see `fetch_planned_now`."""
        async with self._open_write_tx("", plan_now) as tx:
            yield tx

    @asynccontextmanager
    async def batch_tx(self) -> AsyncIterator[Tx]:
        """As `system_tx`, for a batch of entries of many tenants, with a short lock timeout: one
        locked thread must not delay the others. Its plans are a few seconds old at most."""
        async with self._open_batch_connection() as (connection, deadline):
            await run_first_statement(connection, "BEGIN", deadline)
            tx = Tx(connection, self.phone_key, self.two_roles, has_fresh_plans=True)
            yield tx
            await commit_transaction(connection)
        self._clock.hint(tx.hints)

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        """As `batch_tx`, for a batch that usually writes with one statement."""
        async with self._open_batch_connection() as (connection, deadline):
            batch = Batch(connection, self.phone_key, self.two_roles, deadline)
            try:
                yield batch
            except DATABASE_AWAY_ERRORS as error:
                if batch.deadline is None:
                    raise
                raise build_start_error(connection, error) from error
            if batch.has_begun:
                await commit_transaction(connection)
        self._clock.hint(batch.hints)

    @asynccontextmanager
    async def index_lookup_tx(self) -> AsyncIterator[Tx]:
        """As `system_tx`, with the short lock timeout of `batch_tx`, for statements that look up a
        set of keys. If a table is empty when a session plans, a hash join, a merge join and an
        index lookup cost the same; so only the index lookup stays enabled."""
        async with self._open_write_tx(f"SET LOCAL lock_timeout = '{BATCH_LOCK_TIMEOUT}'; {INDEX_LOOKUPS_SQL}") as tx:
            yield tx

    @asynccontextmanager
    async def tenant_tx(self, tenant_id: str, plan_now: bool = False, author: str | None = None) -> AsyncIterator[Tx]:
        """A transaction for one tenant, under row-level security. `plan_now` as for `system_tx`. `author`:
        who makes its changes, for the audit; None: the service."""
        async with self._open_write_tx(become_tenant_sql(tenant_id, self.two_roles, author), plan_now) as tx:
            yield tx

    @asynccontextmanager
    async def read_tx(self, tenant_id: str) -> AsyncIterator[ReadTx]:
        """A read-only transaction for one tenant, on one snapshot."""
        begin = f"{BEGIN_READ_SQL}; {become_tenant_sql(tenant_id, self.two_roles)}"
        async with self._open_transaction(begin) as connection:
            yield ReadTx(connection, self.phone_key, self.two_roles)

    async def look_up(self, read: Callable[[ReadTx], Awaitable[T]]) -> T:
        """The result of `read`, which runs one statement that reads. Alone it needs no BEGIN and COMMIT: a
        third of the price. A connection that died in the pool is replaced, until the deadline."""
        deadline = loop_time() + START_SECONDS
        while True:
            try:
                return await self._look_up_once(read, deadline)
            except HungUp as error:
                if loop_time() > deadline:
                    raise Unavailable from error

    async def _look_up_once(self, read: Callable[[ReadTx], Awaitable[T]], deadline: float) -> T:
        async with open_connection(self._engine, self._trust, None, deadline) as (proxy, _):
            tx = ReadTx(proxy.driver_connection, self.phone_key, self.two_roles)
            tx.deadline = deadline
            try:
                return await read(tx)
            except DATABASE_AWAY_ERRORS as error:
                raise build_start_error(proxy.driver_connection, error) from error

    async def close(self) -> None:
        await self._engine.dispose()
        await self._batches.dispose()

    @asynccontextmanager
    async def _open_write_tx(self, settings: str, plan_now: bool = False) -> AsyncIterator[Tx]:
        begin = f"BEGIN; {PLAN_NOW_SQL if plan_now else ''}{settings}"
        async with self._open_transaction(begin) as connection:
            tx = Tx(connection, self.phone_key, self.two_roles, has_fresh_plans=plan_now)
            yield tx
        self._clock.hint(tx.hints)

    @asynccontextmanager
    async def _open_transaction(self, begin: str) -> AsyncIterator[Any]:
        async with open_connection(self._engine, self._trust, begin) as (proxy, _):
            yield proxy.driver_connection
            await commit_transaction(proxy.driver_connection)

    @asynccontextmanager
    async def _open_batch_connection(self) -> AsyncIterator[tuple[Any, float]]:
        """A connection of the batches' pool, and the deadline of its first statement."""
        async with open_connection(self._batches, self._trust, None) as (proxy, deadline):
            await discard_old_plans(proxy, deadline)
            yield proxy.driver_connection, deadline


def become_tenant_sql(tenant_id: str, two_roles: bool, author: str | None = None) -> str:
    """The statements after which a transaction serves one tenant, under row-level security."""
    # They go with BEGIN in one round trip, where parameters are not possible: check the ids.
    if not TENANT_ID_PATTERN.fullmatch(tenant_id):
        raise ValueError("not a tenant id")
    if author and not AUTHOR_PATTERN.fullmatch(author):
        raise ValueError("not an author")
    role = "SELECT set_config('role', 'app_tenant', true); " if two_roles else ""
    actor = f", set_config('app.actor', '{author}', true)" if author else ""
    return f"{role}SELECT set_config('app.tenant', '{tenant_id}', true){actor}"


def as_columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Turns rows of `width` values into columns, for `unnest`."""
    return [[row[i] for row in rows] for i in range(width)]

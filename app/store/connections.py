"""What a transaction does with its pooled connection: take it, begin, commit, roll back; and which
error each failure becomes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import exc
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

from app.domain.problems import OutcomeUnknown, Unavailable

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
START_SECONDS = 1.7
"""Time to get a connection and open a transaction: callers are promised a refusal within 2 s."""
SILENT_SECONDS = 0.5
"""A server that was given less time than this is not silent: the caller had waited for a free connection before."""
PLAN_LIFE_SECONDS = 5.0
"""Age at which a batch connection discards its prepared plans."""


class HungUp(Unavailable):
    """A pooled connection was dead at its first statement. The server did nothing, and another
    connection may work."""


class CommitLost(OutcomeUnknown):
    """COMMIT was sent and its answer was lost. `backend` is the process id of the PostgreSQL
    backend that may still commit."""

    def __init__(self, backend: int) -> None:
        super().__init__()
        self.backend = backend


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a connection leads, and when it was opened (loop time)."""

    host: str
    at: float


class Trust:
    """Which connections may still be used.

    A server that is frozen or cut off breaks no connection. So when one connection is silent, the
    older ones are not lent any more, or each of them would make somebody wait. And when another
    host has taken over, those who still wait for the silent one are told at once."""

    def __init__(self) -> None:
        self._silent_at = 0.0
        self._openings: WeakKeyDictionary[Any, Opening] = WeakKeyDictionary()

    def note_opening(self, connection: Any, host: str) -> None:
        for other, opening in list(self._openings.items()):
            if opening.host != host and not self.is_trusted(other):
                other.terminate()
        self._openings[connection] = Opening(host, loop_time())

    def note_failure(self, error: BaseException, asked_at: float) -> None:
        is_timeout = isinstance(error, Unavailable | OutcomeUnknown) and isinstance(error.__cause__, TimeoutError)
        if is_timeout and loop_time() - asked_at >= SILENT_SECONDS:
            self.note_silence()

    def note_silence(self) -> None:
        self._silent_at = loop_time()

    def is_trusted(self, connection: Any) -> bool:
        return self._openings[connection].at >= self._silent_at


async def take_connection(
    engine: AsyncEngine, trust: Trust, begin: str | None, deadline: float
) -> PoolProxiedConnection:
    """Takes the first connection that works; skips those that died in the pool."""
    while True:
        proxy = await _take_any(engine, trust, deadline)
        if begin is None:
            return proxy
        asked_at = loop_time()
        try:
            await run_first_statement(proxy.driver_connection, begin, deadline)
        except HungUp:
            proxy.close()
        except BaseException as error:
            trust.note_failure(error, asked_at)
            proxy.close()
            raise
        else:
            return proxy


async def _take_any(engine: AsyncEngine, trust: Trust, deadline: float) -> PoolProxiedConnection:
    try:
        async with asyncio.timeout_at(deadline):
            return await engine.raw_connection()
    except (*DATABASE_AWAY_ERRORS, exc.DBAPIError, AsyncAdapt_asyncpg_dbapi.Error) as error:
        # A dial ends before the deadline. Who waits until then waits for a connection that others use.
        if isinstance(error, TimeoutError) and loop_time() < deadline:
            trust.note_silence()
        raise Unavailable from error


@asynccontextmanager
async def open_connection(
    engine: AsyncEngine, trust: Trust, begin: str | None, deadline: float | None = None
) -> AsyncIterator[tuple[PoolProxiedConnection, float]]:
    """A pooled connection, and the deadline of its first statement. `begin` is run on it, if given. No
    transaction is open when the connection goes back to the pool."""
    deadline = deadline or loop_time() + START_SECONDS
    proxy = await take_connection(engine, trust, begin, deadline)
    asked_at = loop_time()
    connection = proxy.driver_connection
    assert connection is not None
    try:
        yield proxy, deadline
    except (CommitLost, HungUp) as error:
        trust.note_failure(error, asked_at)
        raise
    except BaseException as error:
        trust.note_failure(error, asked_at)
        await roll_back(connection)
        if isinstance(error, DATABASE_AWAY_ERRORS) and connection.is_closed():
            raise Unavailable from error
        raise
    finally:
        proxy.close()


async def discard_old_plans(proxy: PoolProxiedConnection, deadline: float) -> None:
    """Discards the connection's prepared plans every few seconds: a plan made for an empty table
    is wrong soon after (docs/decisions/0022-plans-are-made-fresh.md)."""
    now = loop_time()
    planned_at = proxy.info.setdefault("planned", now)
    if now - planned_at > PLAN_LIFE_SECONDS:
        await run_first_statement(proxy.driver_connection, "DISCARD PLANS", deadline)
        proxy.info["planned"] = now


async def commit_transaction(connection: Any) -> None:
    backend = get_backend(connection)
    try:
        await connection.execute("COMMIT")
    except DATABASE_AWAY_ERRORS as error:
        raise build_commit_lost(connection, backend) from error


def get_backend(connection: Any) -> int:
    """The process id of the connection's backend. Raises `Unavailable` if the connection is closed: then
    nothing was committed."""
    if connection.is_closed():
        raise Unavailable
    backend: int = connection.get_server_pid()
    return backend


def build_commit_lost(connection: Any, backend: int) -> CommitLost:
    """Closes the connection. Its backend may still commit."""
    connection.terminate()
    return CommitLost(backend)


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def run_first_statement(connection: Any, begin: str, deadline: float) -> None:
    """Runs the first statement with a timeout, because a frozen server does not even refuse."""
    try:
        await connection.execute(begin, timeout=max(deadline - loop_time(), 0.1))
    except DATABASE_AWAY_ERRORS as error:
        raise build_start_error(connection, error) from error
    except BaseException:
        connection.terminate()
        raise


def build_start_error(connection: Any, error: Exception) -> Unavailable:
    """The error to raise when the first statement failed. Closes the connection: after a timeout
    the server may still run the statement, and the pool would lend out an open transaction."""
    has_hung_up = connection.is_closed() and not isinstance(error, TimeoutError)
    connection.terminate()
    return HungUp() if has_hung_up else Unavailable()


async def roll_back(connection: Any) -> None:
    """Rolls back, or closes the connection: an open transaction must never go back to the pool."""
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK", timeout=2)
    except Exception:
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise

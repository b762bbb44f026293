"""Reads that may lag: on a standby of the database while one serves, else on the primary.

Whoever got a 2xx must read what was written, and a lead that was erased must not come back with a standby that
is behind. So only figures may lag, which hold nobody's words, and they say how far. Such a read is a function of
a transaction, because it may run twice: whatever goes wrong on the standby, the primary answers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

from app.domain.problems import OutcomeUnknown, Problem, Unavailable
from app.store.connections import (
    DATABASE_AWAY_ERRORS,
    Trust,
    build_start_error,
    commit_transaction,
    loop_time,
    open_connection,
    run_first_statement,
)
from app.store.engine import BEGIN_READ_SQL, Database, ReadTx, become_tenant_sql

T = TypeVar("T")
StandbyState = Literal["ok", "behind", "away"]
"""`behind`: too far, so it is not read."""
MAX_LAG = timedelta(minutes=5)
ANSWER_SECONDS = 1.0
"""Time to get a connection and the first answer. Readiness waits as long, and must not seem away itself."""
BACK_OFF_SECONDS = 5.0
"""After a failure, the standby is not asked for this time."""
MAX_LAGGING_READS = 4
"""At once in a process: they are few and long. The primary answers the next one; nobody waits for a place,
because a standby that is busy must not seem away."""
MAX_CONNECTIONS = MAX_LAGGING_READS + 1
"""One more, which only the question how the standby is may take."""
log = structlog.get_logger("standby")


@dataclass(frozen=True, slots=True)
class LaggingValue(Generic[T]):
    """What a read found. `as_of`: what was written since then may be missing; None: nothing is."""

    value: T
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Position:
    """How far a standby is. `as_of`: it has everything that was committed until then, to the second."""

    as_of: datetime | None
    lag: timedelta | None

    @property
    def is_near(self) -> bool:
        return self.lag is not None and self.lag <= MAX_LAG


@dataclass(frozen=True, slots=True)
class Condition:
    """How the standby is. `state` None: there is none."""

    state: StandbyState | None
    lag: timedelta | None = None


# The newest commit that it has replayed. While nobody writes, it seems to lag, and misses nothing. The
# statement goes before the snapshot of the read, so that the answer cannot promise too much. A server
# that was promoted is no standby any more.
FIND_POSITION_SQL = """
SELECT date_trunc('second', pg_last_xact_replay_timestamp()) AS as_of,
       clock_timestamp() - pg_last_xact_replay_timestamp() AS lag
WHERE pg_is_in_recovery()
"""
GET_CLUSTER_SQL = "SELECT system_identifier::text || ' ' || current_database() FROM pg_control_system()"


class Standby:
    """The pool of connections to a standby."""

    def __init__(self, engine: AsyncEngine, trust: Trust) -> None:
        self._engine = engine
        self._trust = trust

    def _open_connection(self) -> AbstractAsyncContextManager[tuple[PoolProxiedConnection, float]]:
        return open_connection(self._engine, self._trust, None, loop_time() + ANSWER_SECONDS)

    async def find_position(self) -> Position:
        """Raises `Unavailable`."""
        async with self._open_connection() as (proxy, deadline):
            return await _find_position(proxy.driver_connection, deadline)

    @asynccontextmanager
    async def read_tx(self, primary: Database, tenant_id: str) -> AsyncIterator[tuple[ReadTx, Position]]:
        """As `Database.read_tx`, and how far the standby was when the transaction began."""
        async with self._open_connection() as (proxy, deadline):
            connection = proxy.driver_connection
            position = await _find_position(connection, deadline)
            begin = f"{BEGIN_READ_SQL}; {become_tenant_sql(tenant_id, primary.two_roles)}"
            await run_first_statement(connection, begin, deadline)
            yield ReadTx(connection, primary.phone_key, primary.two_roles), position
            await commit_transaction(connection)

    async def get_cluster(self) -> str:
        """Of which servers it is one, and its database. Raises `Unavailable`."""
        async with self._open_connection() as (proxy, _):
            cluster: str = await ReadTx(proxy.driver_connection, b"", two_roles=False).fetch_value(GET_CLUSTER_SQL)
            return cluster

    async def close(self) -> None:
        await self._engine.dispose()


async def _find_position(connection: Any, deadline: float) -> Position:
    """Raises `Unavailable`, and closes the connection: the next one may lead to another host."""
    read = ReadTx(connection, b"", two_roles=False)
    read.deadline = deadline
    try:
        position = await read.fetch_one(Position, FIND_POSITION_SQL)
    except DATABASE_AWAY_ERRORS as error:
        raise build_start_error(connection, error) from error
    if position is None:
        connection.terminate()
        raise Unavailable
    return position


class LaggingReads:
    """Runs the reads that may lag."""

    def __init__(self, standby: Standby | None) -> None:
        self._standby = standby
        self._retry_at = 0.0
        self._places = asyncio.Semaphore(MAX_LAGGING_READS)

    async def run(self, primary: Database, tenant_id: str, read: Callable[[ReadTx], Awaitable[T]]) -> LaggingValue[T]:
        """What `read` returns, of a standby if one is near and not busy."""
        if self._standby and loop_time() >= self._retry_at and not self._places.locked():
            async with self._places:
                answer = await self._run_on_standby(self._standby, primary, tenant_id, read)
            if answer:
                return answer
        async with primary.read_tx(tenant_id) as tx:
            return LaggingValue(await read(tx), None)

    async def _run_on_standby(
        self, standby: Standby, primary: Database, tenant_id: str, read: Callable[[ReadTx], Awaitable[T]]
    ) -> LaggingValue[T] | None:
        try:
            async with standby.read_tx(primary, tenant_id) as (tx, position):
                if position.is_near:
                    return LaggingValue(await read(tx), position.as_of)
        except Exception as error:  # whatever the cause: the primary answers
            if not isinstance(error, Problem) or isinstance(error, Unavailable | OutcomeUnknown):
                self._note_failure(error)
        return None

    async def find_condition(self) -> Condition:
        """One that failed just now is not asked again: it is away."""
        if self._standby is None:
            return Condition(None)
        if loop_time() < self._retry_at:
            return Condition("away")
        try:
            position = await self._standby.find_position()
        except Exception as error:  # whatever the cause: it cannot be read
            self._note_failure(error)
            return Condition("away")
        return Condition("ok" if position.is_near else "behind", position.lag)

    async def follows(self, primary: Database) -> bool:
        """Whether the standby follows this primary. Of another installation it would tell other figures."""
        assert self._standby
        async with primary.system_tx() as tx:
            own_cluster = await tx.fetch_value(GET_CLUSTER_SQL)
        return bool(own_cluster == await self._standby.get_cluster())

    def _note_failure(self, error: Exception) -> None:
        self._retry_at = loop_time() + BACK_OFF_SECONDS
        log.warning("the standby is away: figures are read from the primary", error=type(error).__name__)

    async def close(self) -> None:
        if self._standby:
            await self._standby.close()

"""Deletes what a test wrote. Tests commit for real, so that order and races show."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import redis.asyncio
import redis.exceptions

from app.store.schema import Table

KEPT = frozenset({"installation"})
TRIES, SECONDS = 3, 10.0
NAMES = [table.name for table in reversed(Table.metadata.sorted_tables) if table.name not in KEPT]
# Most tables are empty after most tests. The plans of a function are kept: to look costs a tenth of a DELETE.
FUNCTIONS_SQL = f"""
CREATE FUNCTION pg_temp.truncate_tables() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
TRUNCATE {", ".join(NAMES)}
$$;
CREATE FUNCTION pg_temp.delete_rows() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
{"".join(f"IF EXISTS (SELECT FROM {name}) THEN DELETE FROM {name}; END IF;" for name in NAMES)}
END $$"""


class Cleaner:
    """Empties the database and the Redis of one process of the run, on connections of its own."""

    def __init__(self, database: asyncpg.Connection, clock: "redis.asyncio.Redis") -> None:
        self._database = database
        self._clock = clock

    async def clean(self) -> None:
        """A test that failed may have left something that still writes: its locks pass. To truncate all tables takes
        longer than to delete a few rows, and not longer for a hundred thousand."""
        for function in ("delete_rows", *["truncate_tables"] * TRIES):
            try:
                await self._database.execute(f"SELECT pg_temp.{function}()", timeout=SECONDS)
            except (asyncpg.DeadlockDetectedError, TimeoutError):
                await asyncio.sleep(1)
            else:
                await self._clock.flushdb()
                return
        raise AssertionError("the test's rows could not be deleted")


@asynccontextmanager
async def open_cleaner(database_url: str, redis_url: str, role: str) -> AsyncIterator[Cleaner]:
    """`role`: the one that may delete everybody's rows."""
    connection = await asyncpg.connect(database_url, command_timeout=SECONDS)
    try:
        await connection.execute(FUNCTIONS_SQL)
        await connection.execute(f"SET ROLE {role}")
        async with redis.asyncio.from_url(redis_url, socket_timeout=SECONDS) as clock:  # type: ignore[no-untyped-call]
            yield Cleaner(connection, clock)
    finally:
        await connection.close()

"""Whether the database can serve this version of the service now."""

from functools import cache
from pathlib import Path

import asyncpg
from alembic.script import ScriptDirectory

from app.domain.problems import Unavailable
from app.store.engine import Tx

APP = Path(__file__).parents[1]
INSTALLED, IN_THE_TREE = APP / "migrations", APP.parent / "migrations"
MIGRATIONS_PATH = INSTALLED if INSTALLED.is_dir() else IN_THE_TREE
"""A wheel brings them inside of the package."""


@cache
def head() -> str | None:
    """The newest migration that this code knows."""
    return ScriptDirectory(str(MIGRATIONS_PATH)).get_current_head()


# Taking a transaction id needs a primary; a standby refuses it.
REQUIRE_PRIMARY_SQL = "SELECT pg_current_xact_id()"
IS_READ_ONLY_SQL = "SELECT current_setting('transaction_read_only')::bool"
# The table of migrations belongs to the migrating role, not to those that statements run as.
BECOME_OWNER_SQL = "SELECT set_config('role', 'none', true)"
GET_VERSION_SQL = "SELECT version_num FROM alembic_version"
HAS_VERSION_SQL = "SELECT to_regclass('alembic_version') IS NOT NULL"
GET_SERVER_VERSION_SQL = "SELECT split_part(current_setting('server_version'), ' ', 1)"


async def get_version(tx: Tx) -> str | None:
    """The newest migration that the database has seen; None: it is empty."""
    await tx.fetch_value(BECOME_OWNER_SQL)
    revision: str | None = await tx.fetch_value(GET_VERSION_SQL) if await tx.fetch_value(HAS_VERSION_SQL) else None
    return revision


async def get_server_version(tx: Tx) -> str:
    """PostgreSQL's own, such as 18.1."""
    version: str = await tx.fetch_value(GET_SERVER_VERSION_SQL)
    return version


def is_behind(version: str | None) -> bool:
    """Whether the database lacks migrations of this code. One that is ahead serves: migrations
    only add (a test holds them to it), and in a deploy the old processes run on the new schema.
    Revisions count up in four digits."""
    return (version or "") < (head() or "")


# On a full disk whatever needs no new page still succeeds, a transaction id too. A temporary file
# lies where the tables grow, and leaves nothing behind, not even in the log.
USE_TEMP_FILES_SQL = """
SELECT set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true)
"""
# A megabyte: tables grow by half of one at a time, when many write.
FILL_ROOM_SQL = """
WITH room AS MATERIALIZED (SELECT repeat(' ', 1000) FROM generate_series(1, 1000))
SELECT count(*) FROM room
"""


async def _require_room(tx: Tx) -> None:
    """Raises what the driver raises when the disk under the tables is full. Where such files may
    not be made it cannot be told; the transaction is then good for nothing more."""
    await tx.fetch_value(USE_TEMP_FILES_SQL)
    try:
        await tx.fetch_value(FILL_ROOM_SQL)
    except asyncpg.ConfigurationLimitExceededError:
        pass  # temp_file_limit


async def is_migrated(tx: Tx) -> bool:
    """Whether the schema serves this code. Raises `Unavailable`, or what the driver raises, when
    the database cannot write. The last that is asked in its transaction."""
    await tx.fetch_value(REQUIRE_PRIMARY_SQL)
    if await tx.fetch_value(IS_READ_ONLY_SQL):
        raise Unavailable
    if is_behind(await get_version(tx)):
        return False
    await _require_room(tx)
    return True

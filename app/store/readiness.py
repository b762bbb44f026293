"""Checks whether the database can serve this version of the service."""

from functools import cache
from pathlib import Path

import asyncpg
from alembic.script import ScriptDirectory

from app.domain.problems import Unavailable
from app.store.engine import Tx

APP_PATH = Path(__file__).parents[1]
PACKAGED_PATH, SOURCE_PATH = APP_PATH / "migrations", APP_PATH.parent / "migrations"
MIGRATIONS_PATH = PACKAGED_PATH if PACKAGED_PATH.is_dir() else SOURCE_PATH
"""A wheel has the migrations inside the package; a checkout has them beside it."""


@cache
def head() -> str | None:
    """The newest revision that this code knows."""
    return ScriptDirectory(str(MIGRATIONS_PATH)).get_current_head()


# Raises on a standby: only a primary gives out transaction ids.
REQUIRE_PRIMARY_SQL = "SELECT pg_current_xact_id()"
IS_READ_ONLY_SQL = "SELECT current_setting('transaction_read_only')::bool"
# `alembic_version` belongs to the role that migrates, not to the roles that run statements.
BECOME_OWNER_SQL = "SELECT set_config('role', 'none', true)"
GET_VERSION_SQL = "SELECT version_num FROM alembic_version"
HAS_VERSION_SQL = "SELECT to_regclass('alembic_version') IS NOT NULL"
GET_SERVER_VERSION_SQL = "SELECT split_part(current_setting('server_version'), ' ', 1)"


async def get_version(tx: Tx) -> str | None:
    """The database's revision; None: it has no schema yet. Leaves the transaction's role changed."""
    await tx.fetch_value(BECOME_OWNER_SQL)
    revision: str | None = await tx.fetch_value(GET_VERSION_SQL) if await tx.fetch_value(HAS_VERSION_SQL) else None
    return revision


async def list_unguarded_tables(tx: Tx, two_roles: bool) -> list[str]:
    """The tables of tenants whose row-level security is not the one that the migrations made."""
    return [row["relname"] for row in await tx.fetch_rows(LIST_UNGUARDED_TABLES_SQL, two_roles)]


KEEPS_SETTINGS_SQL = "SELECT current_setting('plan_cache_mode') = 'force_generic_plan'"


async def keeps_settings(tx: Tx) -> bool:
    """Whether the settings with which we connected hold: a pooler may drop them."""
    return bool(await tx.fetch_value(KEEPS_SETTINGS_SQL))


async def get_server_version(tx: Tx) -> str:
    """PostgreSQL's own, such as 18.1."""
    version: str = await tx.fetch_value(GET_SERVER_VERSION_SQL)
    return version


# Of the tables that have a `tenant_id`: forced, with the policy `system`, where two roles serve.
LIST_UNGUARDED_TABLES_SQL = """
SELECT c.relname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
LEFT JOIN LATERAL (
    SELECT bool_or(p.polname = 'tenant') AS tenant, bool_or(p.polname = 'system') AS system
    FROM pg_policy p WHERE p.polrelid = c.oid
) AS policies ON true
WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'leads'::regclass)
AND NOT (c.relrowsecurity AND c.relforcerowsecurity = $1
         AND coalesce(policies.tenant, false) AND coalesce(policies.system, false) = $1)
ORDER BY c.relname
"""


def is_behind(version: str | None) -> bool:
    """Whether the database lacks migrations that this code needs. A newer schema is fine: migrations
    only add (a test checks it), and during a deploy old processes run on the new schema. Revisions
    count up in four digits, so they compare as strings."""
    return (version or "") < (head() or "")


def is_ahead(version: str | None) -> bool:
    """Whether the database has migrations that this code does not know."""
    return (version or "") > (head() or "")


# On a full disk, statements that need no new page still succeed. A temporary file lies on the same
# disk as the tables, and leaves nothing behind, not even WAL.
USE_TEMP_FILES_SQL = """
SELECT set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true)
"""
# One megabyte: under concurrent writes, tables grow by up to half a megabyte at a time.
FILL_ROOM_SQL = """
WITH room AS MATERIALIZED (SELECT repeat(' ', 1000) FROM generate_series(1, 1000))
SELECT count(*) FROM room
"""


async def _require_room(tx: Tx) -> None:
    """Raises the driver's error when the disk under the tables is full. Where `temp_file_limit`
    forbids the check, it passes, and the transaction cannot be used any more."""
    await tx.fetch_value(USE_TEMP_FILES_SQL)
    try:
        await tx.fetch_value(FILL_ROOM_SQL)
    except asyncpg.ConfigurationLimitExceededError:
        pass  # temp_file_limit


async def is_migrated(tx: Tx) -> bool:
    """Whether the schema serves this code. Raises `Unavailable` or the driver's error when the
    database cannot write. Run nothing else in this transaction afterwards."""
    await tx.fetch_value(REQUIRE_PRIMARY_SQL)
    if await tx.fetch_value(IS_READ_ONLY_SQL):
        raise Unavailable
    if is_behind(await get_version(tx)):
        return False
    await _require_room(tx)
    return True

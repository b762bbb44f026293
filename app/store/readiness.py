"""Whether the database can serve this version of the service now."""

from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory

from app.domain.problems import Unavailable
from app.store.engine import Tx

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@cache
def head() -> str | None:
    """The newest migration that this code knows."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


# Taking a transaction id needs a primary; a standby refuses it.
PRIMARY = "SELECT pg_current_xact_id()"
READ_ONLY = "SELECT current_setting('transaction_read_only')::bool"
# The table of migrations belongs to the migrating role, not to those that statements run as.
AS_OWNER = "SELECT set_config('role', 'none', true)"
VERSION = "SELECT version_num FROM alembic_version"
HAS_VERSION = "SELECT to_regclass('alembic_version') IS NOT NULL"


async def version(tx: Tx) -> str | None:
    """The newest migration that the database has seen; None: it is empty."""
    await tx.value(AS_OWNER)
    found: str | None = await tx.value(VERSION) if await tx.value(HAS_VERSION) else None
    return found


def behind(version: str | None) -> bool:
    """Whether the database lacks migrations of this code. One that is ahead serves: migrations
    only add (a test holds them to it), and in a deploy the old processes run on the new schema.
    Revisions count up in four digits."""
    return (version or "") < (head() or "")


async def migrated(tx: Tx) -> bool:
    """Whether the schema serves this code. Raises `Unavailable`, or what the driver raises, when
    the database cannot write."""
    await tx.value(PRIMARY)
    if await tx.value(READ_ONLY):
        raise Unavailable
    return not behind(await version(tx))

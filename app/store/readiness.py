"""Whether the database can serve this version of the service now."""

from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory

from app.store.engine import Tx

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@cache
def head() -> str | None:
    """The newest migration that this code knows."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


# Taking a transaction id needs a primary that may write; a standby refuses it.
WRITABLE = "SELECT pg_current_xact_id()"
# The table of migrations belongs to the migrating role, not to those that statements run as.
AS_OWNER = "SELECT set_config('role', 'none', true)"
VERSION = "SELECT version_num FROM alembic_version"


async def migrated(tx: Tx) -> bool:
    """Whether the schema is this code's. Raises what the driver raises when the database
    cannot write."""
    await tx.value(WRITABLE)
    await tx.value(AS_OWNER)
    version: str | None = await tx.value(VERSION)
    return version == head()

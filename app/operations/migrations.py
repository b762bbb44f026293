"""Brings a database to the newest schema."""

import asyncio
import logging

from alembic import command
from alembic.config import Config

from app.resources import open_database
from app.store import readiness

log = logging.getLogger(__name__)


def migrate_to_head(url: str) -> None:
    """Leaves a newer schema as it is: this code runs on it. A second migrator waits for the first.

    Raises `Unavailable`."""
    # Asked first, or Alembic would show where it failed, not what is wrong.
    version = asyncio.run(_find_version(url))
    if readiness.is_ahead(version):
        log.warning("the schema is already newer than this build: %s, and not %s", version, readiness.head())
        return
    config = Config()
    config.set_main_option("script_location", str(readiness.MIGRATIONS_PATH))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")


async def _find_version(url: str) -> str | None:
    async with open_database(url) as database, database.system_tx() as tx:
        return await readiness.get_version(tx)

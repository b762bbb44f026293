"""Brings a database to the newest schema."""

import asyncio

from alembic import command
from alembic.config import Config

from app.resources import open_database
from app.store import readiness
from app.store.pools import driver_url


def migrate_to_head(url: str) -> None:
    """A second migrator waits for the first. Raises `Unavailable`."""
    asyncio.run(_require_answer(url))  # or Alembic would show where it failed, not what is wrong
    config = Config()
    config.set_main_option("script_location", str(readiness.MIGRATIONS_PATH))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", driver_url(url).replace("%", "%%"))
    command.upgrade(config, "head")


async def _require_answer(url: str) -> None:
    async with open_database(url):
        pass

"""That somebody is here to take webhooks is written down every few seconds; where nobody was,
the texts that carriers could not deliver are fetched from their records (`jobs.catch_up`)."""

import asyncio
from datetime import timedelta

import structlog

from app.domain.problems import Problem
from app.store import accounts, installation
from app.store.engine import AWAY, Database

BEAT_EVERY = 5.0
AWAY_AFTER = timedelta(seconds=30)
SLACK = timedelta(minutes=2)
"""Carriers give a webhook up only after a while, and their clocks differ."""
log = structlog.get_logger("presence")


async def keep(database: Database) -> None:
    """Runs beside the web server, for ever."""
    while True:
        try:
            await beat(database)
        except (Problem, *AWAY) as error:
            log.warning("the database is away", error=type(error).__name__)
        await asyncio.sleep(BEAT_EVERY)


async def beat(database: Database) -> None:
    async with database.system() as tx:
        since = await installation.beat(tx, AWAY_AFTER)
        if since is not None:
            await accounts.notice_absence(tx, since - SLACK)
            log.warning("nobody took webhooks", since=since.isoformat())

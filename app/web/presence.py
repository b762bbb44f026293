"""That somebody is here to take webhooks is written down every few seconds; where nobody was,
the texts that carriers could not deliver are fetched from their records (`jobs.catch_up`)."""

import asyncio
from datetime import timedelta

import structlog

from app.domain.problems import Problem
from app.store import accounts, installation
from app.store.engine import DATABASE_AWAY_ERRORS, Database

BEAT_SECONDS = 5.0
ABSENCE_AFTER = timedelta(seconds=30)
ABSENCE_MARGIN = timedelta(minutes=2)
"""Carriers give a webhook up only after a while, and their clocks differ."""
log = structlog.get_logger("presence")


async def keep_presence(database: Database) -> None:
    """Runs beside the web server, for ever."""
    while True:
        try:
            await record_presence(database)
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            log.warning("the database is away", error=type(error).__name__)
        await asyncio.sleep(BEAT_SECONDS)


async def record_presence(database: Database) -> None:
    async with database.system_tx() as tx:
        since = await installation.record_beat(tx, ABSENCE_AFTER)
        if since is not None:
            await accounts.notice_absence(tx, since - ABSENCE_MARGIN)
            log.warning("nobody took webhooks", since=since.isoformat())

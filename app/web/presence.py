"""A heartbeat that records that some web process can take webhooks.

After a gap, `jobs.catch_up` fetches the texts of that time from the carriers' records."""

import asyncio
from datetime import timedelta

import structlog

from app.domain.problems import Problem
from app.store import accounts, installation
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database

BEAT_SECONDS = 5.0
ABSENCE_AFTER = timedelta(seconds=30)
ABSENCE_MARGIN = timedelta(minutes=2)
"""Texts from before the gap may be missing, too: carriers repeat a failed webhook for a while, and
their clocks differ from ours."""
log = structlog.get_logger("presence")


async def keep_presence(database: Database) -> None:
    """Records a beat every few seconds, beside the web server, until it is cancelled."""
    while True:
        try:
            await record_presence(database)
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            log.warning("the database is away", error=type(error).__name__)
        await asyncio.sleep(BEAT_SECONDS)


async def record_presence(database: Database) -> None:
    """Records one beat. After a gap it marks the accounts whose texts must be fetched."""
    async with database.system_tx() as tx:
        since = await installation.record_beat(tx, ABSENCE_AFTER)
        if since is not None:
            await accounts.notice_absence(tx, since - ABSENCE_MARGIN)
            log.warning("no web process was running", since=since.isoformat())

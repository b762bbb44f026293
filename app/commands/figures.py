"""Counts figures, and counts all of them anew."""

import asyncio
from datetime import datetime, timedelta

from app.commands import refusals
from app.store import counting, hour_counts
from app.store.counting import MAX_WAIT
from app.store.engine import Database

COUNTS_PER_LOOK = 20
"""Then it looks at the events again."""
TRY_SECONDS, MAX_TRIES = 0.2, 150
"""A worker that has claimed hours counts them within seconds; or it dies, and they are free again."""


async def count_figures(database: Database) -> bool:
    """Reads new events and counts hours that are due. Returns whether there may be more to do."""
    has_more_events = await _read_events(database)
    for _ in range(COUNTS_PER_LOOK):
        if not await _count_due(database):
            return has_more_events
    return True


async def count_all(database: Database, *, anew: bool) -> int:
    """Counts what changed until now, without waiting. `anew`: every hour. Returns how many hours were
    counted."""
    async with database.system_tx() as tx:
        started_at = await refusals.get_now(tx)
        if anew:
            await counting.count_anew(tx)
    while await _read_events(database):
        pass
    hours, tries_left = 0, MAX_TRIES
    while tries_left and await _has_due(database, MAX_WAIT, started_at):
        counted_count = await _count_due(database, MAX_WAIT, started_at)
        hours += counted_count
        tries_left = MAX_TRIES if counted_count else tries_left - 1
        if not counted_count:
            await asyncio.sleep(TRY_SECONDS)
    return hours


async def _has_due(database: Database, within: timedelta, counted_before: datetime) -> bool:
    async with database.system_tx(plan_now=True) as tx:
        return await hour_counts.has_due(tx, within, counted_before)


async def _count_due(
    database: Database, within: timedelta = timedelta(0), counted_before: datetime | None = None
) -> int:
    async with database.system_tx(plan_now=True) as tx:
        return await hour_counts.count_due(tx, within, counted_before)


async def _read_events(database: Database) -> bool:
    """Marks the hours in which something changed. Returns whether there may be more events."""
    async with database.system_tx(plan_now=True) as tx:
        begun_count = await counting.begin_tenants(tx)
    async with database.system_tx(plan_now=True) as tx:
        read_count = await counting.read_events(tx)
    return bool(begun_count) or read_count >= counting.EVENTS_PER_LOOK

"""Counts figures, and counts all of them anew."""

from app.commands import refusals
from app.store import counting, hour_counts
from app.store.counting import MAX_WAIT
from app.store.engine import Database


async def count_figures(database: Database) -> bool:
    """Reads new events and counts hours that are due. Returns whether there may be more to do."""
    has_more_events = await _read_events(database)
    async with database.system_tx(plan_now=True) as tx:
        counted_count = await hour_counts.count_due(tx)
    return has_more_events or counted_count >= hour_counts.HOURS_PER_COUNT


async def count_all(database: Database, *, anew: bool) -> int:
    """Counts what changed until now, without waiting. `anew`: every hour. Returns how many hours were
    counted."""
    async with database.system_tx() as tx:
        started_at = await refusals.get_now(tx)
        if anew:
            await counting.count_anew(tx)
    while await _read_events(database):
        pass
    hours, counted_count = 0, None
    while counted_count != 0:
        async with database.system_tx(plan_now=True) as tx:
            counted_count = await hour_counts.count_due(tx, MAX_WAIT, started_at)
        hours += counted_count
    return hours


async def _read_events(database: Database) -> bool:
    """Marks the hours in which something changed. Returns whether there may be more events."""
    async with database.system_tx(plan_now=True) as tx:
        begun_count = await counting.begin_tenants(tx)
    async with database.system_tx(plan_now=True) as tx:
        read_count = await counting.read_events(tx)
    return bool(begun_count) or read_count >= counting.EVENTS_PER_LOOK

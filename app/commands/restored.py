"""After a restore from a backup: makes sure that nothing is sent twice. Runs before any worker."""

from app.commands import release
from app.store import restoring
from app.store.engine import Database

TEXTS_PER_STEP = 200


async def settle_restored(database: Database) -> tuple[int, int]:
    """Marks all unsent texts as unknown, so that their carriers are asked first, and closes unfinished
    turns. Returns how many of each.

    Scheduled and held texts that are due are released first, so they are asked for too."""
    released_count = TEXTS_PER_STEP
    while released_count == TEXTS_PER_STEP:
        async with database.system_tx() as tx:
            released_count = await release.release_texts(tx, TEXTS_PER_STEP)
    async with database.system_tx() as tx:
        await restoring.delete_events(tx)
        return await restoring.mark_unknown(tx), await restoring.close_turns(tx)

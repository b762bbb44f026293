"""After a restore from a backup, before any worker runs: nothing leaves a second time."""

from app.commands import release
from app.store import restoring
from app.store.engine import Database

TEXTS_PER_STEP = 200


async def settle_restored(database: Database) -> tuple[int, int]:
    """How many texts their carriers are asked for first, and how many turns were closed.

    Texts whose time came meanwhile are released, through the gate as ever, and asked for too."""
    released_count = TEXTS_PER_STEP
    while released_count == TEXTS_PER_STEP:
        async with database.system_tx() as tx:
            released_count = await release.release_texts(tx, TEXTS_PER_STEP)
    async with database.system_tx() as tx:
        await restoring.delete_events(tx)
        return await restoring.mark_unknown(tx), await restoring.close_turns(tx)

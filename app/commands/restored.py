"""After a restore from a backup, before any worker runs: nothing leaves a second time."""

from app.commands import release
from app.store import restoring
from app.store.engine import Database

AT_ONCE = 200


async def settle(database: Database) -> tuple[int, int]:
    """How many texts their carriers are asked for first, and how many turns were closed.

    Texts whose time came meanwhile are released, through the gate as ever, and asked for too."""
    released = AT_ONCE
    while released == AT_ONCE:
        async with database.system() as tx:
            released = await release.texts(tx, AT_ONCE)
    async with database.system() as tx:
        await restoring.forget_events(tx)
        return await restoring.ask_first(tx), await restoring.close_turns(tx)

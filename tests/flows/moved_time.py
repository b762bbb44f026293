"""Time that passes at once: everything in a tenant moves into the past."""

from datetime import timedelta

from app.commands import planned_turns
from app.jobs.forward import Forwarder
from app.resources import Resources
from app.store import hand_overs
from tests.world import World

TIMES = {
    "interactions": "last_message_at last_inbound_at agent_off_at paused_until created_at",
    "messages": "created_at held_until send_at counted_at",
    "turns": "opened_at due_at window_due_at handed_over_at accepted_at closed_at expires_at",
    "outbox": "due_at expires_at begun_at",
    "follow_up_looks": "seen_until looked_at",
}


async def pass_time(resources: Resources, tenant_id: str, **span: float) -> None:
    """So much time passes (`minutes=…`), and no worker runs meanwhile."""
    async with resources.database.system_tx() as tx:
        for table, columns in TIMES.items():
            moves = ", ".join(f"{column} = {column} - $2::interval" for column in columns.split())
            await tx.execute(f"UPDATE {table} SET {moves} WHERE tenant_id = $1", tenant_id, timedelta(**span))


async def look(resources: Resources, tenant_id: str) -> None:
    """A worker looks once: it plans, begins what is due, and hands it over."""
    await pass_time(resources, tenant_id, seconds=6)
    async with resources.database.index_lookup_tx() as tx:
        await planned_turns.look_for_silence(tx)
    async with resources.database.index_lookup_tx() as tx:
        await planned_turns.start_due_turns(tx, 100)
    async with resources.database.system_tx() as tx:
        threads = [thread for thread in await hand_overs.find_due_threads(tx, 100) if thread[0] == tenant_id]
    forwarder = Forwarder(resources.database, resources.wire, resources.seal)
    for hand_over in [one async for one in forwarder.claim(threads)]:
        await forwarder.perform(hand_over)


async def wait_silently(world: World, resources: Resources, **span: float) -> None:
    """The time passes while a worker looks."""
    await pass_time(resources, world.tenant.tenant_id, **span)
    await look(resources, world.tenant.tenant_id)

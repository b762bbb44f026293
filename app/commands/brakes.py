"""Brakes: what is queued waits while its tenant, its number or its agent is paused."""

from app.commands.directory import found
from app.domain.callers import Caller
from app.store import brakes
from app.store.brakes import Kind
from app.store.clock import AT_ONCE, OUTBOX
from app.store.engine import Row, Tx


async def pause(tx: Tx, caller: Caller, kind: Kind, id: str, reason: str | None) -> Row:
    """Nothing of it leaves any more; what a request has begun for is finished. Raises
    `NotFound`."""
    return found(await brakes.pause(tx, kind, caller.tenant_id, id, reason))


async def resume(tx: Tx, caller: Caller, kind: Kind, id: str) -> Row:
    """What waited goes on. Raises `NotFound`."""
    row = found(await brakes.resume(tx, kind, caller.tenant_id, id))
    tx.hints[OUTBOX] = AT_ONCE
    return row

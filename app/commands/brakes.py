"""Brakes: what is queued waits while its tenant, its number or its agent is paused."""

from app.commands.directory import require_found
from app.domain.callers import Caller
from app.store import brakes
from app.store.brakes import BrakeKind
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Row, Tx


async def pause(tx: Tx, caller: Caller, kind: BrakeKind, id: str, reason: str | None) -> Row:
    """Nothing of it leaves any more; what a request has begun for is finished. Raises
    `NotFound`."""
    return require_found(await brakes.pause(tx, kind, caller.tenant_id, id, reason))


async def resume(tx: Tx, caller: Caller, kind: BrakeKind, id: str) -> Row:
    """What waited goes on. Raises `NotFound`."""
    row = require_found(await brakes.resume(tx, kind, caller.tenant_id, id))
    tx.hints[OUTBOX_HINT] = AT_ONCE
    return row

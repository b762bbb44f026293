"""Brakes: queued texts wait while their tenant, number or agent is paused."""

from app.commands.directory import require_found
from app.domain.callers import Caller
from app.store import brakes
from app.store.brakes import B
from app.store.clock import AT_ONCE, OUTBOX_HINT
from app.store.engine import Tx


async def pause(tx: Tx, caller: Caller, kind: type[B], id: str, reason: str | None) -> B:
    """Stops sending for it; requests to carriers that have begun go on. Raises `NotFound`."""
    return require_found(await brakes.pause(tx, kind, caller.tenant_id, id, reason))


async def resume(tx: Tx, caller: Caller, kind: type[B], id: str) -> B:
    """Lets its queued texts be sent again. Raises `NotFound`."""
    row = require_found(await brakes.resume(tx, kind, caller.tenant_id, id))
    tx.hints[OUTBOX_HINT] = AT_ONCE
    return row

"""Small regular clean-ups, run by arq's crons. Only ids and counts travel in Redis."""

from typing import Any

import structlog

from app.store import sweeping
from app.store.engine import Database

log = structlog.get_logger("sweeps")


async def prune(ctx: dict[Any, Any], *_: Any, **__: Any) -> None:
    """Removes what has served its time, in small steps."""
    database: Database = ctx["database"]
    async with database.system() as tx:
        removed = await sweeping.prune(tx)
    log.info("pruned", **removed)

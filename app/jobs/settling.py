"""Settle what another machine said, also when the database is away for a moment."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from app.domain.problems import OutcomeUnknown, Unavailable
from app.store.engine import AWAY

PASSING = (
    Unavailable,
    OutcomeUnknown,
    *AWAY,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
"""What may be gone at the next try."""
AGAIN_AFTER = 0.5
log = structlog.get_logger("settling")


async def surely(settle: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Settles, and again for so long while that fails in passing: nobody else knows what was
    said, and asking again costs a minute, or a second answer of an agent. Every settle names its
    lease, so that one that comes twice, or too late, changes nothing."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while True:
        try:
            await settle()
        except PASSING as error:
            if clock() > until:
                raise
            log.warning("settling goes again", error=type(error).__name__)
            await asyncio.sleep(AGAIN_AFTER)
        else:
            return

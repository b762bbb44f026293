"""Settle what another machine said, also when the database is away for a moment."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from app.domain.problems import OutcomeUnknown, Unavailable
from app.store.engine import DATABASE_AWAY_ERRORS

TRANSIENT_ERRORS = (
    Unavailable,
    OutcomeUnknown,
    *DATABASE_AWAY_ERRORS,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
"""What may be gone at the next try."""
RETRY_SECONDS = 0.5
log = structlog.get_logger("settling")


async def settle_persistently(settle: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Settles, and again for so long while that fails in passing: nobody else knows what was
    said, and asking again costs a minute, or a second answer of an agent. Every settle names its
    lease, so that one that comes twice, or too late, changes nothing."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while True:
        try:
            await settle()
        except TRANSIENT_ERRORS as error:
            if clock() > until:
                raise
            log.warning("settling goes again", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return

"""Settle the answers of other machines, also if the database is unavailable for a moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import structlog

from app.domain.problems import OutcomeUnknown, Unavailable
from app.store.connections import DATABASE_AWAY_ERRORS

T = TypeVar("T")
TRANSIENT_ERRORS = (
    Unavailable,
    OutcomeUnknown,
    *DATABASE_AWAY_ERRORS,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
"""Errors that may not occur at the next attempt."""
RETRY_SECONDS = 0.5
log = structlog.get_logger("settling")


async def settle_persistently(settle: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Calls `settle`, and again after a transient error, for up to `seconds`; returns its result. Raises the
    last error.

    Only this process knows the answer. If it is lost, a text is looked up a minute later, or an
    agent gets its turn again. `settle` must check its lease, so a repeated or late call changes
    nothing."""
    get_time = asyncio.get_running_loop().time
    deadline = get_time() + seconds
    while True:
        try:
            return await settle()
        except TRANSIENT_ERRORS as error:
            if get_time() > deadline:
                raise
            log.warning("settling failed and is tried again", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)

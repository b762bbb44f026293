"""Work that one worker has at a time, for as long as it renews its lease."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from app.domain.problems import Problem
from app.store.connections import DATABASE_AWAY_ERRORS

UNEXPECTED_FAULT = "An unexpected error. The service's log says more."


class LeaseLost(Exception):
    """The work was stopped, or another worker took it."""


@asynccontextmanager
async def end_if_broken(log: Any, fail: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
    """Work that raises what time may mend is left alone: once its lease has ended, a worker goes on with it. What
    raises anything else would do so again: `fail` ends it, and is told the fault."""
    try:
        yield
    except LeaseLost:
        log.info("stopped")
    except (Problem, *DATABASE_AWAY_ERRORS):
        raise
    except Exception:
        log.exception("failed")
        await fail(UNEXPECTED_FAULT)

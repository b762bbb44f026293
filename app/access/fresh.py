"""What was looked up in the last seconds, so that a busy key or account is asked for once in a
while, and by one of those who want it at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
SIZE = 10_000


class Fresh(Generic[K, V]):
    """Values at most `seconds` old. What a look-up raises is raised, and not kept."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[K, tuple[float, V]] = {}
        self._asking: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        known = self._known.get(key)
        if known and time.monotonic() - known[0] < self._seconds:
            return known[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(key, ask))
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(asking)

    def forget(self, which: Callable[[K, V], bool]) -> None:
        """The next `get` of these looks anew."""
        self._known = {k: kept for k, kept in self._known.items() if not which(k, kept[1])}

    async def close(self) -> None:
        """Waits for the look-ups on their way."""
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        asked_at = time.monotonic()
        value = await ask()
        if len(self._known) >= SIZE:
            self._known.clear()
        self._known[key] = (asked_at, value)
        return value

    def _asked(self, key: K, task: asyncio.Task[V]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # seen: those who waited have it, and nobody may have waited

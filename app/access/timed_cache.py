"""What was looked up in the last seconds, so that a busy key or account is asked for once in a
while, and by one of those who want it at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
MAX_ENTRIES = 10_000


class TimedCache(Generic[K, V]):
    """Values at most `seconds` old. What a look-up raises is raised, and not kept."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._entries: dict[K, tuple[float, V]] = {}
        self._lookups: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, look_up: Callable[[], Awaitable[V]]) -> V:
        entry = self._entries.get(key)
        if entry and time.monotonic() - entry[0] < self._seconds:
            return entry[1]
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = asyncio.create_task(self._look_up(key, look_up))
            self._lookups[key] = lookup
            lookup.add_done_callback(lambda task: self._finish_lookup(key, task))
        return await asyncio.shield(lookup)

    def forget(self, matches: Callable[[K, V], bool]) -> None:
        """The next `get` of these looks anew."""
        self._entries = {key: entry for key, entry in self._entries.items() if not matches(key, entry[1])}

    async def close(self) -> None:
        """Waits for the look-ups on their way."""
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)

    async def _look_up(self, key: K, look_up: Callable[[], Awaitable[V]]) -> V:
        started_at = time.monotonic()
        value = await look_up()
        if len(self._entries) >= MAX_ENTRIES:
            self._entries.clear()
        self._entries[key] = (started_at, value)
        return value

    def _finish_lookup(self, key: K, task: asyncio.Task[V]) -> None:
        del self._lookups[key]
        if not task.cancelled():
            task.exception()  # seen: those who waited have it, and nobody may have waited

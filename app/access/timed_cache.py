"""A cache whose entries live for some seconds. Concurrent look-ups of one key share one call."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
MAX_ENTRIES = 10_000


class TimedCache(Generic[K, V]):
    """Caches values for `seconds`. If a look-up raises, its error is raised and not cached."""

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
        """Removes the entries that match; the next `get` looks them up again."""
        self._entries = {key: entry for key, entry in self._entries.items() if not matches(key, entry[1])}

    async def close(self) -> None:
        """Waits for running look-ups."""
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
            task.exception()  # mark as retrieved: perhaps nobody waits for it any more

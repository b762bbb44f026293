"""Waiting for what happens in a tenant: one look at a time for all who listen in this process,
and no transaction open while they wait."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from app.store import events
from app.store.engine import Database, Row
from app.store.events import Cursor

LOOK_EVERY = 0.3


class Feed:
    """Listeners of one process. Each tenant that is listened to is looked at by one task."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest: dict[str, Cursor] = {}
        self._changed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._listeners: defaultdict[str, int] = defaultdict(int)
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._closed = asyncio.Event()

    async def next(
        self,
        tenant_id: str,
        cursor: Cursor,
        types: Sequence[str] | None,
        limit: int,
        seconds: float,
    ) -> list[Row]:
        """Events after the cursor, as soon as there are any; [] when the time is up."""
        deadline = asyncio.get_running_loop().time() + seconds
        self._listen(tenant_id)
        try:
            while True:
                changed = self._changed[tenant_id]
                async with self._database.reading(tenant_id) as read:
                    rows = await events.after(read, tenant_id, cursor, types, limit)
                left = deadline - asyncio.get_running_loop().time()
                if rows or left <= 0 or self._closed.is_set():
                    return rows
                try:
                    async with asyncio.timeout(left):
                        await changed.wait()
                except TimeoutError:
                    return []
        finally:
            self._leave(tenant_id)

    async def now(self, tenant_id: str) -> Cursor:
        """The cursor after all that has happened."""
        async with self._database.reading(tenant_id) as read:
            return await events.newest(read, tenant_id)

    @property
    def closing(self) -> bool:
        return self._closed.is_set()

    def hush(self) -> None:
        """Sends every listener home, so that open streams do not hold up a stop."""
        self._closed.set()
        for changed in self._changed.values():
            changed.set()

    async def close(self) -> None:
        self.hush()
        for task in self._looking.values():
            task.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    def _listen(self, tenant_id: str) -> None:
        self._listeners[tenant_id] += 1
        if tenant_id not in self._looking:
            self._looking[tenant_id] = asyncio.create_task(self._look(tenant_id))

    def _leave(self, tenant_id: str) -> None:
        self._listeners[tenant_id] -= 1

    async def _look(self, tenant_id: str) -> None:
        try:
            idle = 0
            while idle < 20:  # a listener that comes again soon finds the task still there
                idle = 0 if self._listeners[tenant_id] else idle + 1
                await self._look_once(tenant_id)
                await asyncio.sleep(LOOK_EVERY)
        finally:
            del self._looking[tenant_id]
            self._newest.pop(tenant_id, None)

    async def _look_once(self, tenant_id: str) -> None:
        try:
            newest = await self.now(tenant_id)
        except Exception:  # the database is away: the listeners' own reads will say so
            newest = events.START
        if newest != self._newest.get(tenant_id):
            self._newest[tenant_id] = newest
            self._changed.pop(tenant_id, asyncio.Event()).set()

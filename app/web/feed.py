"""Waiting for what happens in a tenant: one look at a time for all who listen in this process,
and no transaction open while they wait."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from app.store import events
from app.store.engine import Database, Row
from app.store.events import EventCursor

LOOK_SECONDS = 0.3


class Feed:
    """Listeners of one process. Each tenant that is listened to is looked at by one task."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest: dict[str, EventCursor] = {}
        self._change_events: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._listeners: defaultdict[str, int] = defaultdict(int)
        self._look_tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = asyncio.Event()

    async def wait_for_events(
        self,
        tenant_id: str,
        cursor: EventCursor,
        types: Sequence[str] | None,
        limit: int,
        seconds: float,
    ) -> list[Row]:
        """Events after the cursor, as soon as there are any; [] when the time is up."""
        deadline = asyncio.get_running_loop().time() + seconds
        self._add_listener(tenant_id)
        try:
            while True:
                change_event = self._change_events[tenant_id]
                async with self._database.read_tx(tenant_id) as read:
                    rows = await events.list_after(read, tenant_id, cursor, types, limit)
                remaining_seconds = deadline - asyncio.get_running_loop().time()
                if rows or remaining_seconds <= 0 or self._closed.is_set():
                    return rows
                try:
                    async with asyncio.timeout(remaining_seconds):
                        await change_event.wait()
                except TimeoutError:
                    return []
        finally:
            self._remove_listener(tenant_id)

    async def get_newest_cursor(self, tenant_id: str) -> EventCursor:
        """The cursor after all that has happened."""
        async with self._database.read_tx(tenant_id) as read:
            return await events.get_newest_cursor(read, tenant_id)

    @property
    def is_closing(self) -> bool:
        return self._closed.is_set()

    def hush(self) -> None:
        """Sends every listener home, so that open streams do not hold up a stop."""
        self._closed.set()
        for change_event in self._change_events.values():
            change_event.set()

    async def close(self) -> None:
        self.hush()
        for task in self._look_tasks.values():
            task.cancel()
        await asyncio.gather(*self._look_tasks.values(), return_exceptions=True)

    def _add_listener(self, tenant_id: str) -> None:
        self._listeners[tenant_id] += 1
        if tenant_id not in self._look_tasks:
            self._look_tasks[tenant_id] = asyncio.create_task(self._watch_tenant(tenant_id))

    def _remove_listener(self, tenant_id: str) -> None:
        self._listeners[tenant_id] -= 1

    async def _watch_tenant(self, tenant_id: str) -> None:
        try:
            idle = 0
            while idle < 20:  # a listener that comes again soon finds the task still there
                idle = 0 if self._listeners[tenant_id] else idle + 1
                await self._look_once(tenant_id)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            del self._look_tasks[tenant_id]
            self._newest.pop(tenant_id, None)

    async def _look_once(self, tenant_id: str) -> None:
        try:
            newest = await self.get_newest_cursor(tenant_id)
        except Exception:  # the database is away: the listeners' own reads will say so
            newest = events.FIRST_CURSOR
        if newest != self._newest.get(tenant_id):
            self._newest[tenant_id] = newest
            self._change_events.pop(tenant_id, asyncio.Event()).set()

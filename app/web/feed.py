"""Waiting for new events of a tenant. In each process one task per tenant polls the database for
all listeners, and no transaction is open while they wait."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.event_bodies import RecordedEvent
from app.store import events
from app.store.engine import Database
from app.store.events import EventCursor
from app.store.redis_client import end_tasks

POLL_SECONDS = 0.3
IDLE_POLLS_BEFORE_END = 20


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a reader wants. `names`: full types; None everywhere: all, also events without one."""

    short_types: Sequence[str] | None = None
    names: Sequence[str] | None = None
    except_names: Sequence[str] = ()


class Feed:
    """The listeners of one process. One task polls for each tenant that has listeners."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest: dict[str, EventCursor] = {}
        self._change_events: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._listeners: defaultdict[str, int] = defaultdict(int)
        self._poll_tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = asyncio.Event()

    async def wait_for_events(
        self, tenant_id: str, cursor: EventCursor, event_filter: EventFilter, limit: int, seconds: float
    ) -> list[RecordedEvent]:
        """Returns events after the cursor as soon as there are any, or [] after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        self._add_listener(tenant_id)
        try:
            while True:
                change_event = self._change_events[tenant_id]
                async with self._database.read_tx(tenant_id) as read:
                    found_events = await events.list_after(
                        read,
                        tenant_id,
                        cursor,
                        limit,
                        short_types=event_filter.short_types,
                        names=event_filter.names,
                        except_names=event_filter.except_names,
                    )
                remaining_seconds = deadline - asyncio.get_running_loop().time()
                if found_events or remaining_seconds <= 0 or self._closed.is_set():
                    return found_events
                try:
                    async with asyncio.timeout(remaining_seconds):
                        await change_event.wait()
                except TimeoutError:
                    return []
        finally:
            self._remove_listener(tenant_id)

    async def find_place(self, tenant_id: str, event_id: str) -> EventCursor:
        """The place of an event; the start for one that is not known here, so that nothing is skipped."""
        async with self._database.read_tx(tenant_id) as read:
            return await events.find_place(read, tenant_id, event_id) or events.FIRST_CURSOR

    async def get_newest_id(self, tenant_id: str) -> str:
        async with self._database.read_tx(tenant_id) as read:
            return await events.get_newest_id(read, tenant_id)

    async def get_newest_cursor(self, tenant_id: str) -> EventCursor:
        """Returns the cursor of the tenant's newest event."""
        async with self._database.read_tx(tenant_id) as read:
            return await events.get_newest_cursor(read, tenant_id)

    @property
    def is_closing(self) -> bool:
        return self._closed.is_set()

    def release_listeners(self) -> None:
        """Lets every waiting listener return now; otherwise open streams would delay a shutdown."""
        self._closed.set()
        for change_event in self._change_events.values():
            change_event.set()

    async def close(self) -> None:
        self.release_listeners()
        await end_tasks(list(self._poll_tasks.values()))

    def _add_listener(self, tenant_id: str) -> None:
        self._listeners[tenant_id] += 1
        if tenant_id not in self._poll_tasks:
            self._poll_tasks[tenant_id] = asyncio.create_task(self._watch_tenant(tenant_id))

    def _remove_listener(self, tenant_id: str) -> None:
        self._listeners[tenant_id] -= 1

    async def _watch_tenant(self, tenant_id: str) -> None:
        try:
            idle = 0
            while idle < IDLE_POLLS_BEFORE_END:  # a listener that comes back soon finds the task running
                idle = 0 if self._listeners[tenant_id] else idle + 1
                await self._poll_once(tenant_id)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            del self._poll_tasks[tenant_id]
            self._newest.pop(tenant_id, None)

    async def _poll_once(self, tenant_id: str) -> None:
        try:
            newest = await self.get_newest_cursor(tenant_id)
        except Exception:  # the database is away: the listeners' own reads will raise it
            newest = events.FIRST_CURSOR
        if newest != self._newest.get(tenant_id):
            self._newest[tenant_id] = newest
            self._change_events.pop(tenant_id, asyncio.Event()).set()

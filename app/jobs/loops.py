"""The loops of a worker: the clock, the poll behind it, and the way out.

The clock drains the debounce keys; the poll looks at the rows anyway, once a second, also
while Redis is away. All times compared with rows are the database's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from app.commands import modes, release
from app.domain.problems import Problem
from app.jobs.catch_up import CatchUp
from app.jobs.deliver import Batch, Delivery
from app.jobs.forward import Forwarding
from app.store import owed, turns
from app.store.clock import OUTBOX, Clock
from app.store.engine import AWAY, Database

TICK = 0.02
POLL_EVERY = 1.0
AFTER_FAILURE = 0.5
CLAIM = 200
RELEASE = 200
TEXTS_AT_ONCE = 400
TURNS_AT_ONCE = 100
DRAIN = 20.0
"""Seconds that a stopping worker gives to what it has begun."""
DRY_FOR = timedelta(seconds=10)
"""Longer than a window usually lasts, and than a first retry waits."""
log = structlog.get_logger("worker")


class Loops:
    """All that a worker does by itself, until `stop` is called."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        delivery: Delivery,
        forwarding: Forwarding,
        catch_up: CatchUp,
    ) -> None:
        self._database = database
        self._clock = clock
        self._delivery = delivery
        self._forwarding = forwarding
        self._catch_up = catch_up
        self._stopping = asyncio.Event()
        self._owed = asyncio.Event()
        self._looking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._again: set[tuple[str, str]] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._texts = 0
        self._offset = 0.0

    async def run(self) -> None:
        """Runs until stopped; then finishes what was begun, within `DRAIN` seconds."""
        async with asyncio.TaskGroup() as group:
            for step in (
                self._drain_clock, self._poll, self._release, self._claim_texts, self._fetch,
            ):  # fmt: skip
                group.create_task(self._repeat(step))
        begun = {*self._looking.values(), *self._carrying}
        if begun:
            await asyncio.wait(begun, timeout=DRAIN)

    async def drain(self) -> None:
        """Stops once nothing is begun here, and nothing is due within `DRY_FOR`."""
        while self._looking or self._carrying or await self._anything_due():
            await self._rest(POLL_EVERY)
        self.stop()

    async def _anything_due(self) -> bool:
        try:
            async with self._database.system() as tx:
                return await owed.due(tx, DRY_FOR)
        except (Problem, *AWAY):
            return True

    def stop(self) -> None:
        self._stopping.set()
        self._owed.set()

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            try:
                await step()
            except (Problem, *AWAY) as error:
                log.warning("the database is away", error=type(error).__name__)
                await self._rest(AFTER_FAILURE)
            except Exception:
                log.exception("a loop stumbled", step=step.__name__)
                await self._rest(AFTER_FAILURE)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _drain_clock(self) -> None:
        due = await self._clock.due(time.time() + self._offset)
        for member in due:
            if member == OUTBOX:
                self._owed.set()
            else:
                _, tenant_id, interaction_id = member.split(":", 2)
                self._look((tenant_id, interaction_id))
        if not due:
            await self._rest(TICK)

    async def _poll(self) -> None:
        async with self._database.system() as tx:
            now = await turns.now(tx)
            self._offset = now - time.time()
            due = await turns.due(tx, TURNS_AT_ONCE)
        for thread in due:
            self._look(thread)
        self._owed.set()
        await self._rest(POLL_EVERY)

    def _look(self, thread: tuple[str, str]) -> None:
        """Looks at the thread's turns; a hint that comes meanwhile is looked at afterwards."""
        if thread in self._looking:
            self._again.add(thread)
            return
        if len(self._looking) >= TURNS_AT_ONCE:
            return  # the row stays due: the poll comes back to it
        task = asyncio.create_task(self._look_once(thread))
        self._looking[thread] = task

    async def _look_once(self, thread: tuple[str, str]) -> None:
        try:
            await self._forwarding.look(*thread)
        except (Problem, *AWAY) as error:
            log.warning("the database is away", error=type(error).__name__)
        except Exception:
            log.exception("a turn could not be looked at", interaction_id=thread[1])
        finally:
            del self._looking[thread]
            if thread in self._again and not self._stopping.is_set():
                self._again.discard(thread)
                self._look(thread)

    async def _release(self) -> None:
        async with self._database.system() as tx:
            released = await release.texts(tx, RELEASE)
            await modes.resume(tx, RELEASE)
        if released < RELEASE:
            await self._rest(POLL_EVERY)

    async def _fetch(self) -> None:
        await self._catch_up.lonely_parts()
        await self._catch_up.missing_texts()
        await self._rest(POLL_EVERY)

    async def _claim_texts(self) -> None:
        self._owed.clear()
        room = TEXTS_AT_ONCE - self._texts
        batch = await self._delivery.claim(min(room, CLAIM)) if room else None
        if batch is None:
            await self._wait_for_texts(await self._delivery.free_in() if room else None)
            return
        self._texts += len(batch.rows)
        task = asyncio.create_task(self._carry_out(batch))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _wait_for_texts(self, seconds: float | None) -> None:
        """Until something is owed, or pacing frees a number."""
        try:
            async with asyncio.timeout(seconds):
                await self._owed.wait()
        except TimeoutError:
            pass

    async def _carry_out(self, batch: Batch) -> None:
        try:
            await self._delivery.carry_out(batch)
        except (Problem, *AWAY) as error:
            # The rows stay `sending` until their lease ends, and are then asked for.
            log.warning("the database is away", error=type(error).__name__)
        except Exception:
            log.exception("a batch could not be settled")
        finally:
            self._texts -= len(batch.rows)
            self._owed.set()

"""The loops of a worker: the clock, the poll behind it, and the way out.

The clock drains the debounce keys; the poll looks at the rows anyway, once a second, also
while Redis is away. All times compared with rows are the database's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog

from app.commands import modes, release
from app.domain.problems import Problem
from app.jobs.catch_up import CatchUp
from app.jobs.deliver import Batch, Delivery
from app.jobs.forward import TOGETHER, Forwarding
from app.jobs.turn_claims import HandOver
from app.store import owed, turns
from app.store.clock import OUTBOX, Clock
from app.store.engine import AWAY, Database
from app.store.threads import Thread

TICK, SHORTEST_REST = 0.02, 0.001
POLL_EVERY = 1.0
AFTER_FAILURE = 0.5
CLAIM = 200
RELEASE = 200
TEXTS_AT_ONCE = 400
TURNS_AT_ONCE = 500
"""Hand-overs on their way: each holds its payload in memory."""
LATE_TURNS = 200
"""Threads that the poll finds at a time."""
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
        self._handing: set[asyncio.Task[None]] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._texts = 0
        self._offset = 0.0

    async def run(self) -> None:
        """Runs until stopped; then finishes what was begun, within `DRAIN` seconds."""
        async with asyncio.TaskGroup() as group:
            for step in (
                self._drain_clock,
                self._poll,
                self._release,
                self._claim_texts,
                self._fetch,
            ):
                group.create_task(self._repeat(step))
        if begun := self._begun():
            await asyncio.wait(begun, timeout=DRAIN)

    def _begun(self) -> set[asyncio.Task[None]]:
        return {*self._handing, *self._carrying, *self._catch_up.fetching}

    async def drain(self) -> None:
        """Stops once nothing is begun here, and nothing is due within `DRY_FOR`."""
        while self._begun() or await self._anything_due():
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
        room = max(TURNS_AT_ONCE - len(self._handing), 1)
        due, following = await self._clock.due(self._now(), min(room, TOGETHER))
        if OUTBOX in due:
            self._owed.set()
        hinted = [member.split(":", 2) for member in due if member != OUTBOX]
        await self._look([(tenant_id, interaction_id) for _, tenant_id, interaction_id in hinted])
        if not due:
            wait = TICK if following is None else following - self._now()
            await self._rest(min(max(wait, SHORTEST_REST), TICK))

    def _now(self) -> float:
        """By the database's clock."""
        return time.time() + self._offset

    async def _poll(self) -> None:
        async with self._database.system() as tx:
            asked = time.time()
            now = await turns.now(tx)
            self._offset = now - (asked + time.time()) / 2
            due = await turns.due(tx, LATE_TURNS)
        self._owed.set()
        await self._look(due)
        await self._rest(POLL_EVERY)

    async def _look(self, threads: Sequence[Thread]) -> None:
        """Claims what the threads' turns want now, and has it carried out. Where there is no
        room, the rows stay due: the poll comes back to them."""
        room = TURNS_AT_ONCE - len(self._handing)
        if not threads or room <= 0:
            return
        async for handed in self._forwarding.claim(threads[:room]):
            task = asyncio.create_task(self._hand_over(handed))
            self._handing.add(task)
            task.add_done_callback(self._handing.discard)

    async def _hand_over(self, handed: HandOver) -> None:
        try:
            await self._forwarding.carry_out(handed)
        except (Problem, *AWAY) as error:
            # The turn stays `delivering` until its lease ends, and then goes again.
            log.warning("the database is away", error=type(error).__name__)
        except Exception:
            log.exception("a turn could not be settled", turn_id=handed.turn_id)

    async def _release(self) -> None:
        async with self._database.system() as tx:
            released = await release.texts(tx, RELEASE)
            await modes.resume(tx, RELEASE)
        if released < RELEASE:
            await self._rest(POLL_EVERY)

    async def _fetch(self) -> None:
        await self._catch_up.lonely_parts()
        begun = await self._catch_up.missing_texts()
        await self._rest(TICK if begun else POLL_EVERY)

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

"""Gatherer: what waits together goes together, as one batch in one transaction.

In a lane one batch is on its way at a time, and waits for no lock for long; what comes meanwhile
is the next. When a batch fails, its entries go again, each by itself and beside the next batches:
one that must wait, or that fails, keeps nobody else waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from app.domain.problems import OutcomeUnknown, Unavailable
from app.store.engine import BATCHES_AT_ONCE, HungUp

log = structlog.get_logger("gather")
In = TypeVar("In")
Out = TypeVar("Out")
MOST = 128
"""Rows up to which one generic plan is right for the statements (README, decision 14)."""

LANES = 2
"""Where a batch takes many round trips: while one waits for this process to have time for it, the
other gives the database work. With one lane, those who ask again when they are answered all come
into step, and either side waits for the other."""

LOOK_EVERY = 0.85
"""Seconds: who waits has gone after two looks at most, and is promised an answer within 2 s."""

APART = 8
"""So many go by themselves at a time: those that wait for one lock must not take every
connection."""


class ByItself:
    """Instead of a result: the entry must go again by itself."""


Carry = Callable[[Sequence[In]], Awaitable[Sequence[Out | ByItself]]]
Single = Callable[[In], Awaitable[Out]]


class Gatherer(Generic[In, Out]):
    """`carry` takes entries and returns their results in the same order, or gives up soon;
    `single` carries one, however long that takes. With `alike` there are several lanes, and the
    entries for which it tells the same take the same one: they keep their order, and their batches
    do not wait for each other's locks."""

    def __init__(
        self,
        carry: Carry[In, Out],
        single: Single[In, Out],
        alike: Callable[[In], Hashable] | None = None,
        apart: int = APART,
    ) -> None:
        room = asyncio.Semaphore(apart)
        self._alike = alike
        self._lanes = [_Lane(carry, single, room) for _ in range(LANES if alike else 1)]

    async def put(self, entry: In) -> Out:
        """The entry's result; raises what carrying it alone raises, and `Unavailable` when the
        batch before it does not end."""
        place = hash(self._alike(entry)) % LANES if self._alike else 0
        return await self._lanes[place].put(entry)

    async def close(self) -> None:
        """Waits for what is on its way."""
        for lane in self._lanes:
            await lane.close()


class _Lane(Generic[In, Out]):
    def __init__(self, carry: Carry[In, Out], single: Single[In, Out], room: asyncio.Semaphore) -> None:
        self._carry = carry
        self._single = single
        self._room = room
        self._waiting: list[tuple[In, asyncio.Future[Out]]] = []
        self._going = False
        self._watching: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def put(self, entry: In) -> Out:
        result: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, result))
        if not self._going:
            self._going = True
            self._start(self._go())
        # A caller that goes away does not take its entry back: it may be on its way.
        return await asyncio.shield(result)

    async def _go(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                self._watch()
                await self._together(batch)
        finally:
            self._going = False
            if self._watching:
                self._watching.cancel()

    def _watch(self) -> None:
        """Looks, now and then, whether anybody waits behind a batch that does not end."""
        if self._watching:
            self._watching.cancel()
        self._watching = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look, [])

    def _look(self, late: Sequence[tuple[In, asyncio.Future[Out]]]) -> None:
        """The database hangs under the batch that is on its way: sends away those who were there
        at the last look already. Nothing of theirs has begun."""
        seen = {id(future) for _, future in late}
        gone = [one for one in self._waiting if id(one[1]) in seen]
        self._waiting = [one for one in self._waiting if id(one[1]) not in seen]
        for _, future in gone:
            _fail(future, Unavailable())
        waiting = list(self._waiting)
        self._watching = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look, waiting)

    async def _together(self, batch: list[tuple[In, asyncio.Future[Out]]]) -> None:
        try:
            results = await self._carried([entry for entry, _ in batch])
        except (Unavailable, OutcomeUnknown) as error:  # of the database, not of an entry
            for _, future in batch:
                _fail(future, error)
        except Exception as error:
            log.info("a batch goes again one by one", error=type(error).__name__, entries=len(batch))
            for entry, future in batch:
                self._start(self._alone(entry, future))
        else:
            for (entry, future), result in zip(batch, results, strict=True):
                if isinstance(result, ByItself):
                    self._start(self._alone(entry, future))
                elif not future.done():
                    future.set_result(result)

    async def _carried(self, entries: Sequence[In]) -> Sequence[Out | ByItself]:
        for _ in range(BATCHES_AT_ONCE):  # so many may have died in the pool
            try:
                return await self._carry(entries)
            except HungUp:
                log.info("a connection had died")
        return await self._carry(entries)

    async def _alone(self, entry: In, future: asyncio.Future[Out]) -> None:
        try:
            async with self._room:
                result = await self._single(entry)
        except Exception as error:
            _fail(future, error)
        else:
            if not future.done():
                future.set_result(result)

    async def close(self) -> None:
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fail(future: "asyncio.Future[Out]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen, also where its caller went away

"""Batcher: what waits together goes together, as one batch in one transaction.

In a queue one batch is on its way at a time, and waits for no lock for long; what comes meanwhile
is the next. When a batch fails, its entries go again, each by itself and beside the next batches:
one that must wait, or that fails, keeps nobody else waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from app.domain.problems import OutcomeUnknown, Unavailable
from app.store.engine import MAX_BATCH_CONNECTIONS, HungUp

log = structlog.get_logger("gather")
In = TypeVar("In")
Out = TypeVar("Out")
MAX_BATCH = 128
"""Rows up to which one generic plan is right for the statements (README, decision 14)."""

QUEUE_COUNT = 2
"""Where a batch takes many round trips: while one waits for this process to have time for it, the
other gives the database work. With one queue, those who ask again when they are answered all come
into step, and either side waits for the other."""

LOOK_SECONDS = 0.85
"""Seconds: who waits has gone after two looks at most, and is promised an answer within 2 s."""

MAX_SINGLES = 8
"""So many go by themselves at a time: those that wait for one lock must not take every
connection."""


class RunAlone:
    """Instead of a result: the entry must go again by itself."""


RunBatch = Callable[[Sequence[In]], Awaitable[Sequence[Out | RunAlone]]]
RunSingle = Callable[[In], Awaitable[Out]]


class Batcher(Generic[In, Out]):
    """`run_batch` takes entries and returns their results in the same order, or gives up soon;
    `run_single` takes one, however long that takes. With `queue_key` there are several queues,
    and the entries for which it tells the same take the same one: they keep their order, and their batches
    do not wait for each other's locks."""

    def __init__(
        self,
        run_batch: RunBatch[In, Out],
        run_single: RunSingle[In, Out],
        queue_key: Callable[[In], Hashable] | None = None,
        max_singles: int = MAX_SINGLES,
    ) -> None:
        single_slots = asyncio.Semaphore(max_singles)
        self._queue_key = queue_key
        self._queues = [
            _BatchQueue(run_batch, run_single, single_slots) for _ in range(QUEUE_COUNT if queue_key else 1)
        ]

    async def submit(self, entry: In) -> Out:
        """The entry's result; raises what carrying it alone raises, and `Unavailable` when the
        batch before it does not end."""
        index = hash(self._queue_key(entry)) % QUEUE_COUNT if self._queue_key else 0
        return await self._queues[index].submit(entry)

    async def close(self) -> None:
        """Waits for what is on its way."""
        for queue in self._queues:
            await queue.close()


class _BatchQueue(Generic[In, Out]):
    def __init__(
        self,
        run_batch: RunBatch[In, Out],
        run_single: RunSingle[In, Out],
        single_slots: asyncio.Semaphore,
    ) -> None:
        self._run_batch = run_batch
        self._run_single = run_single
        self._single_slots = single_slots
        self._entries: list[tuple[In, asyncio.Future[Out]]] = []
        self._is_running = False
        self._watch_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, entry: In) -> Out:
        result: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._entries.append((entry, result))
        if not self._is_running:
            self._is_running = True
            self._start_task(self._run_all())
        # A caller that goes away does not take its entry back: it may be on its way.
        return await asyncio.shield(result)

    async def _run_all(self) -> None:
        try:
            while self._entries:
                batch, self._entries = self._entries[:MAX_BATCH], self._entries[MAX_BATCH:]
                self._start_watch()
                await self._finish_batch(batch)
        finally:
            self._is_running = False
            if self._watch_timer:
                self._watch_timer.cancel()

    def _start_watch(self) -> None:
        """Looks, now and then, whether anybody waits behind a batch that does not end."""
        if self._watch_timer:
            self._watch_timer.cancel()
        self._watch_timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._fail_late_entries, [])

    def _fail_late_entries(self, seen_before: Sequence[tuple[In, asyncio.Future[Out]]]) -> None:
        """The database hangs under the batch that is on its way: sends away those who were there
        at the last look already. Nothing of theirs has begun."""
        seen_ids = {id(future) for _, future in seen_before}
        late_entries = [entry for entry in self._entries if id(entry[1]) in seen_ids]
        self._entries = [entry for entry in self._entries if id(entry[1]) not in seen_ids]
        for _, future in late_entries:
            _fail_future(future, Unavailable())
        still_waiting = list(self._entries)
        self._watch_timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._fail_late_entries, still_waiting)

    async def _finish_batch(self, batch: list[tuple[In, asyncio.Future[Out]]]) -> None:
        try:
            results = await self._try_batch([entry for entry, _ in batch])
        except (Unavailable, OutcomeUnknown) as error:  # of the database, not of an entry
            for _, future in batch:
                _fail_future(future, error)
        except Exception as error:
            log.info("a batch goes again one by one", error=type(error).__name__, entries=len(batch))
            for entry, future in batch:
                self._start_task(self._run_alone(entry, future))
        else:
            for (entry, future), result in zip(batch, results, strict=True):
                if isinstance(result, RunAlone):
                    self._start_task(self._run_alone(entry, future))
                elif not future.done():
                    future.set_result(result)

    async def _try_batch(self, entries: Sequence[In]) -> Sequence[Out | RunAlone]:
        for _ in range(MAX_BATCH_CONNECTIONS):  # so many may have died in the pool
            try:
                return await self._run_batch(entries)
            except HungUp:
                log.info("a connection had died")
        return await self._run_batch(entries)

    async def _run_alone(self, entry: In, future: asyncio.Future[Out]) -> None:
        try:
            async with self._single_slots:
                result = await self._run_single(entry)
        except Exception as error:
            _fail_future(future, error)
        else:
            if not future.done():
                future.set_result(result)

    async def close(self) -> None:
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fail_future(future: "asyncio.Future[Out]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen, also where its caller went away

"""Batcher: requests that wait at the same time run as one batch in one transaction.

A queue runs one batch at a time; requests that come meanwhile form the next batch. A batch waits
only briefly for locks. When a batch fails, each of its entries runs again alone, beside the next
batches: an entry that fails or must wait for a lock does not delay the others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

import structlog

from app.domain.problems import OutcomeUnknown, Unavailable
from app.store.connections import HungUp
from app.store.pools import MAX_BATCH_CONNECTIONS

log = structlog.get_logger("batching")
In = TypeVar("In")
Out = TypeVar("Out")
MAX_BATCH = 128
"""Up to this many rows one generic plan suits the statements
(docs/decisions/0014-waiting-requests-go-as-one-batch.md)."""

QUEUE_COUNT = 2
"""Two batches overlap: one uses PostgreSQL while the other uses this process. With a single queue,
clients that wait for their answer before they send again fall into lock-step, and each side idles
half the time."""

LOOK_SECONDS = 0.85
"""A waiting entry fails at the second look at the latest: callers are promised an answer within
2 s."""

MAX_SINGLES = 8
"""Entries that run alone at the same time: those that wait for one lock must not use up all
connections."""


class RunAlone:
    """Returned instead of a result: the entry must run again alone."""


RunBatch = Callable[[Sequence[In]], Awaitable[Sequence[Out | RunAlone]]]
RunSingle = Callable[[In], Awaitable[Out]]


class Batcher(Generic[In, Out]):
    """`run_batch` takes entries and returns their results in the same order, or fails soon;
    `run_single` takes one entry and may take long. With `queue_key` there are two queues, and
    entries with the same key go to the same queue: they stay in order, and two batches never wait
    for each other's locks."""

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
        """Returns the entry's result. Raises what `run_single` raises for it, the `Unavailable` or
        `OutcomeUnknown` of its batch, and `Unavailable` if the batch before it hangs."""
        index = hash(self._queue_key(entry)) % QUEUE_COUNT if self._queue_key else 0
        return await self._queues[index].submit(entry)

    async def close(self) -> None:
        """Waits for the batches and entries that are running."""
        for queue in self._queues:
            await queue.close()


class _BatchQueue(Generic[In, Out]):
    def __init__(
        self, run_batch: RunBatch[In, Out], run_single: RunSingle[In, Out], single_slots: asyncio.Semaphore
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
        # Cancelling the caller must not cancel the entry: its batch may be running.
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
        """Checks regularly whether entries wait behind a batch that hangs."""
        if self._watch_timer:
            self._watch_timer.cancel()
        self._watch_timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._fail_late_entries, [])

    def _fail_late_entries(self, seen_before: Sequence[tuple[In, asyncio.Future[Out]]]) -> None:
        """The running batch hangs: fails the entries that already waited at the last look. Nothing
        of them has begun, so they may be repeated."""
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
        except (Unavailable, OutcomeUnknown) as error:  # caused by the database, not by an entry
            for _, future in batch:
                _fail_future(future, error)
        except Exception as error:
            log.info("batch failed, its entries run alone", error=type(error).__name__, entries=len(batch))
            for entry, future in batch:
                self._start_task(self._run_alone(entry, future))
        else:
            for (entry, future), result in zip(batch, results, strict=True):
                if isinstance(result, RunAlone):
                    self._start_task(self._run_alone(entry, future))
                elif not future.done():
                    future.set_result(result)

    async def _try_batch(self, entries: Sequence[In]) -> Sequence[Out | RunAlone]:
        for _ in range(MAX_BATCH_CONNECTIONS):  # each pooled connection may be dead
            try:
                return await self._run_batch(entries)
            except HungUp:
                log.info("dead connection replaced")
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
        future.exception()  # mark as retrieved: its caller may be gone

"""The loops of a worker: the clock, the poll, texts out, missed texts in, imports, events, notices,
first contacts, prices, figures and trials.

The clock loop follows the hints in Redis. The poll reads the rows once a second, so nothing depends
on Redis (docs/laws.md, 1). Times that are compared with rows are the database's.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog

from app.commands import experiments, figures, modes, planned_turns, release
from app.domain.problems import Problem
from app.jobs.catch_up import CatchUp
from app.jobs.contact_checks import ContactChecker
from app.jobs.deliver import Batch, Delivery
from app.jobs.event_delivery import EventDelivery, SubjectEvents
from app.jobs.forward import THREADS_PER_CLAIM, Forwarder
from app.jobs.imports import Importer
from app.jobs.notices import Notifier
from app.jobs.prices import PriceFetcher
from app.jobs.trials import TrialRunner
from app.jobs.turn_claims import HandOver
from app.store import hand_overs, outbox, owed
from app.store.clock import OUTBOX_HINT, Clock
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database
from app.store.threads import ThreadKey

TICK_SECONDS, MIN_REST_SECONDS = 0.02, 0.001
POLL_SECONDS = 1.0
FAILURE_REST_SECONDS = 0.5
TEXTS_PER_CLAIM = 200
TEXTS_PER_RELEASE = 200
TURNS_PER_START = 200
MAX_TEXTS = 400
MAX_HAND_OVERS = 500
"""Hand-overs at once. Each holds its payload in memory."""
TRIAL_LANES = 3
"""Trials at once: a candidate that answers slowly does not hold up the others."""
MAX_SUBJECTS = 2000
"""Subjects whose events are posted to endpoints at once."""
EVENT_POLL_SECONDS, MIN_EVENT_REST_SECONDS = 0.2, 0.02
CHECK_POLL_SECONDS = 0.1
"""While questions to tenants' webhooks may be due."""
PRUNE_SECONDS = 10.0
COUNT_SECONDS, PRICE_POLL_SECONDS = 2.0, 60.0
THREADS_PER_POLL = 200
"""Threads that one poll reads."""
DRAIN_SECONDS = 20.0
"""How long a stopping worker waits for what it has begun."""
DRY_TIME = timedelta(seconds=10)
"""`drain` ends if nothing is due within this time: longer than most windows and a first retry."""
log = structlog.get_logger("worker")


class Loops:
    """The loops of one worker. They run until `stop` is called."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        delivery: Delivery,
        forwarder: Forwarder,
        catch_up: CatchUp,
        importer: Importer,
        event_delivery: EventDelivery,
        notifier: Notifier,
        trial_runner: TrialRunner,
        contact_checker: ContactChecker,
        price_fetcher: PriceFetcher,
    ) -> None:
        self._database = database
        self._clock = clock
        self._delivery = delivery
        self._forwarder = forwarder
        self._catch_up = catch_up
        self._importer = importer
        self._event_delivery = event_delivery
        self._notifier = notifier
        self._trial_runner = trial_runner
        self._contact_checker = contact_checker
        self._price_fetcher = price_fetcher
        self._stop_event = asyncio.Event()
        self._owed_event = asyncio.Event()
        self._hand_over_tasks: set[asyncio.Task[None]] = set()
        self._delivery_tasks: set[asyncio.Task[None]] = set()
        self._event_tasks: set[asyncio.Task[None]] = set()
        self._settled_event = asyncio.Event()
        """Set when events of a subject are settled: more of it may be due."""
        self._text_count = 0
        self._clock_offset = 0.0

    async def run(self) -> None:
        """Runs until stopped; then waits up to `DRAIN_SECONDS` for what was begun."""
        async with asyncio.TaskGroup() as group:
            for step in (
                self._drain_clock,
                self._poll_rows,
                self._release_texts,
                self._start_turns,
                self._claim_texts,
                self._fetch_texts,
                self._run_import,
                self._deliver_events,
                self._prune_deliveries,
                self._tell_people,
                self._check_contacts,
                self._fetch_prices,
                self._count_figures,
                self._look_at_experiments,
                *[self._run_trial] * TRIAL_LANES,
            ):
                group.create_task(self._repeat_step(step))
        if open_tasks := self._list_open_tasks():
            await asyncio.wait(open_tasks, timeout=DRAIN_SECONDS)

    def _list_open_tasks(self) -> set[asyncio.Task[None]]:
        own_tasks = {*self._hand_over_tasks, *self._delivery_tasks, *self._event_tasks}
        return own_tasks | self._catch_up.fetching | self._notifier.sending | self._contact_checker.asking

    async def drain(self) -> None:
        """Stops the loops once no task is open here and nothing is due within `DRY_TIME`."""
        while self._list_open_tasks() or await self._is_anything_due():
            await self._rest_for(POLL_SECONDS)
        self.stop()

    async def _is_anything_due(self) -> bool:
        try:
            async with self._database.system_tx() as tx:
                return await owed.is_anything_due(tx, DRY_TIME) or await self._notifier.is_anything_due(tx, DRY_TIME)
        except (Problem, *DATABASE_AWAY_ERRORS):
            return True

    def stop(self) -> None:
        self._stop_event.set()
        self._owed_event.set()
        self._settled_event.set()

    async def _repeat_step(self, step: Callable[[], Awaitable[None]]) -> None:
        while not self._stop_event.is_set():
            try:
                await step()
            except (Problem, *DATABASE_AWAY_ERRORS) as error:
                log.warning("the database is away", error=type(error).__name__)
                await self._rest_for(FAILURE_REST_SECONDS)
            except Exception:
                log.exception("a step of a loop failed", step=step.__name__)
                await self._rest_for(FAILURE_REST_SECONDS)

    async def _rest_for(self, seconds: float) -> None:
        await _wait_for(self._stop_event, seconds)

    async def _drain_clock(self) -> None:
        room = max(MAX_HAND_OVERS - len(self._hand_over_tasks), 1)
        due_members, next_at = await self._clock.take_due(self._database_now(), min(room, THREADS_PER_CLAIM))
        if OUTBOX_HINT in due_members:
            self._owed_event.set()
        hints = [member.split(":", 2) for member in due_members if member != OUTBOX_HINT]
        await self._claim_turns([(tenant_id, interaction_id) for _, tenant_id, interaction_id in hints])
        if not due_members:
            wait = TICK_SECONDS if next_at is None else next_at - self._database_now()
            await self._rest_for(min(max(wait, MIN_REST_SECONDS), TICK_SECONDS))

    def _database_now(self) -> float:
        """Epoch seconds by the database's clock, as the last poll measured it."""
        return time.time() + self._clock_offset

    async def _poll_rows(self) -> None:
        async with self._database.system_tx() as tx:
            asked_at = time.time()
            outbox_look = await outbox.look(tx)
            self._clock_offset = outbox_look.now - (asked_at + time.time()) / 2
            due_threads = await hand_overs.find_due_threads(tx, THREADS_PER_POLL)
        if outbox_look.may_be_due:
            self._owed_event.set()
        await self._claim_turns(due_threads)
        await self._rest_for(POLL_SECONDS)

    async def _claim_turns(self, threads: Sequence[ThreadKey]) -> None:
        """Claims the threads' due turns and starts a task for each. Without room the rows stay due,
        and a later poll finds them."""
        room = MAX_HAND_OVERS - len(self._hand_over_tasks)
        if not threads or room <= 0:
            return
        async for hand_over in self._forwarder.claim(threads[:room]):
            task = asyncio.create_task(self._hand_over(hand_over))
            self._hand_over_tasks.add(task)
            task.add_done_callback(self._hand_over_tasks.discard)

    async def _hand_over(self, hand_over: HandOver) -> None:
        try:
            await self._forwarder.perform(hand_over)
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            # The turn stays `delivering` until its lease ends, and is then handed over again.
            log.warning("the database is away", error=type(error).__name__)
        except Exception:
            log.exception("a turn could not be settled", turn_id=hand_over.turn_id)

    async def _release_texts(self) -> None:
        async with self._database.system_tx() as tx:
            released_count = await release.release_texts(tx, TEXTS_PER_RELEASE)
            await modes.resume_agents(tx, TEXTS_PER_RELEASE)
        if released_count < TEXTS_PER_RELEASE:
            await self._rest_for(POLL_SECONDS)

    async def _start_turns(self) -> None:
        """Begins turns that no text of a lead begins."""
        async with self._database.index_lookup_tx() as tx:
            started_count = await planned_turns.start_due_turns(tx, TURNS_PER_START)
        async with self._database.index_lookup_tx() as tx:
            await planned_turns.look_for_silence(tx)
        if started_count < TURNS_PER_START:
            await self._rest_for(POLL_SECONDS)

    async def _fetch_texts(self) -> None:
        await self._catch_up.deliver_incomplete()
        has_begun = await self._catch_up.fetch_missing_texts()
        await self._rest_for(TICK_SECONDS if has_begun else POLL_SECONDS)

    async def _run_import(self) -> None:
        if not await self._importer.run_next(self._stop_event.is_set):
            await self._rest_for(POLL_SECONDS)

    async def _tell_people(self) -> None:
        await self._notifier.send_due()
        await self._rest_for(POLL_SECONDS)

    async def _check_contacts(self) -> None:
        is_busy = await self._contact_checker.ask_due()
        await self._rest_for(CHECK_POLL_SECONDS if is_busy else POLL_SECONDS)

    async def _fetch_prices(self) -> None:
        if not await self._price_fetcher.fetch_due(self._stop_event.is_set):
            await self._rest_for(PRICE_POLL_SECONDS)

    async def _count_figures(self) -> None:
        if not await figures.count_figures(self._database):
            await self._rest_for(COUNT_SECONDS)

    async def _look_at_experiments(self) -> None:
        if not await experiments.look_at_next(self._database):
            await self._rest_for(COUNT_SECONDS)

    async def _run_trial(self) -> None:
        if not await self._trial_runner.run_next(self._rest_unless_stopped):
            await self._rest_for(POLL_SECONDS)

    async def _rest_unless_stopped(self, seconds: float) -> bool:
        await self._rest_for(seconds)
        return self._stop_event.is_set()

    async def _claim_texts(self) -> None:
        self._owed_event.clear()
        room = MAX_TEXTS - self._text_count
        batch = await self._delivery.claim(min(room, TEXTS_PER_CLAIM)) if room else None
        if batch is None:
            # Until a text is owed, or pacing frees a number.
            await _wait_for(self._owed_event, await self._delivery.get_seconds_until_free() if room else None)
            return
        self._text_count += len(batch.texts)
        task = asyncio.create_task(self._deliver_batch(batch))
        self._delivery_tasks.add(task)
        task.add_done_callback(self._delivery_tasks.discard)

    async def _deliver_batch(self, batch: Batch) -> None:
        try:
            await self._delivery.deliver_batch(batch)
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            # The rows stay `sending` until their lease ends, and are then looked up.
            log.warning("the database is away", error=type(error).__name__)
        except Exception:
            log.exception("a batch could not be settled")
        finally:
            self._text_count -= len(batch.texts)
            self._owed_event.set()

    async def _deliver_events(self) -> None:
        self._settled_event.clear()
        room = MAX_SUBJECTS - len(self._event_tasks)
        subjects, is_active = await self._event_delivery.claim(room) if room > 0 else ([], True)
        for subject in subjects:
            task = asyncio.create_task(self._post_events(subject))
            self._event_tasks.add(task)
            task.add_done_callback(self._event_tasks.discard)
        await self._rest_for(MIN_EVENT_REST_SECONDS if is_active else POLL_SECONDS)
        if not subjects and is_active:
            await _wait_for(self._settled_event, EVENT_POLL_SECONDS)

    async def _prune_deliveries(self) -> None:
        """Beside the claims: after a burst there is much to delete."""
        await self._rest_for(PRUNE_SECONDS)
        await self._event_delivery.prune_deliveries()

    async def _post_events(self, subject: SubjectEvents) -> None:
        try:
            await self._event_delivery.perform(subject)
        except (Problem, *DATABASE_AWAY_ERRORS) as error:
            # The events stay in the queue until their lease ends, and are then sent again.
            log.warning("the database is away", error=type(error).__name__)
        except Exception:
            log.exception("events could not be settled", subject=subject.events[0].subject)
        finally:
            self._settled_event.set()


async def _wait_for(event: asyncio.Event, seconds: float | None) -> None:
    """Waits until the event is set, for up to `seconds` (None: for ever)."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass

"""The worker: its loops, and arq for what comes round by the clock on the wall.

`arq app.worker.WorkerSettings` runs the loops inside of arq: they start and end with it, and it ends
with its Redis connection. `python -m app worker` runs arq inside of the loops: arq is started again
when it falls, and the loops, which know the rows, go on meanwhile. Both ways use the same settings
and the same start and end.
"""

import asyncio
import gc
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from arq import cron
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, create_worker
from redis.exceptions import RedisError

from app import settings, traces
from app.jobs import sweeps
from app.jobs.catch_up import CatchUp
from app.jobs.contact_checks import ContactChecker
from app.jobs.deliver import Delivery
from app.jobs.event_delivery import EventDelivery
from app.jobs.forward import Forwarder
from app.jobs.imports import Importer
from app.jobs.loops import Loops
from app.jobs.notices import Notifier
from app.jobs.prices import PriceFetcher
from app.jobs.trials import TrialRunner
from app.log import configure as configure_log
from app.resources import Resources, open_resources
from app.settings import Settings
from app.store.redis_client import close_client, end_tasks, open_client, read_sentinel_url
from app.web import worker_door
from app.web.directory.leads import parse_row

ARQ_RESTART_SECONDS = 2.0
ARQ_CONNECT_SECONDS, ARQ_ANSWER_SECONDS = 1.0, 5.0
ARQ_QUEUE = "leadsail:arq:1"
"""Revisioned: jobs of an older build are not understood by a newer one."""
log = structlog.get_logger("worker")


@asynccontextmanager
async def run_loops(configuration: Settings) -> AsyncIterator[tuple[Resources, Loops, asyncio.Task[None]]]:
    """The loops as a task, on resources of their own. At the end they finish what they have begun."""
    with traces.export_traces(configuration, "worker"):
        async with open_resources(configuration) as resources:
            loops = build_loops(resources)
            gc.freeze()  # what is there stays: no need to walk through it in the middle of a burst
            task = asyncio.create_task(loops.run())
            log.info("worker started")
            try:
                async with worker_door.open_door(resources):
                    yield resources, loops, task
            finally:
                loops.stop()
                await task
                log.info("worker stopped")


def build_loops(resources: Resources) -> Loops:
    """The loops over these resources."""
    text_delivery = Delivery(resources.database, resources.wire, resources.seal, resources.settings.base_url)
    hand_over = Forwarder(resources.database, resources.wire, resources.seal)
    catch_up = CatchUp(resources.database, resources.wire, resources.seal)
    # A row is judged by the model of the API, which the jobs do not know.
    importer = Importer(resources.database, parse_row)
    event_delivery = EventDelivery(resources.database, resources.wire, resources.seal)
    notifier = Notifier(resources.database, resources.wire, resources.mail, resources.seal, resources.settings.base_url)
    trial_runner = TrialRunner(resources.database, resources.wire, resources.seal)
    contact_checker = ContactChecker(resources.database, resources.wire, resources.seal)
    price_fetcher = PriceFetcher(resources.database, resources.wire, resources.seal)
    return Loops(
        resources.database,
        resources.clock,
        text_delivery,
        hand_over,
        catch_up,
        importer,
        event_delivery,
        notifier,
        trial_runner,
        contact_checker,
        price_fetcher,
    )


async def start_loops(ctx: dict[Any, Any]) -> None:
    """When arq starts. Raises `ConfigurationError`."""
    configuration = settings.load()
    settings.require_servers(configuration)
    configure_log(configuration.is_production, configuration.log_level)
    stack = ctx["stack"] = AsyncExitStack()
    resources, _, _ = await stack.enter_async_context(run_loops(configuration))
    ctx |= build_job_context(resources)


async def finish_loops(ctx: dict[Any, Any]) -> None:
    """When arq ends, after its jobs."""
    await ctx["stack"].aclose()


def build_job_context(resources: Resources) -> dict[Any, Any]:
    return {"database": resources.database, "settings": resources.settings}


def serialize_job(job: dict[str, Any]) -> bytes:
    return json.dumps(job).encode()


def read_redis_settings(url: str) -> RedisSettings:
    """`url` as arq's own command line takes it. Raises `ValueError`."""
    address = read_sentinel_url(url)
    if address is None:
        return RedisSettings.from_dsn(url)
    return RedisSettings(
        host=list(address.sentinels),
        sentinel=True,
        sentinel_master=address.service,
        database=address.database,
        username=address.user,
        password=address.password,
        ssl=address.is_tls,
    )


class WorkerSettings:
    """What arq reads. Only what may wait for Redis is a job: see docs/decisions/0029-arq-inside-or-outside.md."""

    functions = (sweeps.prune,)
    cron_jobs = (cron(sweeps.prune, minute={7, 37}, run_at_startup=True),)
    on_startup = start_loops
    on_shutdown = finish_loops
    queue_name = ARQ_QUEUE
    redis_settings = read_redis_settings(settings.find_redis_url())
    keep_result = 0
    poll_delay = 1.0
    health_check_interval = 15
    """Seconds. A second after them `arq --check` says that the worker is gone."""
    job_completion_wait = 4
    """With the loops' own `DRAIN_SECONDS` less than the 25 s that a deploy should allow."""
    job_serializer = serialize_job
    job_deserializer = json.loads


async def run(configuration: Settings, drain: bool = False) -> None:
    """A worker until SIGTERM or SIGINT; begun work is finished or released before it ends.
    With `drain` it ends by itself when nothing is left to do."""
    async with run_loops(configuration) as (resources, loops, loops_task):
        event_loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            event_loop.add_signal_handler(number, loops.stop)
        background_tasks = [asyncio.create_task(_run_arq(resources))]
        if drain:
            background_tasks.append(asyncio.create_task(loops.drain()))
        try:
            await loops_task
        finally:
            await end_tasks(background_tasks)


async def _run_arq(resources: Resources) -> None:
    assert resources.settings.redis_url
    while True:
        client = _open_arq_client(resources.settings.redis_url)
        # The loops are there already, and outlive it.
        worker = create_worker(
            dict(vars(WorkerSettings)),
            on_startup=None,
            on_shutdown=None,
            redis_pool=client,
            handle_signals=False,
            ctx=build_job_context(resources),
        )
        try:
            await worker.async_run()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("arq lost redis", error=type(error).__name__)
        finally:
            await _close_arq(worker)
            await close_client(client)
        await asyncio.sleep(ARQ_RESTART_SECONDS)


def _open_arq_client(url: str) -> ArqRedis:
    client = open_client(url, ArqRedis, socket_connect_timeout=ARQ_CONNECT_SECONDS, socket_timeout=ARQ_ANSWER_SECONDS)
    client.job_serializer, client.job_deserializer = serialize_job, json.loads  # else arq would pickle
    return client


async def _close_arq(worker: Worker) -> None:
    try:
        await worker.close()
    except (RedisError, OSError, TimeoutError):
        pass  # it is gone already

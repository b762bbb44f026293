"""Assembly of a worker: its loops, and arq for what comes round by the clock on the wall.

arq ends with its Redis connection and knows nothing of the rows; so it runs beside the loops,
is started again when it falls, and could be replaced in a day.
"""

import asyncio
import gc
import json
import signal

import structlog
from arq import cron
from arq.connections import RedisSettings
from arq.worker import Worker
from prometheus_client import start_http_server
from redis.exceptions import RedisError

from app.jobs import sweeps
from app.jobs.catch_up import CatchUp
from app.jobs.deliver import Delivery
from app.jobs.forward import Forwarding
from app.jobs.loops import Loops
from app.resources import Resources, open_resources
from app.settings import Settings

ARQ_RESTART_SECONDS = 2.0
ARQ_QUEUE = "leadsail:arq:1"
"""Revisioned: jobs of an older build are not understood by a newer one."""
log = structlog.get_logger("worker")


async def run(settings: Settings, drain: bool = False) -> None:
    """A worker until SIGTERM or SIGINT; begun work is finished or released before it ends.
    With `drain` it ends by itself when nothing is left to do."""
    async with open_resources(settings) as resources:
        loops = build_loops(resources)
        gc.freeze()  # what is there stays: no need to walk through it in the middle of a burst
        event_loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            event_loop.add_signal_handler(number, loops.stop)
        if settings.metrics_port:
            start_http_server(settings.metrics_port, settings.host)
        maintenance = asyncio.create_task(_run_arq(resources))
        drain_task = asyncio.create_task(loops.drain()) if drain else None
        log.info("worker started")
        try:
            await loops.run()
        finally:
            background_tasks = [task for task in (maintenance, drain_task) if task]
            for task in background_tasks:
                task.cancel()
            await asyncio.gather(*background_tasks, return_exceptions=True)
        log.info("worker stopped")


def build_loops(resources: Resources) -> Loops:
    """The loops over these resources."""
    text_delivery = Delivery(resources.database, resources.wire, resources.seal, resources.settings.base_url)
    hand_over = Forwarding(resources.database, resources.wire, resources.seal)
    catch_up = CatchUp(resources.database, resources.wire, resources.seal)
    return Loops(resources.database, resources.clock, text_delivery, hand_over, catch_up)


async def _run_arq(resources: Resources) -> None:
    assert resources.settings.redis_url
    redis_settings = RedisSettings.from_dsn(resources.settings.redis_url)
    redis_settings.conn_retries = 0
    while True:
        worker = Worker(
            functions=[sweeps.prune],
            cron_jobs=[cron(sweeps.prune, minute={7, 37}, run_at_startup=True)],
            queue_name=ARQ_QUEUE,
            redis_settings=redis_settings,
            handle_signals=False,
            keep_result=0,
            poll_delay=1.0,
            job_completion_wait=10,
            job_serializer=lambda job: json.dumps(job).encode(),
            job_deserializer=json.loads,
            ctx={"database": resources.database, "settings": resources.settings},
        )
        try:
            await worker.async_run()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("arq lost redis", error=type(error).__name__)
        finally:
            await _close_arq(worker)
        await asyncio.sleep(ARQ_RESTART_SECONDS)


async def _close_arq(worker: Worker) -> None:
    try:
        await worker.close()
    except (RedisError, OSError, TimeoutError):
        pass  # it is gone already

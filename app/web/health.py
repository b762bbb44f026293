"""Liveness and readiness of the process, for load balancers and supervisors."""

import asyncio
from typing import Literal

import structlog
from fastapi import APIRouter, Request

from app.domain.problems import Unavailable
from app.resources import Resources
from app.store import readiness
from app.store.clock import RedisState
from app.store.standby import StandbyState
from app.web.dependencies import AppResources
from app.web.envelope import Answer, Out
from app.web.state import get_state

DATABASE_SECONDS = 1.9
"""`/health/ready` must answer within two seconds. It is longer than the store waits for a silent
connection, so that the store learns of the silence from these questions, too."""
router = APIRouter(tags=["Health"])
log = structlog.get_logger("health")


class Alive(Out):
    status: Literal["alive"] = "alive"


class Ready(Out):
    status: Literal["ready"] = "ready"
    database: Literal["ok"] = "ok"
    redis: RedisState
    """`degraded`: it takes no writes, so turns and texts are up to a second late, as without it."""
    standby: StandbyState | None
    """Of `DATABASE_REPLICA_URL`. Not `ok`: figures are read from the primary. Null: none is set."""


@router.get("/health/live", summary="The process answers")
async def check_liveness() -> Answer[Alive]:
    return Answer(data=Alive())


@router.get("/health/ready", summary="The process can take work; it can without Redis, too")
async def check_readiness(request: Request, resources: AppResources) -> Answer[Ready]:
    if get_state(request.app).is_leaving:
        raise Unavailable("Not ready.", details=["process: is stopping"])
    fault, redis, standby = await asyncio.gather(
        find_database_fault(resources), resources.clock.find_state(), resources.lagging_reads.find_condition()
    )
    if fault:
        raise Unavailable("Not ready.", details=[f"database: {fault}"])
    return Answer(data=Ready(redis=redis, standby=standby.state))


async def find_database_fault(resources: Resources) -> str | None:
    """Why this process should get no work; None: it can work."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS), resources.database.system_tx() as tx:
            return None if await readiness.is_migrated(tx) else "migrations are not at head"
    except Exception as error:  # whatever the cause, this process should get no work
        log.warning("not ready", error=type(error).__name__)
        return "is away, or cannot be written to"

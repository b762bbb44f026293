"""Whether the process lives and may be given work, and what it counts."""

import asyncio
from hmac import compare_digest
from typing import Literal

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.domain.problems import Unauthorized, Unavailable
from app.resources import Resources
from app.store import readiness
from app.web.doors import Held
from app.web.envelope import Answer, Out

PATIENCE = 1.5
"""An answer is promised within two seconds."""
router = APIRouter(tags=["health"])
log = structlog.get_logger("health")


class Alive(Out):
    status: Literal["alive"] = "alive"


class Ready(Out):
    status: Literal["ready"] = "ready"
    database: Literal["ok"] = "ok"
    redis: Literal["ok", "away"]


@router.get("/health/live", summary="The process answers")
async def live() -> Answer[Alive]:
    return Answer(data=Alive())


@router.get("/health/ready", summary="The service can take work; without Redis it still can")
async def ready(resources: Held) -> Answer[Ready]:
    fault, redis = await asyncio.gather(_fault(resources), resources.clock.answers())
    if fault:
        raise Unavailable("Not ready.", details=[f"database: {fault}"])
    return Answer(data=Ready(redis="ok" if redis else "away"))


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, resources: Held) -> Response:
    settings = resources.settings
    if settings.production:
        token = settings.metrics_token.get_secret_value() if settings.metrics_token else ""
        given = request.headers.get("authorization", "")
        if not token or not compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise Unauthorized("A bearer token is required.")
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _fault(resources: Resources) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE), resources.database.system() as tx:
            return None if await readiness.migrated(tx) else "migrations are not at head"
    except Exception as error:  # whatever it is, this process should get no work
        log.warning("not ready", error=type(error).__name__)
        return "is away or cannot write"

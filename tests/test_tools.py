"""The processes as the tools beneath them start them: uvicorn's and arq's own commands."""

import asyncio
import re
import signal
import sysconfig
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.demo import http_clients
from app.embedded.processes import find_free_port
from app.settings import Settings
from tests.makers import Tenant
from tests.processes import finish
from tests.test_cli import started_program
from tests.world import World, agent, carrier, idle_world, until

__all__ = ["agent", "carrier", "idle_world"]
LOOPBACK = {"ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"}
SETTINGS = "app.worker.WorkerSettings"
FACTORY = ("--factory", "app.main:create_app")
UVICORN, ARQ = (str(Path(sysconfig.get_path("scripts")) / name) for name in ("uvicorn", "arq"))


@asynccontextmanager
async def running(configuration: Settings, *arguments: str, **env: str) -> AsyncIterator[Process]:
    """A program that is asked to end, or made to."""
    process = await started_program(configuration, *arguments, **env)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def stopped(process: Process) -> str:
    """What it wrote, after it ended by SIGTERM."""
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 15)
    assert "Traceback" not in err.decode(), err.decode()
    return err.decode()


async def is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health/ready")).is_success
    except httpx.TransportError:
        return False


async def test_uvicorn_serves_the_factory_and_stops_though_somebody_listens(
    configuration: Settings, tenant: Tenant
) -> None:
    port = find_free_port()
    async with (
        running(configuration, UVICORN, *FACTORY, "--port", str(port)) as process,
        http_clients.build_client(base_url=f"http://127.0.0.1:{port}", timeout=15) as http,
    ):
        await until(lambda: is_ready(http))
        theirs = Tenant(tenant.tenant_id, tenant.key, http)
        lead = await theirs.lead(firstName="Not to be logged")
        await theirs.call("GET", f"/leads/{lead['leadId']}")
        await theirs.call("GET", "/leads?search=Not")
        listening = asyncio.create_task(theirs.call("GET", "/events?wait=25"))
        await asyncio.sleep(0.5)
        told = await stopped(process)
        await listening
    assert "Application shutdown complete" in told
    assert "route=/api/v1/leads/{lead_id}" in told
    for secret in ("Not to be logged", tenant.key, lead["leadId"], "search"):
        assert secret not in told


@pytest.mark.parametrize(
    ("arguments", "env"),
    [((UVICORN, *FACTORY), {}), ((ARQ, SETTINGS), {"REDIS_URL": "given"})],
)
async def test_what_cannot_start_says_which_variables_are_missing(
    configuration: Settings, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    given = {name: str(configuration.redis_url) for name in env}
    process = await started_program(None, *arguments, **given)
    _, err = await finish(process)
    assert process.returncode != 0
    assert re.search(r"DATABASE_URL( and REDIS_URL)? must be set", err)


async def test_arq_delivers_is_healthy_and_ends_cleanly(configuration: Settings, idle_world: World) -> None:
    async def check() -> bool:
        checking = await started_program(configuration, ARQ, "--check", SETTINGS)
        await finish(checking)
        return checking.returncode == 0

    assert not await check()
    async with running(configuration, ARQ, SETTINGS, PUBLIC_BASE_URL=configuration.base_url, **LOOPBACK) as process:
        sent = await idle_world.send()
        await idle_world.status_is(sent["messageId"], "delivered")
        await until(check)
        assert "worker stopped" in await stopped(process)
        assert process.returncode == 0
    assert not await check()

"""What a worker answers to those who watch it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from app.demo import http_clients
from app.embedded.processes import find_free_port
from app.resources import Resources
from app.settings import ConfigurationError, Settings
from app.store.pools import connect
from app.web.worker_door import open_door
from tests.relay import relay_database


def guard_door(resources: Resources) -> Resources:
    """As in production, on a free port."""
    changes = {"environment": "production", "metrics_port": find_free_port(), "metrics_token": SecretStr("a token")}
    return replace(resources, settings=resources.settings.model_copy(update=changes))


@pytest.fixture
async def door(resources: Resources) -> AsyncIterator[httpx.AsyncClient]:
    guarded = guard_door(resources)
    base = f"http://{guarded.settings.host}:{guarded.settings.metrics_port}"
    async with open_door(guarded), http_clients.build_client(base_url=base, timeout=5) as http:
        yield http


async def test_a_worker_says_that_it_lives_and_is_ready(door: httpx.AsyncClient) -> None:
    for path, word in (("/health/live", "alive"), ("/health/ready", "ready")):
        answer = await door.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": word})
    assert (await door.get("/else")).status_code == 404
    assert (await door.post("/health/live")).status_code == 405


async def test_its_metrics_need_the_token(door: httpx.AsyncClient) -> None:
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "a token"}):
        assert (await door.get("/metrics", headers=header)).status_code == 401
    answer = await door.get("/metrics", headers={"Authorization": "Bearer a token"})
    assert answer.status_code == 200
    assert "# TYPE leadsail_attempts_total counter" in answer.text


async def test_a_worker_whose_database_is_away_is_not_ready_and_lives(
    configuration: Settings, resources: Resources
) -> None:
    async with relay_database(configuration) as (wire, behind_wire):
        database = await connect(str(behind_wire.database_url), resources.clock)
        guarded = replace(guard_door(resources), database=database)
        base = f"http://{guarded.settings.host}:{guarded.settings.metrics_port}"
        async with open_door(guarded), http_clients.build_client(base_url=base, timeout=5) as http:
            wire.cut()
            assert (await http.get("/health/ready")).status_code == 503
            assert (await http.get("/health/live")).status_code == 200
        wire.restore()
        await database.close()


async def test_what_is_no_request_is_refused_and_harms_nobody(door: httpx.AsyncClient) -> None:
    for sent in (b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x" * 20_000 + b"\r\n\r\n"):
        reader, writer = await asyncio.open_connection(door.base_url.host, door.base_url.port)
        writer.write(sent)
        assert not (await reader.read()).startswith(b"HTTP/1.1 2")
        writer.close()
    assert (await door.get("/health/live")).status_code == 200


async def test_a_port_that_is_taken_is_told(door: httpx.AsyncClient, resources: Resources) -> None:
    settings = resources.settings.model_copy(update={"metrics_port": door.base_url.port})
    with pytest.raises(ConfigurationError, match="METRICS_PORT: cannot listen"):
        async with open_door(replace(resources, settings=settings)):
            pass


async def test_the_images_probe_finds_whichever_process_there_is(door: httpx.AsyncClient) -> None:
    nobody = str(find_free_port())
    for port, metrics_port, status in (
        (nobody, str(door.base_url.port), 0),
        (str(door.base_url.port), "", 0),
        (nobody, "", 1),
    ):
        env = {"PORT": port, "METRICS_PORT": metrics_port}
        probing = [sys.executable, "-m", "app.operations.probe"]
        done = await asyncio.to_thread(subprocess.run, probing, env=env, check=False, timeout=20)
        assert done.returncode == status, env

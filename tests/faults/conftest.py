"""Workers as processes of their own, to be killed for real."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from app.settings import Settings
from tests.world import agent, carrier, idle_world

__all__ = ["agent", "carrier", "idle_world"]

Spawn = Callable[[], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def spawn(configuration: Settings) -> AsyncIterator[Spawn]:
    """Starts `python -m app worker` on the test's servers; ended at the latest with the test."""
    started: list[asyncio.subprocess.Process] = []
    assert configuration.database_url
    assert configuration.redis_url
    assert configuration.secret_keys
    env = dict(os.environ) | {
        "DATABASE_URL": configuration.database_url,
        "REDIS_URL": configuration.redis_url,
        "SECRET_KEYS": configuration.secret_keys.get_secret_value(),
        "PUBLIC_BASE_URL": configuration.base_url,
        "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8,::1/128",
        "LOG_LEVEL": "WARNING",
    }

    async def start() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "worker", env=env
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()

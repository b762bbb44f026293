"""Workers as processes of their own, to be killed for real."""

import asyncio
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from app.settings import Settings


class Spawn(Protocol):
    """Starts a worker whose clock goes so many seconds before ours."""

    def __call__(self, skew: float = 0) -> Awaitable[asyncio.subprocess.Process]: ...


def command(word: str, skew: float) -> tuple[str, ...]:
    """`python -m app WORD`, with that clock."""
    module = ("tests.faults.skewed", str(skew)) if skew else ("app",)
    return (sys.executable, "-m", *module, word)


@dataclass(slots=True)
class Crew:
    """Workers, of which one after the other is killed, frozen or relieved."""

    spawn: Spawn
    rng: random.Random
    members: list[asyncio.subprocess.Process] = field(default_factory=list)
    killed_at: list[float] = field(default_factory=list)
    """Epoch seconds."""
    skews: Iterator[float] = field(default_factory=lambda: itertools.repeat(0.0))
    """Of the clocks of those who come."""

    async def join(self) -> None:
        self.members.append(await self.spawn(next(self.skews)))

    async def start(self, count: int) -> None:
        for _ in range(count):
            await self.join()

    async def kill_oldest(self) -> None:
        """The one that is surely at work by now: others may still be starting."""
        victim = self.members.pop(0)
        victim.kill()
        self.killed_at.append(time.time())
        await victim.wait()
        await self.join()

    async def relieve_one(self) -> asyncio.subprocess.Process:
        """The oldest, which is asked to stop (SIGTERM) when another has come."""
        await self.join()
        oldest = self.members.pop(0)
        assert oldest.returncode is None, f"it had ended with {oldest.returncode}"
        oldest.send_signal(signal.SIGTERM)
        return oldest

    async def suffer(self, shortest: float, longest: float) -> None:
        """Kills one at a time, for ever, so many seconds apart."""
        while True:
            await asyncio.sleep(self.rng.uniform(shortest, longest))
            await self.kill_oldest()


@pytest.fixture
def rng() -> random.Random:
    """Of a seed that is printed; FAULTS_SEED plays a run again."""
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(2**32))
    print(f"FAULTS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def crew(spawn: Spawn, rng: random.Random) -> Crew:
    """Nobody yet; `spawn` ends them all."""
    return Crew(spawn, rng)


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

    async def start(skew: float = 0) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(*command("worker", skew), env=env)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()

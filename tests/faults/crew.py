"""Workers as processes that tests really kill."""

import asyncio
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from app.settings import Settings
from tests import forks
from tests.forks import Fork

Member = asyncio.subprocess.Process | Fork


class Spawn(Protocol):
    """Starts a worker whose clock is `skew` seconds ahead of ours."""

    def __call__(self, skew: float = 0) -> Awaitable[Member]: ...


async def start_process(word: str, skew: float, env: Mapping[str, str], out: int = 1, err: int = 2) -> Member:
    """Starts `python -m app WORD` with a clock that is `skew` seconds ahead."""
    if skew:  # the clock is moved before the service is imported
        command = (sys.executable, "-m", "tests.faults.skewed", str(skew), word)
        return await asyncio.create_subprocess_exec(*command, env=env, stdout=out, stderr=err)
    return await forks.start([word], env, out, err)


@dataclass(slots=True)
class Crew:
    """Workers that are killed, frozen or replaced one after the other."""

    spawn: Spawn
    rng: random.Random
    members: list[Member] = field(default_factory=list)
    killed_at: list[float] = field(default_factory=list)
    """Epoch seconds."""
    skews: Iterator[float] = field(default_factory=lambda: itertools.repeat(0.0))
    """The clock skews of the workers that start, in turn."""

    async def join(self) -> None:
        self.members.append(await self.spawn(next(self.skews)))

    async def start(self, count: int) -> None:
        for _ in range(count):
            await self.join()

    async def kill_oldest(self) -> None:
        """Kills the oldest worker: a newer one may still be starting."""
        victim = self.members.pop(0)
        victim.kill()
        self.killed_at.append(time.time())
        await victim.wait()
        await self.join()

    async def relieve_one(self) -> Member:
        """Starts a worker, then stops the oldest one (SIGTERM)."""
        await self.join()
        oldest = self.members.pop(0)
        assert oldest.returncode is None, f"it had ended with {oldest.returncode}"
        oldest.send_signal(signal.SIGTERM)
        return oldest

    async def suffer(self, shortest: float, longest: float) -> None:
        """Kills one worker at a time, for ever, with pauses of `shortest` to `longest` seconds."""
        while True:
            await asyncio.sleep(self.rng.uniform(shortest, longest))
            await self.kill_oldest()


@pytest.fixture
def rng() -> random.Random:
    """A random generator whose seed is printed; FAULTS_SEED repeats a run."""
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(2**32))
    print(f"FAULTS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def crew(spawn: Spawn, rng: random.Random) -> Crew:
    """A crew without workers; `spawn` ends all of them."""
    return Crew(spawn, rng)


@pytest.fixture
async def spawn(configuration: Settings) -> AsyncIterator[Spawn]:
    """Starts `python -m app worker` on the test's servers; the processes end with the test."""
    started: list[Member] = []
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

    async def start(skew: float = 0) -> Member:
        process = await start_process("worker", skew, env)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()

"""Processes that tests start: none is waited for without an end."""

import asyncio
from asyncio.subprocess import Process

from tests.forks import Fork

RUN_SECONDS = 150.0
"""How long a command may take where many tests run at once; less than one test may."""
END_SECONDS = 60.0
"""How long a process may take to end after it was asked to: a worker finishes what it has begun."""


async def finish(process: Process, typed: bytes | None = None, seconds: float = RUN_SECONDS) -> tuple[str, str]:
    """What the process writes until it ends, to stdout and to stderr. Fails if it does not end."""
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(typed)
    except TimeoutError:
        await _kill(process)
        raise AssertionError(f"process {process.pid} ran for {seconds} s, and had to be killed") from None
    return (out or b"").decode(), (err or b"").decode()


async def end(process: Process | Fork) -> int:
    """Asks the process to end, unless it has; returns its status. Fails if it does not end."""
    if process.returncode is None:
        process.terminate()
    return await wait_until_ended(process)


async def wait_until_ended(process: Process | Fork, seconds: float = END_SECONDS) -> int:
    """The status of a process that was asked to end, or ends by itself. Fails if it does not end."""
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        await _kill(process)
        raise AssertionError(f"process {process.pid} did not end in {seconds} s, and had to be killed") from None


async def _kill(process: Process | Fork) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()

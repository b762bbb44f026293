"""The memory of a web process and a worker during three minutes of sends and inbound texts."""

import asyncio
from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path
from statistics import mean

from tests.bench import inbound, sends, servers
from tests.bench.figures import Figure
from tests.bench.load import drive
from tests.bench.servers import Bench

SECONDS = 180
SLICE = 5.0
MOST_MB = 250


def _mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no memory is told")


async def _texts(port: int, seconds: float, leads: Iterator[servers.Lead], n: Iterator[int]) -> None:
    for _ in range(int(seconds / SLICE)):
        await drive([port], inbound.posts(leads, n), 2, SLICE)


async def _watch(pids: list[int], seconds: int) -> list[list[float]]:
    seen: list[list[float]] = [[] for _ in pids]
    for _ in range(seconds):
        await asyncio.sleep(1)
        for pid, values in zip(pids, seen, strict=True):
            values.append(_mb(pid))
    return seen


async def soak(bench: Bench) -> list[Figure]:
    """Sends with 8 in flight and inbound texts with 2, as fast as possible, beside a worker."""
    port = servers.free_port()
    environment = servers.environment(bench) | {"PORT": str(port)}
    async with bench.system() as connection:
        await connection.execute("DELETE FROM outbox")
        await connection.execute("DELETE FROM turns")
    with (
        servers.started(["-m", "app", "web"], **environment) as web,
        servers.started(["-m", "app", "worker"], **servers.environment(bench)) as worker,
    ):
        servers.wait(port, web)
        leads, numbers = cycle(bench.leads), count(1 << 64)
        watched, *_ = await asyncio.gather(
            _watch([web.pid, worker.pid], SECONDS),
            drive([port], sends.requests(bench.leads), 8, SECONDS),
            _texts(port, SECONDS, leads, numbers),
        )
    figures = []
    for name, values in zip(("web", "worker"), watched, strict=True):
        first, last = mean(values[:60]), mean(values[-60:])
        told = f"first minute {first:.0f}, last {last:.0f}, most {max(values):.0f} MB"
        figures += [
            Figure(f"memory of {name}, 3 minutes", told, "last minute to first", last / first,
                   1.1, "less"),
            Figure(f"memory of {name}: most", told, "MB", max(values), MOST_MB, "less"),
        ]  # fmt: skip
    return figures

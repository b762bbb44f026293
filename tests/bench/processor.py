"""Processor time of the service's processes, of PostgreSQL and of Valkey, from `/proc`.

The generator, the sink and the references are left out. Only what this process started is seen: of
servers that `DATABASE_URL` or `REDIS_URL` names, nothing.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

from tests.bench.figures import Figure

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SERVERS = {
    **{"postgres": "PostgreSQL", "valkey-server": "Valkey", "redis-server": "Valkey"},
    **{"bearerbox": "bearerbox", "smsbox": "smsbox", "jasmind.py": "jasmind", "beam.smp": "RabbitMQ"},
}
"""By the name of the program."""
PARTS = ("web", "worker", "PostgreSQL", "Valkey")
YARDSTICK = "bare"
"""The reference without I/O: what one request of it costs says how fast the machine is just now."""


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """Seconds of processor time by part."""

    seconds: dict[str, float]

    @classmethod
    def read(cls) -> Self:
        """Reads what each part has used until now."""
        seconds = dict.fromkeys((*PARTS, *SERVERS.values(), YARDSTICK), 0.0)
        for pid, used in _read_descendants(os.getpid()):
            if part := _find_part(pid):
                seconds[part] += used
        return cls(seconds)

    def since(self, before: "ProcessTimes") -> dict[str, float]:
        return {part: used - before.seconds[part] for part, used in self.seconds.items()}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a number of items took, in seconds by part."""

    items: int
    seconds: dict[str, float]

    def per_item(self, part: str) -> float:
        """Milliseconds."""
        return self.seconds[part] * 1000 / self.items


def cost_figure(
    name: str, item: str, costs: Sequence[Cost], goal: float | None = None, parts: Sequence[str] = PARTS
) -> Figure:
    """The row that says what one item costs: the medians of the rounds. What else runs does not count."""
    totals = [sum(map(cost.per_item, parts)) for cost in costs]
    medians = {part: median(cost.per_item(part) for cost in costs) for part in parts}
    by_part = ", ".join(f"{part} {value:.2f}" for part, value in medians.items() if value >= 0.005)
    value = f"{median(totals):.2f} ({min(totals):.2f}-{max(totals):.2f}) ms"
    return Figure(f"{name}: processor", value, f"a {item}: {by_part}", median(totals), goal, "less")


def yardstick_figure(costs: Sequence[Cost]) -> Figure:
    """The row that says what a request of the reference costs."""
    values = [cost.per_item(YARDSTICK) for cost in costs]
    return Figure("bare, 64 in flight: processor", f"{median(values):.2f} ms", "a request, no I/O", median(values))


@dataclass(frozen=True, slots=True)
class MachineTimes:
    """Seconds of all processors: in use, taken by the machine's host, and of this process with all it started."""

    busy: float
    stolen: float
    ours: float

    @classmethod
    def read(cls) -> Self:
        user, nice, system, _, _, irq, softirq, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
        ours = sum(os.times()[:4]) + sum(used for _, used in _read_descendants(os.getpid()))
        return cls((user + nice + system + irq + softirq) / TICKS_PER_SECOND, stolen / TICKS_PER_SECOND, ours)

    def describe_since(self, seconds: float) -> dict[str, float]:
        """What others have taken of all processors since then, in per cent: a bench that had company says so."""
        now, all_seconds = self.read(), seconds * (os.cpu_count() or 1)
        others = now.busy - self.busy - (now.ours - self.ours)
        return {
            "others_percent": round(max(others, 0.0) / all_seconds * 100, 1),
            "stolen_percent": round((now.stolen - self.stolen) / all_seconds * 100, 1),
        }


def _read_descendants(ancestor: int) -> Iterator[tuple[int, float]]:
    """Each process below `ancestor`, with its seconds and those of its ended children."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            columns = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(columns[1])
            used[int(folder.name)] = sum(map(int, columns[11:15])) / TICKS_PER_SECOND
    for pid in parents:
        above = parents[pid]
        while above in parents and above != ancestor:
            above = parents[above]
        if above == ancestor:
            yield pid, used[pid]


def _find_part(pid: int) -> str | None:
    """The part that the process belongs to; None: it does not count."""
    with suppress(OSError):
        if part := SERVERS.get(Path(f"/proc/{pid}/comm").read_text().strip()):
            return part
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if arguments[1:3] == [b"-m", b"app"] and (part := arguments[3].decode()) in PARTS:
            return part
        if arguments[1:3] == [b"-m", f"tests.bench.{YARDSTICK}".encode()]:
            return YARDSTICK
    return None

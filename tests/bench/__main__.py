"""`make bench`, `make bench ONLY=send`: measures, prints a table and writes JSON, of which `python -m
tests.bench.results` makes the table of RESULTS.md. `ONLY=gates` measures what each gate costs, and `ONLY=peers` other
gateways beside ours; a whole run leaves both out."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import deliveries, events, gates, handovers, inbound, judging, peers, sends, servers, soak
from tests.bench.figures import Figure
from tests.bench.processor import MachineTimes
from tests.bench.servers import Bench

OUTPUT = Path("tests/output/bench.json")
BENCHMARKS: dict[str, Callable[[Bench], Coroutine[Any, Any, list[Figure]]]] = {
    "send": sends.send,
    "two": sends.two,
    "bulk": sends.bulk,
    "inbound": inbound.inbound,
    "receipts": inbound.receipts,
    "deliver": deliveries.deliver,
    "turns": handovers.turns,
    "events": events.events,
    "transcript": handovers.transcript,
    "soak": soak.soak,
    "judging": judging.judging,
    "gates": gates.gates,
    "peers": peers.peers,
}
BY_NAME_ONLY = frozenset({"gates", "peers"})
"""Left out of a whole run, which would otherwise take more than a quarter of an hour."""


def machine() -> dict[str, object]:
    """A description of the machine."""
    model = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.split(": ")[1] for x in lines if x.startswith("model name")), "")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "system": platform.platform(), "python": platform.python_version(), "processor": model,
        "cores": os.cpu_count(), "load_before": os.getloadavg()[0], "commit": commit,
    }  # fmt: skip


def main(asked: list[str]) -> int:
    if unknown := set(asked) - BENCHMARKS.keys():
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    with servers.servers() as made:
        sink = servers.free_port()
        run, leads = uvloop.run(servers.seed(made.database_url, sink))
        bench = dataclasses.replace(made, run=run, leads=leads)
        with servers.process(["-m", "tests.bench.sink"], sink):
            for name in asked or [name for name in BENCHMARKS if name not in BY_NAME_ONLY]:
                with recorded(OUTPUT, name) as figures:
                    figures += uvloop.run(BENCHMARKS[name](bench))
    print(f"{time.monotonic() - began:.0f} s; written to {OUTPUT}")
    return 0


@contextmanager
def recorded(to: Path, name: str) -> Iterator[list[Figure]]:
    """Prints the figures of one benchmark and keeps them in the file, in place of those of its last run, with what
    the machine did meanwhile."""
    about, before, began = machine(), MachineTimes.read(), time.monotonic()
    figures: list[Figure] = []
    yield figures
    company = before.describe_since(time.monotonic() - began)
    for figure in figures:
        print(figure.line(), flush=True)
    print(f"{'':<44} others {company['others_percent']} % of the processors, stolen {company['stolen_percent']} %")
    to.parent.mkdir(exist_ok=True)
    report = json.loads(to.read_text()) if to.exists() else {}
    report[name] = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": about | company,
        "figures": [dataclasses.asdict(figure) | {"verdict": figure.verdict} for figure in figures],
    }
    to.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

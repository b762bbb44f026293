"""`make bench`, `make bench ONLY=send`: measures, prints a table, writes JSON and Markdown. `ONLY=gates`
measures what each gate costs, and `ONLY=peers` other gateways beside ours; a whole run leaves both out."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import deliveries, events, gates, handovers, inbound, judging, peers, sends, servers, soak
from tests.bench.figures import Figure
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
    about = machine()
    figures: list[Figure] = []
    began = time.monotonic()
    with servers.servers() as made:
        sink = servers.free_port()
        run, leads = uvloop.run(servers.seed(made.database_url, sink))
        bench = dataclasses.replace(made, run=run, leads=leads)
        with servers.process(["-m", "tests.bench.sink"], sink):
            for name in asked or [name for name in BENCHMARKS if name not in BY_NAME_ONLY]:
                measured = uvloop.run(BENCHMARKS[name](bench))
                for figure in measured:
                    print(figure.line(), flush=True)
                figures += measured
    write(OUTPUT, about, figures)
    print(f"{time.monotonic() - began:.0f} s; written to {OUTPUT}")
    return 0


def write(to: Path, about: dict[str, object], figures: list[Figure]) -> None:
    """Writes the figures and the machine's description as JSON, and beside it the rows of RESULTS.md."""
    to.parent.mkdir(exist_ok=True)
    rows = [dataclasses.asdict(f) | {"verdict": f.verdict} for f in figures]
    report = {"at": datetime.now(UTC).isoformat(), "machine": about, "figures": rows}
    to.write_text(json.dumps(report, indent=1) + "\n")
    to.with_suffix(".md").write_text("".join(f"{figure.row()}\n" for figure in figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

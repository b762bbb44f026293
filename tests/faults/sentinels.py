"""A Redis with a replica, and three Sentinels that watch them. Valkey's server is a Sentinel, too."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.embedded import sites
from app.embedded.processes import answers_on, die_with_parent, find_free_port, wait_until
from app.embedded.valkey import find_server

SERVICE = "texts"
NOTICED_WITHIN_MS = 500
"""A server that is silent for this long is taken for dead."""
STARTS_WITHIN = 20.0


@dataclass(slots=True)
class Watched:
    """The processes by their ports: master, replica, Sentinels."""

    ports: list[int]
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def master(self) -> int:
        return self.ports[0]

    @property
    def replica(self) -> int:
        return self.ports[1]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports[2:])
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def freeze(self, port: int) -> None:
        os.kill(self.processes[port].pid, signal.SIGSTOP)

    def wake(self, port: int) -> None:
        os.kill(self.processes[port].pid, signal.SIGCONT)


@pytest.fixture
def watched() -> Iterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="leadsail-") as made, contextlib.ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o755)
        site = sites.make_site(folder, "valkey")
        server = str(find_server(site))
        servers = Watched([find_free_port() for _ in range(5)])
        for place, port in enumerate(servers.ports):
            config = site.folder / f"{port}.conf"
            site.write_file(config, f"bind 127.0.0.1\nport {port}\n" + _configure(servers, place))
            process = subprocess.Popen(
                [server, str(config), *(["--sentinel"] if place > 1 else [])],
                cwd=site.folder, env=site.env, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent,
                **site.identity,
            )  # fmt: skip
            servers.processes[port] = process
            stack.callback(_kill, process)
        assert wait_until(lambda: all(map(answers_on, servers.ports)), STARTS_WITHIN)
        yield servers


def _configure(servers: Watched, place: int) -> str:
    if place < 2:
        return "save ''\nrepl-diskless-sync-delay 0\n" + (
            f"replicaof 127.0.0.1 {servers.master}\n" if place == 1 else ""
        )
    return (
        f"sentinel monitor {SERVICE} 127.0.0.1 {servers.master} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} {NOTICED_WITHIN_MS}\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()

"""A PostgreSQL with a synchronous standby, as operators set them up; each of them can be frozen."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import embedded
from app.embedded import sites
from app.embedded.postgres import (
    ROLE,
    SERVER_SETTINGS,
    UNSAFE_SETTINGS,
    _execute_statements,
    _make_cluster,
    _run_tool,
    find_tools,
)
from app.embedded.supervisor import Recipe, serve_site
from app.operations.migrations import migrate_to_head
from tests.faults.island import pid_of, port_of

QUICK = {name: value for name, value in UNSAFE_SETTINGS.items() if name != "synchronous_commit"}
"""No machine crashes here. But commits must wait for the standby."""


@dataclass(slots=True)
class Pair:
    """Both servers, and the tools of the standby."""

    primary: embedded.Server
    standby: embedded.Server
    primary_cluster: Path
    standby_site: sites.Site
    tools: Path

    @property
    def url(self) -> str:
        """The primary first."""
        return self.primary.url.replace(f":{port_of(self.primary)}/", f":{port_of(self.primary)},{self.standby_host}/")

    @property
    def standby_host(self) -> str:
        return f"127.0.0.1:{port_of(self.standby)}"

    def freeze_primary(self) -> None:
        """Freezes it with all its backends: it accepts connections and never answers."""
        _signal_family(self.primary, signal.SIGSTOP)

    def freeze_standby(self) -> None:
        """Freezes it in the same way. The primary then waits for it no more."""
        _configure(self.primary_cluster, synchronous_standby_names="")
        os.kill(pid_of(self.primary), signal.SIGHUP)
        _signal_family(self.standby, signal.SIGSTOP)

    def pause_replay(self) -> None:
        """The standby takes what the primary writes, and shows nothing of it: its replaying process is frozen."""
        [pid] = [pid for pid in _list_family(pid_of(self.standby)) if b"startup" in _read_title(pid)]
        os.kill(pid, signal.SIGSTOP)

    def wake_standby(self) -> None:
        _signal_family(self.standby, signal.SIGCONT)

    def promote_standby(self) -> None:
        """Returns when the standby is the primary."""
        cluster = self.standby_site.folder / "cluster"
        _run_tool(self.standby_site, [str(self.tools / "pg_ctl"), "promote", "-w", "-D", str(cluster)])


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A migrated primary that waits with each commit for its standby."""
    with tempfile.TemporaryDirectory(prefix="leadsail-") as made, contextlib.ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o755)  # the servers' own account must reach its folder below
        site = sites.make_site(folder, "postgres")
        tools = find_tools(site)
        cluster = site.folder / "cluster"
        _make_cluster(site, tools, cluster)
        _execute_statements(site, tools, cluster, f"ALTER ROLE {ROLE} REPLICATION")
        _configure(cluster, **QUICK)
        primary = stack.enter_context(embedded.serve_postgres(folder))
        aside = stack.enter_context(ThreadPoolExecutor(1))  # this thread's event loop is the tests'
        aside.submit(migrate_to_head, primary.url).result()
        standby_site = sites.make_site(folder, "standby")
        standby = stack.enter_context(_serve_standby(site, standby_site, tools, primary))
        _configure(cluster, synchronous_standby_names="*")
        os.kill(pid_of(primary), signal.SIGHUP)
        try:
            yield Pair(primary, standby, cluster, standby_site, tools)
        finally:
            for server in (primary, standby):
                with contextlib.suppress(OSError):
                    _signal_family(server, signal.SIGKILL)  # a frozen one hears nothing else


def _read_title(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _signal_family(server: embedded.Server, signal_number: int) -> None:
    for pid in _list_family(pid_of(server)):
        os.kill(pid, signal_number)


def _list_family(pid: int) -> list[int]:
    """The process and its children, each of which has a process group of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def _configure(cluster: Path, **settings: str) -> None:
    with (cluster / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())


def _serve_standby(
    site: sites.Site, standby_site: sites.Site, tools: Path, primary: embedded.Server
) -> embedded.Server:
    cluster = standby_site.folder / "cluster"
    _run_tool(
        standby_site,
        [str(tools / "pg_basebackup"), "-D", str(cluster), "-R", "-X", "stream", "-c", "fast", "-d", primary.url],
    )

    def prepare_command(port: int) -> list[str]:
        options = [f"--{name}={value}" for name, value in SERVER_SETTINGS.items()]
        return [str(tools / "postgres"), "-D", str(cluster), "-p", str(port), *options]

    def is_ready(pid: int, port: int) -> bool:
        try:
            lines = (cluster / "postmaster.pid").read_text().splitlines()
            return [lines[0], lines[3], lines[7].strip()] == [str(pid), str(port), "ready"]
        except (OSError, IndexError):
            return False

    def build_url(port: int) -> str:
        return f"postgresql://{ROLE}:{site.get_password()}@127.0.0.1:{port}/{ROLE}"

    return serve_site(standby_site, Recipe(prepare_command, build_url, is_ready, signal.SIGINT))


async def freeze_and_promote(pair: Pair, frozen_for: float) -> None:
    pair.freeze_primary()
    await asyncio.sleep(frozen_for)
    await asyncio.to_thread(pair.promote_standby)

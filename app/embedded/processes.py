"""Processes and ports: whether they live, and how processes end."""

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

STOP_SECONDS = 15.0
QUIET_PORTS = range(20_000, 32_000)
PR_SET_PDEATHSIG = 1
# Looked up here, because nothing may be loaded between fork and exec.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_process(process: subprocess.Popen[bytes], stop_with: signal.Signals) -> None:
    """Asks the process to stop, and kills it after `STOP_SECONDS`."""
    process.send_signal(stop_with)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ends_with_parent() -> bool:
    """Whether `die_with_parent` does anything on this platform."""
    return _prctl is not None


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """For `preexec_fn`: makes the kernel send this process the signal `number` when the thread
    that started it ends. It must run after the change of user, which would clear that. Linux only;
    elsewhere it does nothing."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, int(number))


def find_free_port() -> int:
    """A free port below those that systems give to outgoing connections: none takes it before it is used."""
    while True:
        port = secrets.choice(QUIET_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
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


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

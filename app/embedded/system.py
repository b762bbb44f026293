"""The servers that the system itself has: used where the wheels are not installed, or not for this platform."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

OLDEST_POSTGRES, OLDEST_REDIS = (15,), (6, 2)
POSTGRES_FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
"""Debian's, Red Hat's and Homebrew's; below the root."""
POSTGRES_TOOLS = ("initdb", "postgres")
REDIS_SERVERS = ("valkey-server", "redis-server")
VERSION = re.compile(r"(?:PostgreSQL\) |v=)(\d+(?:\.\d+)*)")


def find_postgres(root: Path = Path("/")) -> Path | None:
    """The folder with the newest PostgreSQL's tools, named `bin`; None if there is none that serves us."""
    folders = {folder.resolve() for folder in _list_postgres_folders(root)}
    complete_folders = [folder for folder in folders if all((folder / tool).is_file() for tool in POSTGRES_TOOLS)]
    versions = {folder: _ask_version(folder / "postgres") for folder in complete_folders if folder.name == "bin"}
    return max(
        (f for f, version in versions.items() if version >= OLDEST_POSTGRES), key=versions.__getitem__, default=None
    )


def _list_postgres_folders(root: Path) -> Iterator[Path]:
    if config := shutil.which("pg_config"):
        yield Path(_run(config, "--bindir").strip())
    if server := shutil.which("postgres"):
        yield Path(os.path.realpath(server)).parent
    for pattern in POSTGRES_FOLDERS:
        yield from root.glob(pattern)


def find_redis() -> Path | None:
    """The server of Valkey or Redis; None if there is none that serves us."""
    for name in REDIS_SERVERS:
        server = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin:/opt/homebrew/bin")
        if server and _ask_version(Path(server)) >= OLDEST_REDIS:
            return Path(server)
    return None


def _ask_version(program: Path) -> tuple[int, ...]:
    version_match = VERSION.search(_run(str(program), "--version"))
    return tuple(map(int, version_match[1].split("."))) if version_match else ()


def _run(program: str, argument: str) -> str:
    try:
        process = subprocess.run(  # noqa: S603
            [program, argument], capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout

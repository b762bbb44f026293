"""Behind PgBouncer: the doctor tells it, and what it breaks."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from app.embedded.processes import find_free_port
from app.settings import Settings
from tests.processes import end
from tests.test_operators import doctor

POOLER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
VERSION = subprocess.run([POOLER, "--version"], capture_output=True, text=True, check=False).stdout if POOLER else ""
KEEPS_STATEMENTS = tuple(map(int, re.findall(r"\d+", VERSION)[:2])) >= (1, 24)
"""Also without `max_prepared_statements`, which older ones do not know."""
SETTINGS = "role,jit,enable_seqscan,plan_cache_mode,idle_in_transaction_session_timeout,lock_timeout,extra_float_digits"
SETTINGS_ARE_LOST = "BAD   database: the pooler before PostgreSQL drops the settings of a session"
STATEMENTS_ARE_LOST = "BAD   database: a pooler before PostgreSQL loses prepared statements"
pytestmark = pytest.mark.skipif(not POOLER or os.geteuid() != 0, reason="pgbouncer is not installed, or not for us")


@pytest.fixture
async def pooled_url(request: pytest.FixtureRequest, configuration: Settings, tmp_path: Path) -> AsyncIterator[str]:
    """The database of the tests, through a pool that ignores what it is asked to set."""
    server, port = make_url(str(configuration.database_url)), find_free_port()
    (tmp_path / "users.txt").write_text(f'"{server.username}" "{server.password}"\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.host} port={server.port} dbname={server.database}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\npool_mode = {request.param}\nunix_socket_dir =\n"
        f"auth_type = plain\nauth_file = {tmp_path}/users.txt\nignore_startup_parameters = {SETTINGS}\n"
    )
    for place in (*tmp_path.parents, tmp_path):
        if place.is_relative_to("/tmp/"):
            place.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        str(POOLER), "-q", "-u", "nobody", str(tmp_path / "pgbouncer.ini"), stderr=asyncio.subprocess.DEVNULL
    )
    url = server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    await (await asyncpg.connect(url)).close()
                    break
                await asyncio.sleep(0.1)
        yield url
    finally:
        await end(process)


@pytest.mark.parametrize(
    ("pooled_url", "finding"),
    [
        ("session", SETTINGS_ARE_LOST),
        ("transaction", SETTINGS_ARE_LOST if KEEPS_STATEMENTS else STATEMENTS_ARE_LOST),
    ],
    indirect=["pooled_url"],
    ids=["session", "transaction"],
)
async def test_the_doctor_tells_a_pooler_that_drops_what_a_session_has(
    configuration: Settings, pooled_url: str, finding: str
) -> None:
    _, out = await doctor(configuration.model_copy(update={"database_url": pooled_url}), "--offline")
    assert finding in out, out

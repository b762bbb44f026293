"""Whether the database can serve: what is asked of it must not be refused where it could."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app import embedded
from app.embedded import sites
from app.embedded.postgres import ROLE, _execute_statements, find_tools
from app.operations.migrations import migrate_to_head
from app.store import readiness
from app.store.clock import Clock
from app.store.pools import connect

LIMIT = f"ALTER ROLE {ROLE} SET temp_file_limit = '100kB'"


@pytest.fixture
def limited_url() -> Iterator[str]:
    """A migrated database whose role may make no temporary files to speak of."""
    with tempfile.TemporaryDirectory(prefix="leadsail-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the server's own account must reach its folder below
        with (
            embedded.serve_postgres(folder, durable=False) as server,
            ThreadPoolExecutor(1) as aside,  # this thread's loop is the tests'
        ):
            aside.submit(migrate_to_head, server.url).result()
        site = sites.make_site(folder, "postgres")
        tools = find_tools(site)
        _execute_statements(site, tools, site.folder / "cluster", LIMIT)
        with embedded.serve_postgres(folder, durable=False) as server:
            yield server.url


async def test_a_role_that_may_make_no_files_is_ready_all_the_same(limited_url: str) -> None:
    clock = Clock("redis://127.0.0.1:1")
    database = await connect(limited_url, clock, pool_size=1)
    try:
        async with database.system_tx() as tx:
            assert await readiness.is_migrated(tx)
        async with database.system_tx() as tx:  # on the same connection, as it was before
            assert await tx.fetch_value("SHOW work_mem") != "64kB"
    finally:
        await database.close()
        await clock.close()

"""A process is frozen in the middle of a large result: nobody takes the rest, and nothing breaks the connection."""

import asyncio
import signal
import sys
import time

import asyncpg
import pytest

from app.embedded import processes
from app.settings import Settings
from app.store.pools import ABANDONED_TX_TIMEOUT
from tests.makers import Tenant
from tests.world import until

READER = """
import asyncio, sys
from app.store.clock import Clock
from app.store.pools import connect

async def main(database_url, redis_url, tenant_id):
    database = await connect(database_url, Clock(redis_url))
    async with database.system_tx() as tx:
        await tx.fetch_rows("SELECT FROM tenants WHERE tenant_id = $1 FOR UPDATE", tenant_id)
        await tx.fetch_rows("SELECT repeat('x', 1000000) AS much FROM generate_series(1, 1000)")

asyncio.run(main(*sys.argv[1:]))
"""
WAITS_SQL = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%AS much FROM%' AND wait_event = 'ClientWrite'"
LOCK_SQL = "SELECT FROM tenants WHERE tenant_id = $1 FOR UPDATE"


@pytest.mark.long
async def test_who_is_frozen_while_it_reads_frees_its_locks(configuration: Settings, tenant: Tenant) -> None:
    urls = str(configuration.database_url), str(configuration.redis_url)
    watcher = await asyncpg.connect(urls[0])
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, *urls, tenant.tenant_id, preexec_fn=processes.die_with_parent
    )

    async def waits() -> bool:
        return bool(await watcher.fetchval(WAITS_SQL))

    try:
        await until(waits)
        reader.send_signal(signal.SIGSTOP)
        frozen_at = time.monotonic()
        await watcher.execute("SET ROLE app_system")
        await watcher.fetch(LOCK_SQL, tenant.tenant_id, timeout=30)
        assert time.monotonic() - frozen_at < int(ABANDONED_TX_TIMEOUT.removesuffix("s")) + 5
    finally:
        reader.kill()
        await reader.wait()
        await watcher.close()

"""A reader that is sent away leaves no transaction behind in the pool."""

import asyncio

from app.resources import Resources
from tests.makers import Tenant


async def test_whoever_is_cancelled_while_beginning_leaves_no_open_transaction(
    resources: Resources, tenant: Tenant
) -> None:
    async def look() -> None:
        async with resources.database.read_tx(tenant.tenant_id) as read:
            await read.fetch_value("SELECT 1")

    for steps in range(200):
        looking = asyncio.create_task(look())
        for _ in range(steps % 20):
            await asyncio.sleep(0)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        async with resources.database.system_tx() as tx:
            assert await tx.fetch_value("SHOW transaction_read_only") == "off", f"after {steps % 20}"

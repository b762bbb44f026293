"""What a process does before it serves."""

import asyncio

import pytest

from app.domain.problems import Unavailable
from app.resources import open_resources
from app.settings import Settings
from app.store.dialling import CONNECT_SECONDS
from tests.relay import relay_database


async def test_a_process_waits_at_its_start_for_a_database_that_is_slow(
    configuration: Settings,
) -> None:
    async with relay_database(configuration) as (wire, behind_wire):
        wire.freeze()
        asyncio.get_running_loop().call_later(CONNECT_SECONDS * 1.5, wire.restore)
        async with (
            open_resources(behind_wire, 2) as held,
            held.database.system_tx() as tx,
        ):
            assert await tx.fetch_value("SELECT 1") == 1


async def test_a_process_does_not_wait_for_a_database_that_refuses(
    configuration: Settings,
) -> None:
    async with relay_database(configuration) as (wire, behind_wire):
        wire.cut()
        with pytest.raises(Unavailable):
            async with (
                asyncio.timeout(CONNECT_SECONDS),
                open_resources(behind_wire, 2),
            ):
                pass

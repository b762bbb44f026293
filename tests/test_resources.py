"""What a process does before it serves."""

import asyncio

import pytest
from sqlalchemy.engine import make_url

from app.domain.problems import Unavailable
from app.resources import open_resources
from app.settings import Settings
from app.store.pools import CONNECT_SECONDS
from tests.relay import Relay


def by(configuration: Settings, port: int) -> Settings:
    """The same, with its database behind a relay."""
    url = make_url(str(configuration.database_url)).set(host="127.0.0.1", port=port)
    return configuration.model_copy(update={"database_url": url.render_as_string(hide_password=False)})


def relay(configuration: Settings) -> Relay:
    url = make_url(str(configuration.database_url))
    return Relay(url.host or "127.0.0.1", url.port or 5432)


async def test_a_process_waits_at_its_start_for_a_database_that_is_slow(
    configuration: Settings,
) -> None:
    async with relay(configuration).running() as wire:
        wire.freeze()
        asyncio.get_running_loop().call_later(CONNECT_SECONDS * 1.5, wire.restore)
        async with (
            open_resources(by(configuration, wire.port), 2) as held,
            held.database.system_tx() as tx,
        ):
            assert await tx.fetch_value("SELECT 1") == 1


async def test_a_process_does_not_wait_for_a_database_that_refuses(
    configuration: Settings,
) -> None:
    async with relay(configuration).running() as wire:
        wire.cut()
        with pytest.raises(Unavailable):
            async with (
                asyncio.timeout(CONNECT_SECONDS),
                open_resources(by(configuration, wire.port), 2),
            ):
                pass

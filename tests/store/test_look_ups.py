"""A look-up runs alone, without a transaction around it."""

import asyncio
from collections.abc import Iterable

import asyncpg
import pytest

from app.domain.problems import Unauthorized, Unavailable
from app.resources import Resources
from app.settings import Settings
from app.store import pools
from app.store.engine import Database, ReadTx

END_SQL = "SELECT pg_terminate_backend($1, 5000)"
WHO_SQL = "SELECT pg_backend_pid()"


async def find_backend(read: ReadTx) -> int:
    return int(await read.fetch_value(WHO_SQL))


async def end_backends(configuration: Settings, backends: Iterable[int]) -> None:
    connection = await asyncpg.connect(configuration.database_url)
    for backend in backends:
        assert await connection.fetchval(END_SQL, backend)
    await connection.close()


async def connect(configuration: Settings, resources: Resources) -> Database:
    assert configuration.database_url
    return await pools.connect(str(configuration.database_url), resources.clock, pool_size=2)


async def test_connections_that_died_in_the_pool_are_replaced(configuration: Settings, resources: Resources) -> None:
    database = await connect(configuration, resources)
    try:
        backends = await asyncio.gather(*(database.look_up(find_backend) for _ in range(2)))
        await end_backends(configuration, set(backends))
        assert await database.look_up(find_backend) not in backends
    finally:
        await database.close()


async def test_what_the_look_up_raises_is_raised_and_its_connection_goes_on(
    configuration: Settings, resources: Resources
) -> None:
    async def refuse(read: ReadTx) -> int:
        backends.append(await find_backend(read))
        raise Unauthorized

    backends: list[int] = []
    database = await connect(configuration, resources)
    try:
        with pytest.raises(Unauthorized):
            await database.look_up(refuse)
        assert [await database.look_up(find_backend)] == backends
    finally:
        await database.close()


async def test_a_statement_that_is_never_answered_is_refused_within_two_seconds(
    configuration: Settings, resources: Resources
) -> None:
    async def wait_for_ever(read: ReadTx) -> object:
        backends.append(await find_backend(read))
        return await read.fetch_row("SELECT pg_sleep(20)")

    backends: list[int] = []
    database = await connect(configuration, resources)
    try:
        async with asyncio.timeout(4):
            with pytest.raises(Unavailable):
                await database.look_up(wait_for_ever)
    finally:
        await database.close()
        await end_backends(configuration, backends)


@pytest.mark.parametrize(("busy_seconds", "is_silent"), [(0, True), (1.4, False)], ids=["at once", "after a wait"])
async def test_only_a_server_that_had_time_to_answer_counts_as_silent(
    configuration: Settings, resources: Resources, busy_seconds: float, is_silent: bool
) -> None:
    """Who waited for a connection has little time left for the server: the other connections stay."""

    async def read_slowly(read: ReadTx) -> object:
        return await read.fetch_row("SELECT pg_sleep(5)")

    async def hold(seconds: float) -> int:
        async with database.system_tx() as tx:
            backend = await find_backend(tx)
            await asyncio.sleep(seconds)
            return backend

    database = await connect(configuration, resources)
    try:
        holding = [asyncio.create_task(hold(seconds)) for seconds in (busy_seconds, 2)]
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable):
            await database.look_up(read_slowly)
        backend = await holding[1]
        backends = await asyncio.gather(*(hold(0.1) for _ in range(2)))
        assert (backend not in backends) is is_silent
    finally:
        await database.close()


async def test_a_server_that_ends_every_connection_is_not_asked_for_ever(
    configuration: Settings, resources: Resources
) -> None:
    async def die(read: ReadTx) -> object:
        await end_backends(configuration, [await find_backend(read)])
        return await find_backend(read)

    database = await connect(configuration, resources)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await database.look_up(die)
    finally:
        await database.close()

"""Several hosts in DATABASE_URL: whatever the others do, the one that takes writes is found."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from app.domain.problems import Unavailable
from app.resources import open_database
from app.settings import Settings
from app.store.dialling import CONNECT_SECONDS, dial, list_driver_urls
from tests.relay import relay_database, served_bytes

SSL_REQUEST = 80_877_103


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@a/db", ["postgresql://u:p@a/db"]),
        ("postgresql+asyncpg://u:p%40q@a:5433/db?sslmode=require", ["postgresql://u:p%40q@a:5433/db?sslmode=require"]),
        ("postgres://u:p@a,b:5433/db", ["postgresql://u:p@a/db", "postgresql://u:p@b:5433/db"]),
        ("postgresql://u:p@[::1]:5433,[fd00::2]/db?sslmode=require",
         ["postgresql://u:p@[::1]:5433/db?sslmode=require", "postgresql://u:p@[fd00::2]/db?sslmode=require"]),
        ("postgresql://a:1,b:2", ["postgresql://a:1", "postgresql://b:2"]),
        ("postgresql://u:p@/db?host=a:1,b&sslmode=require",
         ["postgresql://u:p@a:1/db?sslmode=require", "postgresql://u:p@b/db?sslmode=require"]),
        ("postgresql://u:p@/db?host=a&host=[::1]:7&port=6", ["postgresql://u:p@a:6/db", "postgresql://u:p@[::1]:7/db"]),
        ("postgresql://u@/db?host=a,b&port=1,2", ["postgresql://u@a:1/db", "postgresql://u@b:2/db"]),
        ("postgresql://u@/db?host=/run/pg", ["postgresql://u@/db?host=%2Frun%2Fpg"]),
        ("postgresql://u@/db?host=/run/pg,b", ["postgresql://u@/db?host=%2Frun%2Fpg", "postgresql://u@b/db"]),
    ],
)  # fmt: skip
def test_each_host_of_the_url_gets_a_url_of_its_own(url: str, expected: list[str]) -> None:
    assert list_driver_urls(url) == expected


@pytest.mark.parametrize("url", ["postgresql://a:x,b/db", "postgresql:///db?host=a,b,c&port=1,2", "elsewhere"])
def test_a_url_that_names_no_hosts_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list_driver_urls(url)


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def refusal(sqlstate: str) -> bytes:
    return message(b"E", f"SFATAL\0VFATAL\0C{sqlstate}\0Mno\0\0".encode())


STANDBY = (
    message(b"R", struct.pack("!i", 0))
    + message(b"S", b"server_version\x0018.1\0")
    + message(b"S", b"in_hot_standby\0on\0")
    + message(b"Z", b"I")
)
SAYINGS = {
    "starting": refusal("57P03"),
    "shutting down": refusal("57P01"),
    "crashed": refusal("57P02"),
    "full": refusal("53300"),
    "standby": STANDBY,
    "gibberish": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "hangs up": b"",
}
OTHERS = ["refuses", "silent", *SAYINGS]


@contextlib.asynccontextmanager
async def host(behaviour: str) -> AsyncIterator[str]:
    """The address of a server that is no primary."""
    if behaviour == "refuses":
        yield "127.0.0.1:1"
        return

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while behaviour == "silent":
                await reader.readexactly(1)
            length, code = struct.unpack("!ii", await reader.readexactly(8))
            if code == SSL_REQUEST:
                writer.write(b"N")
                length, code = struct.unpack("!ii", await reader.readexactly(8))
            await reader.readexactly(length - 8)
            writer.write(SAYINGS[behaviour])
            await writer.drain()
            if behaviour == "standby":
                await reader.read()
        writer.close()

    async with served_bytes(talk) as address:
        yield address


def naming(url: str, *hosts: str) -> str:
    """The same URL with these hosts; "" is its own."""
    parsed = make_url(url)
    own = f"{parsed.host}:{parsed.port or 5432}"
    return f"postgresql://{parsed.username}:{parsed.password}@{','.join(h or own for h in hosts)}/{parsed.database}"


@pytest.mark.parametrize("behaviour", OTHERS)
async def test_the_primary_is_found_whatever_a_host_before_it_does(database_url: str, behaviour: str) -> None:
    async with host(behaviour) as other:
        connection = await asyncio.wait_for(dial(naming(database_url, other, "")), CONNECT_SECONDS)
        assert await connection.fetchval("SELECT current_setting('transaction_read_only')") == "off"
        await connection.close()


async def test_commands_find_the_primary_among_all_of_them(database_url: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        others = [await stack.enter_async_context(host(behaviour)) for behaviour in OTHERS]
        url = naming(database_url, *others, "")
        async with open_database(url) as database, database.system_tx() as tx:
            assert await tx.fetch_value("SELECT current_setting('transaction_read_only')") == "off"


@pytest.mark.parametrize(
    ("behaviours", "error"),
    [
        (["refuses", "standby"], asyncpg.InternalClientError),
        (["standby", "silent"], TimeoutError),
        (["full", "starting"], asyncpg.PostgresError),
    ],
    ids=["standby", "silent", "full"],
)
async def test_without_a_primary_the_failure_says_so_within_the_time_of_one_host(
    database_url: str, behaviours: list[str], error: type[Exception]
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        url = naming(database_url, *[await stack.enter_async_context(host(one)) for one in behaviours])
        with pytest.raises(error):
            await asyncio.wait_for(dial(url), CONNECT_SECONDS * 1.8)
        with pytest.raises(Unavailable):
            async with open_database(url):
                pass


async def test_one_silent_connection_is_enough_to_leave_a_frozen_host(configuration: Settings) -> None:
    async with relay_database(configuration) as (old, _), relay_database(configuration) as (new, _):
        url = naming(str(configuration.database_url), f"127.0.0.1:{old.port}", f"127.0.0.1:{new.port}")
        new.cut()
        async with open_database(url) as database:
            async with database.system_tx(), database.system_tx():
                pass  # both connections of the pool are open now
            old.freeze()
            new.restore()
            with pytest.raises(Unavailable):
                async with database.system_tx():
                    pass
            async with asyncio.timeout(1), database.system_tx(), database.system_tx() as tx:
                assert await tx.fetch_value("SELECT 1") == 1

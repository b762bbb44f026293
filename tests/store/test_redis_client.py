"""The addresses of Redis, and whom Sentinels are believed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import redis.asyncio
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from app import settings
from app.settings import ConfigurationError
from app.store.redis_client import SentinelAddress, close_client, end_tasks, open_client, read_sentinel_url
from app.worker import read_redis_settings
from tests.relay import served_bytes


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:6379/0", None),
        ("rediss://h", None),
        ("redis+sentinel://a:1,b:2/texts/3",
         SentinelAddress((("a", 1), ("b", 2)), "texts", 3, False, None, None, None, None)),
        ("redis+sentinel://a,[::1]:7,[::2]/texts",
         SentinelAddress((("a", 26379), ("::1", 7), ("::2", 26379)), "texts", 0, False, None, None, None, None)),
        ("rediss+sentinel://u:p%40q@a/texts/0?sentinelUser=s&sentinelPassword=t%2Fu",
         SentinelAddress((("a", 26379),), "texts", 0, True, "u", "p@q", "s", "t/u")),
        ("redis+sentinel://:p@a/texts/0", SentinelAddress((("a", 26379),), "texts", 0, False, None, "p", None, None)),
    ],
)  # fmt: skip
def test_an_address_of_sentinels_is_read(url: str, expected: SentinelAddress | None) -> None:
    assert read_sentinel_url(url) == expected


@pytest.mark.parametrize(
    "url",
    ["redis+sentinel://a:1", "redis+sentinel://a:1/", "redis+sentinel://a:x/texts", "redis+sentinel://a,,b/texts",
     "redis+sentinel://a/texts/x", "redis+sentinel://a/texts?no=1"],
)  # fmt: skip
def test_a_wrong_address_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^REDIS_URL must be redis\+sentinel://"):
        settings.load(redis_url=url)


def test_arqs_own_command_line_reads_the_same_address() -> None:
    read = read_redis_settings("redis+sentinel://u:p@a:1,b/texts/3")
    assert (read.host, read.sentinel, read.sentinel_master) == ([("a", 1), ("b", 26379)], True, "texts")
    assert (read.database, read.username, read.password) == (3, "u", "p")
    assert read_redis_settings("redis://h:1/2").host == "h"


@contextlib.asynccontextmanager
async def sentinel(master: int, epoch: int, flags: str = "master") -> AsyncIterator[str]:
    """The address of a Sentinel that says that this port is the master; `flags` "": it says nothing."""
    said = {"name": "texts", "ip": "127.0.0.1", "port": str(master), "flags": flags, "config-epoch": str(epoch),
            "num-other-sentinels": "2"}  # fmt: skip
    words = [word for pair in said.items() for word in pair]
    answer = f"*1\r\n*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                if flags:
                    asks = data.upper().count(b"MASTERS")
                    writer.write(b"+OK\r\n" * data.upper().count(b"SETINFO") + answer.encode() * asks)
        writer.close()

    async with served_bytes(talk) as address:
        yield address


async def find_master(*sentinels: contextlib.AbstractAsyncContextManager[str]) -> int:
    """The port that the client would call."""
    async with contextlib.AsyncExitStack() as stack:
        hosts = ",".join([await stack.enter_async_context(one) for one in sentinels])
        client = open_client(f"redis+sentinel://{hosts}/texts/0", redis.asyncio.Redis)
        stack.push_async_callback(close_client, client)
        pool = client.connection_pool
        assert isinstance(pool, SentinelConnectionPool)
        async with asyncio.timeout(0.5):  # the library would wait for the silent one, and then again
            _, port = await pool.get_master_address()  # type: ignore[no-untyped-call]
        return int(port)


async def test_a_silent_sentinel_and_one_that_is_behind_do_not_matter() -> None:
    assert await find_master(sentinel(1, 1, ""), sentinel(7, 2), sentinel(7, 2)) == 7
    assert await find_master(sentinel(6, 1), sentinel(7, 2), sentinel(6, 1, "")) == 7


async def test_a_master_that_the_newest_configuration_takes_for_dead_is_not_called() -> None:
    with pytest.raises(RedisConnectionError, match="Sentinels know 'texts'"):
        await find_master(sentinel(6, 1, "master,o_down"), sentinel(6, 1, "master,s_down"), sentinel(6, 1, ""))


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        for _ in range(2):
            try:
                begun.set()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await begun.wait()
    async with asyncio.timeout(10):
        await end_tasks([task])
    assert task.cancelled()

"""The reference `client`: outbound HTTP alone, to the same sink. Do not change it.

python -m tests.bench.client wire|aiohttp|httpx PORT SECONDS     prints requests a second
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import aiohttp
import httpx
import uvloop

from app.domain.carriage import Account, OutgoingText
from app.providers import simulator
from app.wire.client import Wire

AT_ONCE = 100
Ask = Callable[[], Awaitable[int]]


def _request(port: int) -> httpx.Request:
    account = Account("org_bench", "acct_bench", "simulator", {"secret": "bench"},
                      f"http://127.0.0.1:{port}")  # fmt: skip
    text = OutgoingText(
        "msg_bench", "+14152000000", "+12122000000", "Hi, following up on your inquiry.", (),
        "http://bench.example/webhooks/simulator/acct_bench/status?message=msg_bench",
        timedelta(hours=4),
    )  # fmt: skip
    return simulator.build_send_request(account, text, datetime.now(UTC))


async def by_wire(port: int, seconds: float) -> float:
    """The service's own client, with a new request each time, as the adapters make them."""
    wire = Wire([ip_network("127.0.0.0/8")])

    async def ask() -> int:
        return (await wire.exchange(_request(port), 15.0)).status_code

    try:
        return await _loop(ask, seconds)
    finally:
        await wire.close()


async def by_aiohttp(port: int, seconds: float) -> float:
    """aiohttp alone, with the same bytes each time."""
    made = _request(port)
    headers = {name: made.headers[name] for name in ("authorization", "content-type")}
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:

        async def ask() -> int:
            async with session.post(str(made.url), data=made.content, headers=headers) as answer:
                await answer.read()
                return answer.status

        return await _loop(ask, seconds)


async def by_httpx(port: int, seconds: float) -> float:
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(trust_env=False, limits=limits) as http:

        async def ask() -> int:
            return (await http.send(_request(port))).status_code

        return await _loop(ask, seconds)


async def _loop(ask: Ask, seconds: float) -> float:
    done, began = 0, time.perf_counter()
    end = began + seconds

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < end:
            assert await ask() == 202
            done += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    carry = {"wire": by_wire, "aiohttp": by_aiohttp, "httpx": by_httpx}[sys.argv[1]]
    print(uvloop.run(carry(int(sys.argv[2]), float(sys.argv[3]))))

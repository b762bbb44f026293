"""HAProxy in front of two cells: each request comes to the cell of its key, those of moved tenants too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from app.access import keys
from app.demo import http_clients
from app.domain import ids
from app.embedded.processes import find_free_port
from tests.deploy.balancing import HAPROXY, balance_cells
from tests.world import until

MOVED = keys.make("east")
MOVED_ACCOUNT, MOVED_TENANT = ids.make("acct", "east"), ids.make("org")
MOVED_NAMES = (MOVED.prefix, MOVED_ACCOUNT, MOVED_TENANT)
TENANT = ids.make("org")
pytestmark = pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")


async def serve_cell(name: str, stack: AsyncExitStack) -> int:
    """A server that answers each request with the cell's name, and has one file; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        status = "404 Not Found" if path.startswith("/media/") and name not in path else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n{name}".encode())
        await writer.drain()
        writer.close()

    server = await stack.enter_async_context(await asyncio.start_server(answer, "127.0.0.1", 0))
    port: int = server.sockets[0].getsockname()[1]
    return port


@pytest.fixture
async def balancer(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with AsyncExitStack() as stack:
        port = find_free_port()
        cells = {name: f"127.0.0.1:{await serve_cell(name, stack)}" for name in ("east", "west")}
        await stack.enter_async_context(balance_cells(tmp_path, port, cells, MOVED_NAMES))
        yield await stack.enter_async_context(http_clients.build_client(base_url=f"http://127.0.0.1:{port}", timeout=5))


@pytest.fixture
async def ready(balancer: httpx.AsyncClient) -> httpx.AsyncClient:
    async def is_up() -> bool:
        try:
            answers = [
                await balancer.get(path)
                for path in ("/sign-in", "/sign-in?cell=west", "/media/east.png", "/media/west.png")
            ]
        except httpx.TransportError:
            return False
        return [answer.status_code for answer in answers] == [200] * 4

    await until(is_up, 10)
    balancer.cookies.clear()
    return balancer


async def test_each_key_comes_to_its_cell(ready: httpx.AsyncClient) -> None:
    for key, cell in (
        (keys.make("east").full_key, "east"),
        (keys.make("west").full_key, "west"),
        (keys.make().full_key, "east"),  # made before there were cells
        (MOVED.full_key, "west"),
        ("nonsense", "east"),  # which refuses it
    ):
        for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
            answer = await ready.get("/api/v1/leads", headers=headers)
            assert (answer.status_code, answer.text) == (200, cell), headers
    assert (await ready.get("/metrics")).status_code == 404


async def test_webhooks_come_to_the_cell_of_their_account_and_files_from_the_cell_that_has_them(
    ready: httpx.AsyncClient,
) -> None:
    for account_id, cell in (
        (ids.make("acct", "east"), "east"),
        (ids.make("acct", "west"), "west"),
        (ids.make("acct"), "east"),
        (MOVED_ACCOUNT, "west"),
    ):
        assert (await ready.post(f"/webhooks/twilio/{account_id}/inbound")).text == cell
    for cell in ("east", "west") * 3:
        answer = await ready.get(f"/media/{cell}.png")
        assert (answer.status_code, answer.text) == (200, cell)


async def test_people_come_to_the_cell_of_their_session_and_sign_in_where_they_were_asked_to(
    ready: httpx.AsyncClient,
) -> None:
    for name in ("session", "__Host-session"):
        for session, cell in (
            (f"east.{TENANT}.a-b_c.d", "east"),
            (f"west.{TENANT}.a-b_c.d", "west"),
            ("a-b_c.d", "east"),  # begun before there were cells
            (f"east.{MOVED_TENANT}.a.b", "west"),
        ):
            assert (await ready.get("/conversations", headers={"Cookie": f"{name}={session}"})).text == cell, session
    assert (await ready.get("/sign-in")).text == "east"
    asked = await ready.get("/sign-in?cell=west")
    assert (asked.text, asked.cookies["cell"]) == ("west", "west")
    assert (await ready.post("/sign-in")).text == "west"


async def test_an_old_session_of_another_cell_does_not_keep_anybody_from_signing_in(ready: httpx.AsyncClient) -> None:
    for name in ("session", "__Host-session"):
        for session in (f"east.{TENANT}.a-b_c.d", f"west.{MOVED_TENANT}.a.b", f"east.{MOVED_TENANT}.a.b"):
            for cell in ("east", "west"):
                old = {"Cookie": f"{name}={session}"}
                assert (await ready.get(f"/sign-in?cell={cell}", headers=old)).text == cell, session
                ready.cookies.clear()
                remembered = {"Cookie": f"{name}={session}; cell={cell}"}
                assert (await ready.post("/sign-in", headers=remembered)).text == cell, session
                session_cell = "west" if MOVED_TENANT in session else "east"
                assert (await ready.get("/conversations", headers=remembered)).text == session_cell, session
                assert (await ready.get("/sign-in", headers=old)).text == session_cell, session

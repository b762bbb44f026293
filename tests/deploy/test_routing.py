"""HAProxy in front of two cells: each request comes to the cell of its key, those of moved tenants too."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from app.access import keys
from app.demo import http_clients
from app.embedded.processes import find_free_port
from tests.world import until

FOLDER = Path(__file__).parents[2] / "deploy" / "haproxy"
HAPROXY = shutil.which("haproxy", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
MOVED = keys.make("east")
pytestmark = pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")


async def serve_cell(name: str, stack: AsyncExitStack) -> int:
    """A server that answers each request with the cell's name; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n{name}".encode())
        await writer.drain()
        writer.close()

    server = await stack.enter_async_context(await asyncio.start_server(answer, "127.0.0.1", 0))
    port: int = server.sockets[0].getsockname()[1]
    return port


@pytest.fixture
async def balancer(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The shipped file, with addresses of this machine."""
    async with AsyncExitStack() as stack:
        port, text = find_free_port(), (FOLDER / "cells.cfg").read_text()
        text = text.replace("bind :80\n", f"bind 127.0.0.1:{port}\n")
        for name, network in (("east", "10.1.0"), ("west", "10.2.0")):
            cell = await serve_cell(name, stack)
            for host in ("11", "12"):
                text = text.replace(f"{network}.{host}:8000", f"127.0.0.1:{cell}")
        (tmp_path / "haproxy.cfg").write_text(text)
        (tmp_path / "moved.map").write_text(f"{MOVED.prefix} west\n")
        process = await asyncio.create_subprocess_exec(
            str(HAPROXY), "-db", "-q", "-f", "haproxy.cfg", cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            async with http_clients.build_client(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:
                yield http
        finally:
            process.terminate()
            await process.wait()


async def test_each_key_comes_to_its_cell(balancer: httpx.AsyncClient) -> None:
    async def is_up() -> bool:
        try:
            return (await balancer.get("/api/v1/leads")).status_code == 200
        except httpx.TransportError:
            return False

    await until(is_up, 10)
    for key, cell in (
        (keys.make("east").full_key, "east"),
        (keys.make("west").full_key, "west"),
        (keys.make().full_key, "east"),  # made before there were cells
        (MOVED.full_key, "west"),
        ("nonsense", "east"),  # which refuses it
    ):
        answer = await balancer.get("/api/v1/leads", headers={"X-API-Key": key})
        assert (answer.status_code, answer.text) == (200, cell), key
    assert (await balancer.get("/metrics")).status_code == 404

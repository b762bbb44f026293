"""A load generator: prebuilt HTTP/1.1 requests on keep-alive connections, one at a time each.

Its own cost is in every figure, the references' too; ratios are what is read.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import quantiles


@dataclass(frozen=True, slots=True)
class Run:
    """What a few seconds of load came to."""

    per_second: float
    p50: float
    p99: float
    """Milliseconds."""
    refused: int


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) >= length and self._answer:
            self._buffer = b""
            self._answer.set_result(int(head[9:12]))

    async def ask(self, request: bytes) -> int:
        """Sends the request; the status of its answer."""
        assert self._transport
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport:
            self._transport.close()


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of a POST."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def drive(
    ports: Sequence[int], requests: Iterator[bytes], in_flight: int, seconds: float
) -> Run:
    """Sends the requests, one after the other, on `in_flight` connections spread over the ports,
    until the time or the requests are over."""
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(_Connection, "127.0.0.1", ports[i % len(ports)]))[1]
        for i in range(in_flight)
    ]
    times: list[float] = []
    refused = 0
    end = time.perf_counter() + seconds

    async def work(connection: _Connection) -> None:
        nonlocal refused
        while (began := time.perf_counter()) < end:
            request = next(requests, None)
            if request is None:
                return
            status = await connection.ask(request)
            times.append((time.perf_counter() - began) * 1000)
            refused += status >= 300

    began = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in connections))
    took = time.perf_counter() - began
    for connection in connections:
        connection.close()
    cuts = quantiles(times if len(times) > 1 else times * 2, n=100)
    return Run(len(times) / took, cuts[49], cuts[98], refused)

"""A load generator: prebuilt HTTP/1.1 requests on keep-alive connections, one request at a time on each.

Its own cost is in every figure, also in the references'; only ratios matter. To be cheap it reads
an answer in `data_received` and sends the next request from there.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from tests.bench.processor import Cost, ProcessTimes


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a few seconds of load."""

    per_second: float
    p50: float
    p99: float
    """Latencies in milliseconds."""
    refused: int
    cost: Cost


@dataclass(slots=True)
class _Load:
    """The state that all connections of a run share."""

    requests: Iterator[bytes]
    end: float
    times: list[float] = field(default_factory=list)
    refused: int = 0


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._began = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Set when the time or the requests are over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(ConnectionError("the server closed the connection"))

    def ask(self) -> None:
        """Sends the next request unless the time is over."""
        self._began = time.perf_counter()
        request = next(self._load.requests, None) if self._began < self._load.end else None
        if request is None:
            self.over.set_result(None)
            self._transport.close()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        _, has_length, rest = head.lower().partition(b"content-length:")
        if len(body) < int(rest.partition(b"\r\n")[0]) if has_length else not body.endswith(b"0\r\n\r\n"):
            return  # without a length it comes in chunks
        self._buffer = b""
        self._load.times.append((time.perf_counter() - self._began) * 1000)
        self._load.refused += int(head[9:12]) >= 300
        self.ask()


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of a POST."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def drive(ports: Sequence[int], requests: Iterator[bytes], in_flight: int, seconds: float) -> Run:
    """Sends the requests on `in_flight` connections spread over the ports, until the time or the
    requests are over."""
    loop = asyncio.get_running_loop()
    load = _Load(requests, time.perf_counter() + seconds)
    connections = [
        (await loop.create_connection(lambda: _Connection(load), "127.0.0.1", port))[1]
        for port in (ports[i % len(ports)] for i in range(in_flight))
    ]
    before = ProcessTimes.read()
    began = time.perf_counter()
    load.end = began + seconds
    for connection in connections:
        connection.ask()
    await asyncio.gather(*(connection.over for connection in connections))
    took = time.perf_counter() - began
    times, spent = load.times, ProcessTimes.read().since(before)
    cuts = quantiles(times if len(times) > 1 else times * 2, n=100)
    return Run(len(times) / took, cuts[49], cuts[98], load.refused, Cost(len(times), spent))

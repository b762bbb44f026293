"""A carrier and an agent in one: answers at once and records when requests came.

    POST /messages    a carrier that takes every text
    POST /agent       an agent that answers without a reply
    POST /events      a webhook endpoint; /turns says when each event came
    GET  /count       {"texts", "first", "last"}: how many texts, and when the first and last came
    GET  /health/live
    GET  /turns       {"turn id": when it came}
    POST /reset       forgets everything

Raw asyncio, because it must cost as little as possible.
"""

import asyncio
import json
import os
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

TEXT = b'{"id":"sim_%d"}'
texts = 0
first = last = 0.0
turns: dict[str, float] = {}


class Sink(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not a subclass
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        at = time.time()
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.split(b"\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
            length = int(headers.get(b"content-length", 0))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            path = urlsplit(lines[0].split(b" ")[1].decode()).path
            status, body = answer(path, headers, at)
            self._transport.write(
                b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % (status, len(body)) + body
            )  # fmt: skip


def answer(path: str, headers: dict[bytes, bytes], at: float) -> tuple[int, bytes]:
    global texts, first, last
    match path:
        case "/messages":
            texts += 1
            first, last = first or at, at
            return 202, TEXT % texts
        case "/agent":
            turns.setdefault(headers[b"webhook-id"].decode(), at)
            return 200, b"{}"
        case "/events":
            turns.setdefault(headers[b"webhook-id"].decode(), at)
        case "/count":
            return 200, json.dumps({"texts": texts, "first": first, "last": last}).encode()
        case "/turns":
            return 200, json.dumps(turns).encode()
        case "/reset":
            texts, first, last = 0, 0.0, 0.0
            turns.clear()
    return 200, b"{}"


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", int(os.environ["PORT"]))
    await server.serve_forever()


if __name__ == "__main__":
    try:
        uvloop.run(main())
    except KeyboardInterrupt:
        pass

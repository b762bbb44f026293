"""What a worker answers to those who watch it: its health, and its metrics.

On the worker's own event loop: one that hangs does not say that it lives. It is no door for the
public, and takes no more than GET.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, parse_headers

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.resources import Resources
from app.settings import ConfigurationError
from app.web.health import find_database_fault
from app.web.metrics import may_see_metrics

MAX_HEAD_BYTES, REQUEST_SECONDS = 16 * 1024, 5.0


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    status: HTTPStatus
    body: bytes
    media_type: str = "application/json"

    def encode(self) -> bytes:
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\nContent-Type: {self.media_type}\r\n"
            f"Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + self.body


@asynccontextmanager
async def open_door(resources: Resources) -> AsyncIterator[None]:
    """Inside the block, the worker answers on `METRICS_PORT`, if there is one. Raises
    `ConfigurationError`."""
    if not resources.settings.metrics_port:
        yield
        return

    async def answer_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                answer = await _answer(resources, await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer.encode())
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asks so slowly, or so much, hears nothing
        finally:
            writer.close()

    host, port = resources.settings.host, resources.settings.metrics_port
    try:
        server = await asyncio.start_server(answer_connection, host, port, limit=MAX_HEAD_BYTES)
    except OSError as error:
        raise ConfigurationError(f"METRICS_PORT: cannot listen on {host}:{port} ({error.strerror})") from None
    async with server:
        yield


async def _answer(resources: Resources, head: bytes) -> WorkerAnswer:
    request_line, _, header_lines = head.partition(b"\r\n")
    try:
        method, path, _ = request_line.decode("latin-1").split(" ")
        headers = parse_headers(io.BytesIO(header_lines))
    except (ValueError, HTTPException):
        return _answer_json(HTTPStatus.BAD_REQUEST, "not understood")
    if method != "GET":
        return _answer_json(HTTPStatus.METHOD_NOT_ALLOWED, "only GET")
    match path.partition("?")[0]:
        case "/health/live":
            return _answer_json(HTTPStatus.OK, "alive")
        case "/health/ready":
            fault = await find_database_fault(resources)
            if fault:
                return _answer_json(HTTPStatus.SERVICE_UNAVAILABLE, f"database: {fault}")
            return _answer_json(HTTPStatus.OK, "ready")
        case "/metrics" if may_see_metrics(resources.settings, headers.get("authorization", "")):
            return WorkerAnswer(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
        case "/metrics":
            return _answer_json(HTTPStatus.UNAUTHORIZED, "a bearer token is required")
    return _answer_json(HTTPStatus.NOT_FOUND, "unknown address")


def _answer_json(status: HTTPStatus, word: str) -> WorkerAnswer:
    return WorkerAnswer(status, json.dumps({"status": word}).encode())

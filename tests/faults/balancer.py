"""A load balancer in front of web processes. It knows of them only what /health/ready says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.demo import http_clients
from tests.world import served

LOOK_EVERY = 0.1
WAITS = 20.0
"""How long it waits for a backend's answer, in seconds: less than its clients wait (30)."""
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
HOP_BY_HOP = {"connection", "content-length", "host", "transfer-encoding", "keep-alive"}


@dataclass(slots=True)
class Balancer:
    """Sends each request once, to one of the backends that say they are ready. It never tries a
    second one: a backend that says it is ready must serve."""

    ready: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What happened to each request whose connection was refused or broken."""
    passed: dict[str, int] = field(default_factory=dict)
    """How many requests each backend answered."""
    url: str = ""
    _http: httpx.AsyncClient = field(
        default_factory=lambda: http_clients.build_client(
            timeout=WAITS,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=2.0),
        )
    )
    _turn: int = 0
    _looking: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def running(self, host: str = "127.0.0.1") -> AsyncIterator["Balancer"]:
        app = Starlette(routes=[Route("/{path:path}", self._pass, methods=METHODS)])
        async with served(app, host) as self.url, self._http:
            yield self
            looking = list(self._looking.values())
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)

    def add(self, backend: str) -> None:
        self._looking[backend] = asyncio.create_task(self._look(backend))

    def remove(self, backend: str) -> None:
        self._looking.pop(backend).cancel()

    async def _look(self, backend: str) -> None:
        try:
            async with http_clients.build_client(timeout=3) as http:
                while True:
                    if not await _says_ready(http, backend):
                        self._forget(backend)
                    elif backend not in self.ready:
                        self.ready.append(backend)
                    await asyncio.sleep(LOOK_EVERY)
        finally:
            self._forget(backend)

    def _forget(self, backend: str) -> None:
        if backend in self.ready:
            self.ready.remove(backend)

    async def _pass(self, request: Request) -> Response:
        if not self.ready:
            error = {"code": "UNAVAILABLE", "message": "Nobody is ready.", "details": []}
            return JSONResponse({"success": False, "error": error}, 503)
        self._turn += 1
        backend = self.ready[self._turn % len(self.ready)]
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        try:
            answer = await self._http.request(
                request.method, f"{backend}{path}", content=await request.body(),
                headers=[(k, v) for k, v in request.headers.items() if k not in HOP_BY_HOP],
            )  # fmt: skip
        except httpx.TransportError as error:
            self.broken.append(f"{request.method} {request.url.path}: {error!r}")
            return JSONResponse({}, 502)
        self.passed[backend] = self.passed.get(backend, 0) + 1
        headers = {k: v for k, v in answer.headers.items() if k not in HOP_BY_HOP}
        return Response(answer.content, answer.status_code, headers)


async def _says_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/health/ready")).status_code == 200
    except httpx.HTTPError:
        return False

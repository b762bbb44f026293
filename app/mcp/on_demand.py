"""MCP in any web process: the SDK is imported, and its server built, when the first assistant asks. A process
that none asks pays nothing for it."""

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.mcp.keys import find_key

if TYPE_CHECKING:
    from app.mcp.server import McpServer

PATH = "/mcp"


def is_installed() -> bool:
    """Whether the extra `mcp` is there."""
    return find_spec("mcp") is not None


class McpOnDemand:
    """Serves MCP by streamable HTTP, from its first request with a key on."""

    path = PATH
    """What stands in the log and in the metrics as the route."""

    def __init__(self, service: ASGIApp, version: str) -> None:
        self._service = service
        self._version = version
        self._task: asyncio.Task[None] | None = None
        self._server: asyncio.Future[McpServer] | None = None
        self._end_event = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        if scope["type"] == "http" and not find_key(Headers(scope=scope)):
            await _answer_without_key(scope, receive, send)
            return
        server = await self.open()
        await server.app({**scope}, receive, send)  # a copy, because the inner application writes itself into it

    async def open(self) -> "McpServer":
        """Starts the server, unless it is there. Raises what kept it from starting; the next call tries again."""
        if self._server is None or (self._server.done() and self._server.exception()):
            self._server = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._serve(self._server))
        return await asyncio.shield(self._server)  # others wait for it, too

    async def close(self) -> None:
        """Ends the server, if there is one."""
        self._end_event.set()
        if self._task:
            await self._task

    async def _serve(self, server: "asyncio.Future[McpServer]") -> None:
        """One task begins and ends the server, as the SDK demands."""
        try:
            built = await asyncio.to_thread(self._build_server)  # the imports take a second
            async with built.run_lifespan():
                server.set_result(built)
                await self._end_event.wait()
        except Exception as error:
            if server.done():
                raise  # at its end: `close` tells
            server.set_exception(error)

    def _build_server(self) -> "McpServer":
        from app.mcp.server import McpServer

        return McpServer(self._service, self._version, PATH)


async def _answer_without_key(scope: Scope, receive: Receive, send: Send) -> None:
    error = {"code": "UNAUTHORIZED", "message": "An API key is needed, as X-API-Key or bearer token.", "details": []}
    response = JSONResponse({"success": False, "error": error}, 401, {"WWW-Authenticate": "Bearer"})
    await response(scope, receive, send)

"""An answer's head and body leave in one write: each write is a system call, and wakes the client."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class JoinedWrites:
    """A transport that holds a write back until the next one, or until the event loop's next step. So no
    more than one part of an answer is ever held."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held:
            held, self._held = self._held, b""
            if not self._transport.is_closing():
                self._transport.writelines([held, data])
        elif data:
            self._held = data
            self._loop.call_soon(self._release_if_open)

    def close(self) -> None:
        self._release()
        self._transport.close()

    def _release_if_open(self) -> None:
        """On a connection that was lost meanwhile nothing can be written."""
        if self._transport.is_closing():
            self._held = b""
        self._release()

    def _release(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class JoinedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport)))

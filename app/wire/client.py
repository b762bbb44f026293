"""Send a request, read the answer, and say honestly what is known when it fails."""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import httpx
from yarl import URL

from app.wire.guard import Network, permitted

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

CAP = 65_536
CONNECT_SECONDS = 5.0
PER_HOST = 100
HOP_BY_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding"})
UNDONE = frozenset({b"content-encoding", b"transfer-encoding"})
"""Left out of the answer: its body is given as it came, and whole."""


class NotSent(Exception):
    """Surely nothing reached the other side."""


class Late(NotSent):
    """By the time it could begin, it was no longer to."""


class Lost(Exception):
    """It may have reached the other side; nobody knows."""


class Forbidden(OSError):
    """The dial would have reached an address that outbound calls may not."""


@dataclass(slots=True)
class _Going:
    """One exchange, as its connection needs to know it."""

    begin_by: float | None
    begun: bool = False
    """The other side may have the request."""


_going: ContextVar[_Going] = ContextVar("going")


class Wire:
    """One per process. `allowed`: private networks that may be reached all the same."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = allowed
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self,
        request: httpx.Request,
        deadline: float,
        cap: int = CAP,
        begin_by: float | None = None,
    ) -> httpx.Response:
        """The answer to `request`, its body read up to `cap` bytes (then
        `extensions["truncated"]`), within `deadline` seconds in all. Raises `NotSent`, `Lost`,
        and `Late` when no connection was there `begin_by` (of `time.monotonic`)."""
        if request.url.scheme not in ("http", "https") or request.url.userinfo:
            raise NotSent("only plain http and https addresses are called")
        if begin_by is not None and time.monotonic() > begin_by:
            raise Late("it was late before it could dial")
        going = _Going(begin_by)
        _going.set(going)
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(request, cap)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise (Lost if going.begun else NotSent)(_said(error)) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, request: httpx.Request, cap: int) -> httpx.Response:
        async with self._opened().request(
            request.method,
            URL(str(request.url), encoded=True),  # quoted anew, a signed address would break
            headers=[(k, v) for k, v in request.headers.items() if k not in HOP_BY_HOP],
            data=request.content or None,
            allow_redirects=False,
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_chunked(16_384):
                body += chunk
                if len(body) > cap:
                    answer.close()
                    break
            return httpx.Response(
                answer.status,
                headers=[(k, v) for k, v in answer.raw_headers if k.lower() not in UNDONE],
                content=bytes(body[:cap]),
                request=request,
                extensions={"truncated": len(body) > cap},
            )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=0, limit_per_host=PER_HOST, socket_factory=self._socket),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                headers={"Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _socket(self, about: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = about
        if not permitted(str(address[0]), self._allowed):
            raise Forbidden("the address is not a public one")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


class _Connector(aiohttp.TCPConnector):
    """Marks the moment from which the other side may have the request. Here and not by aiohttp's
    traces, which cost a tenth of an exchange and come too late to stop it."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list["Trace"],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the name is aiohttp's
    ) -> "Connection":
        connection = await super().connect(req, traces, timeout)
        going = _going.get()
        if going.begin_by is not None and time.monotonic() > going.begin_by:
            connection.release()  # good for the next one
            raise Late("no connection was free, or made, in time")
        going.begun = True
        return connection


def _said(error: BaseException) -> str:
    """In plain words, without the inner addresses of a failed dial."""
    if isinstance(error, ValueError):
        return "the address or a header is not valid"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name could not be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "the TLS certificate or handshake failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        return str(inner) if isinstance(inner, Forbidden) else "the connection was refused"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "the connection took too long"
    if isinstance(error, TimeoutError):
        return "no answer within the deadline"
    return "the connection broke before the answer was complete"

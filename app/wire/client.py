"""Send a request, read the answer, and say honestly what is known when it fails."""

import asyncio
import socket
from collections.abc import Sequence
from types import SimpleNamespace

import aiohttp
import httpx
from yarl import URL

from app.wire.guard import Network, permitted

CAP = 65_536
CONNECT_SECONDS = 5.0
PER_HOST = 100
HOP_BY_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding"})
UNDONE = frozenset({b"content-encoding", b"transfer-encoding"})
"""Left out of the answer: its body is given as it came, and whole."""


class NotSent(Exception):
    """Surely nothing reached the other side."""


class Lost(Exception):
    """It may have reached the other side; nobody knows."""


class Forbidden(OSError):
    """The dial would have reached an address that outbound calls may not."""


class Wire:
    """One per process. `allowed`: private networks that may be reached all the same."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = allowed
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self, request: httpx.Request, deadline: float, cap: int = CAP
    ) -> httpx.Response:
        """The answer to `request`, its body read up to `cap` bytes (then
        `extensions["truncated"]`), within `deadline` seconds in all. Raises `NotSent`, `Lost`."""
        if request.url.scheme not in ("http", "https") or request.url.userinfo:
            raise NotSent("only plain http and https addresses are called")
        begun: list[bool] = []
        try:
            async with asyncio.timeout(deadline):
                return await self._exchange(request, cap, begun)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise (Lost if begun else NotSent)(_said(error)) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _exchange(
        self, request: httpx.Request, cap: int, begun: list[bool]
    ) -> httpx.Response:
        async with self._opened().request(
            request.method,
            URL(str(request.url), encoded=True),  # quoted anew, a signed address would break
            headers=[(k, v) for k, v in request.headers.items() if k not in HOP_BY_HOP],
            data=request.content or None,
            allow_redirects=False,
            trace_request_ctx=begun,
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
                connector=aiohttp.TCPConnector(
                    limit=0, limit_per_host=PER_HOST, socket_factory=self._socket
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                headers={"Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[_watching_the_start()],
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


def _watching_the_start() -> aiohttp.TraceConfig:
    """Marks the moment from which the other side may have the request."""

    async def mark(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.append(True)

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(mark)
    return trace


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

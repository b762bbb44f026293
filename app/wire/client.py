"""Send a request, read the answer, and after a failure say whether it may have been received."""

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import httpx
from yarl import URL

from app.wire.guard import Network, is_permitted

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

MAX_BODY_BYTES = 65_536
CONNECT_SECONDS = 5.0
CONNECTIONS_PER_HOST = 100
HOP_BY_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding"})
DROPPED_HEADERS = frozenset({b"content-encoding", b"transfer-encoding"})
"""Left out of the answer, whose body is complete and not decoded."""
CONNECT_ERRORS = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the connection was reset",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
}


class NotSent(Exception):
    """The request surely did not reach the other side."""


class TooLate(NotSent):
    """The request could not begin before `begin_by`, so it was not sent."""


class AnswerLost(Exception):
    """The request may have reached the other side; there is no way to know."""


class ForbiddenAddress(OSError):
    """The host resolved to an address that outbound calls may not reach."""


@dataclass(slots=True)
class _ExchangeState:
    """What the connector must know and record about the running exchange."""

    begin_by: float | None
    has_begun: bool = False
    """From now on the other side may have the request."""


_current_exchange: ContextVar[_ExchangeState] = ContextVar("current_exchange")


class Wire:
    """The client; one for each process. `allowed_networks` are private networks that may be
    reached. `build_trace_headers` gives the headers that go with a request whose extension `traced`
    is set."""

    def __init__(
        self,
        allowed_networks: Sequence[Network] = (),
        build_trace_headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._allowed_networks = allowed_networks
        self._build_trace_headers = build_trace_headers
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self, request: httpx.Request, deadline: float, cap: int = MAX_BODY_BYTES, begin_by: float | None = None
    ) -> httpx.Response:
        """The answer to `request`, within `deadline` seconds in all. At most `cap` bytes of the
        body are read; `extensions["truncated"]` says whether there were more, and
        `extensions["encoding"]` names a compression, which is not undone. Raises `NotSent`,
        `AnswerLost`, or `TooLate` when no connection is ready by `begin_by` (`time.monotonic`)."""
        if request.url.scheme not in ("http", "https") or request.url.userinfo:
            raise NotSent("only http and https addresses without a user name can be called")
        if begin_by is not None and time.monotonic() > begin_by:
            raise TooLate("it was too late to connect")
        exchange_state = _ExchangeState(begin_by)
        _current_exchange.set(exchange_state)
        try:
            async with asyncio.timeout(deadline):
                return await self._send_request(request, cap)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise (AnswerLost if exchange_state.has_begun else NotSent)(_describe_failure(error)) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _send_request(self, request: httpx.Request, cap: int) -> httpx.Response:
        trace_headers = self._build_trace_headers() if request.extensions.get("traced") else {}
        async with self._open_session().request(
            request.method,
            URL(str(request.url), encoded=True),  # quoting it again would break a signed URL
            headers=[(k, v) for k, v in request.headers.items() if k not in HOP_BY_HOP] + [*trace_headers.items()],
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
                headers=[(k, v) for k, v in answer.raw_headers if k.lower() not in DROPPED_HEADERS],
                content=bytes(body[:cap]),
                request=request,
                extensions={
                    "truncated": len(body) > cap,
                    "encoding": answer.headers.get("content-encoding", "").strip().lower(),
                },
            )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=0, limit_per_host=CONNECTIONS_PER_HOST, socket_factory=self._make_socket),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                headers={"Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _make_socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not is_permitted(str(address[0]), self._allowed_networks):
            raise ForbiddenAddress("the address is not a public one")
        new_socket = socket.socket(family, kind, protocol)
        new_socket.setblocking(False)
        return new_socket


class _Connector(aiohttp.TCPConnector):
    """Marks the moment from which the other side may have the request. aiohttp's own tracing costs
    a tenth of an exchange and runs too late to stop a request."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list["Trace"],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the name is aiohttp's
    ) -> "Connection":
        connection = await super().connect(req, traces, timeout)
        exchange_state = _current_exchange.get()
        if exchange_state.begin_by is not None and time.monotonic() > exchange_state.begin_by:
            connection.release()  # the next exchange can use it
            raise TooLate("no connection was ready in time")
        exchange_state.has_begun = True
        return connection


def _describe_failure(error: BaseException) -> str:
    """The failure in plain words, without the IP addresses that were tried."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the name could not be resolved"
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or "it could not be verified"
            return f"the TLS certificate is not valid: {reason}"
        case aiohttp.ClientSSLError():
            return "the TLS handshake failed"
        case aiohttp.ClientConnectorError(os_error=ForbiddenAddress() as forbidden):
            return str(forbidden)
        case aiohttp.ClientConnectorError():
            return CONNECT_ERRORS.get(error.os_error.errno or 0, "no connection could be made")
        case aiohttp.ConnectionTimeoutError():
            return "the connection took too long"
        case TimeoutError():
            return "no answer within the deadline"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case ConnectionResetError() | aiohttp.ClientOSError(errno=errno.ECONNRESET):
            return "the connection was reset"
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return "the connection was closed before the answer was complete"
        case ValueError():
            return "the address or a header is not valid"
    return "the connection broke before the answer was complete"

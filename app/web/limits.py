"""The outermost ASGI layer: limits for every request, headers and a log line for every answer.

Pure ASGI and not a Starlette middleware, because it wraps event streams, too. The body is counted
while it arrives, because a Content-Length may lie and a chunked body has none. The whole body is
read here, so that no route waits for a slow client while it holds a transaction; only uploaded files
are passed on while they arrive.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import structlog
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import traces
from app.domain.media import MAX_UPLOAD_BYTES
from app.domain.problems import Internal, Invalid, PayloadTooLarge
from app.web import problems
from app.web.state import get_state

BYTES_PER_KIB = 1024
DEFAULT_MAX_BODY_BYTES = 64 * BYTES_PER_KIB
MAX_BODY_BYTES_BY_PATH = (
    ("/webhooks/", 128 * BYTES_PER_KIB),
    ("/api/v1/sms/send/bulk", 16 * BYTES_PER_KIB * BYTES_PER_KIB),
    ("/conversations/", MAX_UPLOAD_BYTES + 128 * BYTES_PER_KIB),
)
BODY_SECONDS = 60.0
"""How long a whole body may take, so that a slow client cannot hold a connection for ever."""
IMPORT_PATH = "/settings/imports"
"""A body for this path itself is a file: it is not held in memory, but passed on while it arrives."""
MAX_IMPORT_BYTES = 32 * BYTES_PER_KIB * BYTES_PER_KIB
MAX_IMPORT_BODY_BYTES = MAX_IMPORT_BYTES + DEFAULT_MAX_BODY_BYTES
IMPORT_SECONDS = 600.0
SLOW_BODY_DETAIL = "body: did not come in time"
BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
UNLOGGED_ROUTES = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Machines call these every few seconds: they are counted, but not logged."""
FIXED_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer, browsers send "Origin: null"
    (b"cross-origin-opener-policy", b"same-origin"),
)
DEFAULT_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
HTTPS_HEADER = (b"strict-transport-security", b"max-age=31536000")
REQUEST_SECONDS = Histogram(
    "leadsail_http_request_seconds",
    "Requests, by route and status.",
    ("method", "route", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
log = structlog.get_logger("access")


class Edge:
    """Adds the request id, the body limits, headers and one log line, and always answers."""

    def __init__(self, app: ASGIApp, https_only: bool = False, body_within: float = BODY_SECONDS) -> None:
        self._app = app
        self._https_only = https_only
        self._body_seconds = body_within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        method = scope["method"]
        if method == "HEAD":
            scope, send = _change_head_to_get(scope), _drop_body(send)
        headers = Headers(scope=scope)
        given_id = headers.get("x-request-id", "")
        request_id = given_id if REQUEST_ID.fullmatch(given_id) else f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_answer(event: Message) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                self._add_headers(event["headers"], request_id)
                if get_state(scope["app"]).is_leaving:  # the next request would find the port closed
                    MutableHeaders(scope=event)["Connection"] = "close"
                if more_headers := scope["state"].get("answer_headers"):
                    MutableHeaders(scope=event).update(more_headers)
            await send(event)

        log_tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        with _record_span(scope, method, headers) as note:
            try:
                await self._pass_request(scope, headers, receive, send_answer)
            except Exception as error:
                log.error("unexpected error", exc_info=error)
                if status:
                    status = Internal.status
                    raise  # headers are sent: only a closed connection can signal the failure
                await problems.build_problem_response(Request(scope), Internal())(scope, receive, send_answer)
            finally:
                note(_find_route(scope), status)
                _record_request(scope, method, status, time.perf_counter() - started_at)
                structlog.contextvars.reset_contextvars(**log_tokens)

    async def _pass_request(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        bodiless = "content-length" not in headers and "transfer-encoding" not in headers
        if bodiless and scope["method"] in BODILESS:
            await self._app(scope, receive, send)
            return
        limit = _get_body_limit(scope)
        declared_length = headers.get("content-length", "0")
        is_small_enough = not declared_length.isdecimal() or int(declared_length[:20]) <= limit
        if is_small_enough and _is_import(scope):
            await self._app(scope, _limit_body(receive, limit), send)
            return
        messages = None
        if is_small_enough:
            try:
                async with asyncio.timeout(self._body_seconds):
                    messages = await _read_body(receive, limit)
            except TimeoutError:
                late_answer = problems.build_problem_response(Request(scope), Invalid(details=[SLOW_BODY_DETAIL]))
                late_answer.headers["Connection"] = "close"  # the unread rest must not be parsed as a request
                await late_answer(scope, receive, send)
                return
        if messages is None:
            # Keep the connection: a close with unread bytes resets it, and the answer could be lost.
            await problems.build_problem_response(Request(scope), PayloadTooLarge())(scope, receive, send)
            return
        if messages[0]["type"] == "http.disconnect":
            return  # the client left before its body was complete
        remaining_messages = iter(messages)

        async def receive_again() -> Message:
            return next(remaining_messages, None) or await receive()

        await self._app(scope, receive_again, send)

    def _add_headers(self, headers: list[tuple[bytes, bytes]], request_id: str) -> None:
        set_names = {name for name, _ in headers}
        headers.append((b"x-request-id", request_id.encode()))
        headers.extend(FIXED_HEADERS)
        headers.extend(header for header in DEFAULT_HEADERS if header[0] not in set_names)
        if self._https_only:
            headers.append(HTTPS_HEADER)


def _change_head_to_get(scope: Scope) -> Scope:
    return scope if scope["path"].startswith(problems.WEBHOOK_PREFIX) else {**scope, "method": "GET"}


def _drop_body(send: Send) -> Send:
    """Sends the headers and ends the answer there, because a stream might never end by itself."""

    async def send_headers(event: Message) -> None:
        if event["type"] == "http.response.start":
            if "content-length" not in Headers(raw=event["headers"]):
                event["headers"].append((b"transfer-encoding", b"chunked"))  # as the answer to GET would have
            await send(event)
            await send({"type": "http.response.body", "body": b""})

    return send_headers


def _is_import(scope: Scope) -> bool:
    return bool(scope["path"] == IMPORT_PATH)


def _limit_body(receive: Receive, limit: int) -> Receive:
    """Passes the body on. Raises `PayloadTooLarge`; `Invalid` if it takes too long, or breaks off."""
    deadline = asyncio.get_running_loop().time() + IMPORT_SECONDS
    size, is_complete = 0, False

    async def receive_part() -> Message:
        nonlocal size, is_complete
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                event = await receive()
        except TimeoutError:
            raise Invalid(details=[SLOW_BODY_DETAIL]) from None
        if event["type"] == "http.disconnect":
            raise Invalid(details=["body: is not complete"])  # nobody reads the answer
        size += len(event.get("body", b""))
        is_complete = not event.get("more_body", False)
        if size > limit:
            raise PayloadTooLarge
        return event

    return receive_part


def _get_body_limit(scope: Scope) -> int:
    path: str = scope["path"]
    if _is_import(scope):
        return MAX_IMPORT_BODY_BYTES
    return next((limit for start, limit in MAX_BODY_BYTES_BY_PATH if path.startswith(start)), DEFAULT_MAX_BODY_BYTES)


async def _read_body(receive: Receive, limit: int) -> Sequence[Message] | None:
    """Returns the request's body as one message; None if it is longer than `limit`."""
    parts, size = [], 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return [event]
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            return None
        if not event.get("more_body", False):
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            return [{"type": "http.request", "body": body, "more_body": False}]


def _record_span(scope: Scope, method: str, headers: Headers) -> AbstractContextManager[Callable[[str, int], None]]:
    if scope["path"] in UNLOGGED_ROUTES:
        return nullcontext(lambda _, __: None)
    return traces.record_request(method if method in KNOWN_METHODS else "_OTHER", headers)


def _find_route(scope: Scope) -> str:
    """The route's template and not the path, because paths contain phones and callers' ids."""
    return getattr(scope.get("route"), "path", None) or "none"


def _record_request(scope: Scope, method: str, status: int, seconds: float) -> None:
    route = _find_route(scope)
    method = method if method in KNOWN_METHODS else "other"
    REQUEST_SECONDS.labels(method, route, str(status)).observe(seconds)
    if route not in UNLOGGED_ROUTES:
        log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))

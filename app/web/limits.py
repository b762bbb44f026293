"""The edge: what holds for every request before any route sees it, and for every answer.

Pure ASGI, since it also stands before streams. The body is counted as it comes, because a
Content-Length may lie and a chunked body has none; it is read here whole, so that nothing
slow happens inside a route.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Sequence

import structlog
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.problems import Internal, Invalid, PayloadTooLarge
from app.web import problems

KIB = 1024
BODY_LIMIT = 64 * KIB
LIMITS = (("/webhooks/", 128 * KIB), ("/api/v1/sms/send/bulk", 16 * KIB * KIB))
BODY_WITHIN = 60.0
"""Seconds that a whole body may take: who drips holds a connection, but not for ever."""
TOO_SLOW = "body: did not come in time"
BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Asked every few seconds by machines: counted, not logged."""
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # without one, browsers name no Origin in forms
    (b"cross-origin-opener-policy", b"same-origin"),
)
UNLESS_SAID = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
SECONDS = Histogram(
    "leadsail_http_request_seconds",
    "Requests, by route and status.",
    ("method", "route", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
log = structlog.get_logger("access")


class Edge:
    """Request id, size limit, headers, one log line, and an answer whatever happens."""

    def __init__(self, app: ASGIApp, https_only: bool = False, body_within: float = BODY_WITHIN) -> None:
        self._app = app
        self._https_only = https_only
        self._body_within = body_within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        method = scope["method"]
        if method == "HEAD":
            scope, send = _asked_by_get(scope), _without_body(send)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._dress(message["headers"], request_id)
                if scope["app"].state.leaving:  # or the next request would meet a closed door
                    MutableHeaders(scope=message)["Connection"] = "close"
                if more := scope["state"].get("answer_headers"):
                    MutableHeaders(scope=message).update(more)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._pass(scope, headers, receive, answering)
            except Exception as error:
                log.error("unexpected error", exc_info=error)
                if status:
                    raise  # the answer is half out: only closing the connection tells the truth
                await problems.answer(Request(scope), Internal())(scope, receive, answering)
            finally:
                _note(scope, method, status, time.perf_counter() - began)

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        bodiless = "content-length" not in headers and "transfer-encoding" not in headers
        if bodiless and scope["method"] in BODILESS:
            await self._app(scope, receive, send)
            return
        limit = _limit(scope)
        declared = headers.get("content-length", "0")
        messages = None
        if not declared.isdecimal() or int(declared[:20]) <= limit:
            try:
                async with asyncio.timeout(self._body_within):
                    messages = await _read(receive, limit)
            except TimeoutError:
                late = problems.answer(Request(scope), Invalid(details=[TOO_SLOW]))
                late.headers["Connection"] = "close"  # or the rest would be read as a request
                await late(scope, receive, send)
                return
        if messages is None:
            # The connection stays: closing it on unread bytes would lose the answer on its way.
            await problems.answer(Request(scope), PayloadTooLarge())(scope, receive, send)
            return
        if messages[0]["type"] == "http.disconnect":
            return  # gone before all was said: there is nothing to do, and nobody to tell
        left = iter(messages)

        async def replay() -> Message:
            return next(left, None) or await receive()

        await self._app(scope, replay, send)

    def _dress(self, headers: list[tuple[bytes, bytes]], request_id: str) -> None:
        said = {name for name, _ in headers}
        headers.append((b"x-request-id", request_id.encode()))
        headers.extend(ALWAYS)
        headers.extend(each for each in UNLESS_SAID if each[0] not in said)
        if self._https_only:
            headers.append(HTTPS_ONLY)


def _asked_by_get(scope: Scope) -> Scope:
    return scope if scope["path"].startswith(problems.DEEDS) else {**scope, "method": "GET"}


def _without_body(send: Send) -> Send:
    """What is sent, up to the headers, which are the end: a stream may have no other."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return sending


def _limit(scope: Scope) -> int:
    path: str = scope["path"]
    return next((limit for start, limit in LIMITS if path.startswith(start)), BODY_LIMIT)


async def _read(receive: Receive, limit: int) -> Sequence[Message] | None:
    """The request's body, as one message; None when it is longer than `limit`."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return [message]
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            return None
        if not message.get("more_body", False):
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            return [{"type": "http.request", "body": body, "more_body": False}]


def _note(scope: Scope, method: str, status: int, seconds: float) -> None:
    # The route's template, never the path: paths hold phones and ids of the callers' own.
    route = getattr(scope.get("route"), "path", None) or "none"
    method = method if method in METHODS else "other"
    SECONDS.labels(method, route, str(status)).observe(seconds)
    if route not in QUIET:
        log.info(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
        )

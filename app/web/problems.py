"""One place that turns whatever went wrong into an answer, for the API and for pages."""

import math
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.domain.problems import (
    Internal,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Problem,
    Unauthorized,
    Unavailable,
)
from app.store.engine import AWAY
from app.web import doors

log = structlog.get_logger("web")
MACHINES = ("/api", "/webhooks", "/health", "/metrics", "/openapi.json", "/static")
"""Paths that are always answered in JSON."""
DEEDS = "/webhooks/"
"""Where a GET brings something. HEAD may ask everything else, as GET does."""
MOST_DETAILS = 50
LONGEST_NAME = 64
SHOULD = re.compile(r"^\w+ should ")
WORDING = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "json_invalid": "is not valid JSON",
    "string_unicode": "must be valid Unicode without lone surrogates",
    "string_pattern_mismatch": "has characters that are not allowed here, or is blank",
}

PageProblem = Callable[[Request, Problem], Response]
"""Renders a problem for a person; set as `app.state.page_problem`."""

UNSTORABLE = (asyncpg.DataError, UnicodeEncodeError)
"""A value that PostgreSQL cannot hold and no model refused: in a path, a query, a cursor."""
BY_STATUS: dict[int, type[Problem]] = {
    400: Invalid,
    401: Unauthorized,
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
}


def install(app: FastAPI, routes: Iterable[BaseRoute] = ()) -> None:
    """Makes every problem an answer. What is unexpected is answered by `limits.Edge`."""
    app.state.methods = [(route.path_regex, route.methods or set()) for route in routes if isinstance(route, Route)]
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def told(request: Request, error: Exception) -> Response:
    """The answer to what went wrong before the framework was reached; raises what is
    unexpected."""
    for kind in type(error).__mro__:
        if handler := HANDLERS.get(kind):
            return await handler(request, error)
    raise error


def answer(request: Request, problem: Problem) -> Response:
    """The problem as the envelope, or as a page where a person asked."""
    # A client that joins its base and its path by two slashes is a machine all the same.
    if f"/{request.url.path.lstrip('/')}".startswith(MACHINES):
        return rendered(problem)
    page: PageProblem = request.app.state.page_problem
    return page(request, problem)


def rendered(problem: Problem) -> JSONResponse:
    """The problem as the envelope."""
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after)))
    body = {"success": False, "error": problem.body()}
    return JSONResponse(body, problem.status, headers)


def details_of(errors: list[Any]) -> list[str]:
    """Sentences that name fields, from pydantic's errors. Input is never echoed but for the
    names of fields, cut short and in printable characters."""
    return [_detail(error) for error in errors[:MOST_DETAILS]]


def _detail(error: Any) -> str:
    location, kind = list(error["loc"]), error["type"]
    if location and location[0] in ("body", "query", "path", "header", "cookie"):
        location = location[1:]
    if kind == "json_invalid":
        location = []
    said = WORDING.get(kind) or SHOULD.sub("must ", error["msg"]).removeprefix("Value error, ")
    field = ""
    for part in location:
        if isinstance(part, int):
            field += f"[{part}]"
        else:
            field += f".{_printable(part)}" if field else _printable(part)
    return f"{field or 'body'}: {said}"


def _printable(name: object) -> str:
    plain = str(name)[:LONGEST_NAME].encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in plain)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer(request, error)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = list(error.errors())
    if any(one["type"] == "json_invalid" for one in errors):
        return await _unreadable(request, Invalid(details=details_of(errors)))
    if isinstance(error.body, bytes) and [e["loc"] for e in errors] == [("body",)]:
        return answer(request, Invalid(details=["Content-Type: must be application/json"]))
    return answer(request, Invalid(details=details_of(errors)))


async def _unreadable(request: Request, problem: Problem) -> Response:
    """Whose body it is comes first."""
    try:
        await doors.require(request)
    except Problem as first:
        problem = first
    except AWAY as error:
        return await _away(request, error)
    return answer(request, problem)


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = BY_STATUS.get(error.status_code)
    if known is None:
        known = Invalid if error.status_code < 500 else Internal
    if known is Invalid:
        return await _unreadable(request, Invalid(details=["body: could not be read"]))
    response = answer(request, known())
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    if error.status_code == 405 and (allowed := _allowed(request)):
        response.headers["Allow"] = ", ".join(allowed)
    return response


def _allowed(request: Request) -> list[str]:
    """Every method of the address: the framework names those of the first route it finds."""
    known: list[tuple[re.Pattern[str], set[str]]] = request.app.state.methods
    path = request.url.path
    allowed = {method for regex, methods in known if regex.match(path) for method in methods}
    if "GET" in allowed and not path.startswith(DEEDS):
        allowed.add("HEAD")
    return sorted(allowed)


async def _unstorable(request: Request, error: Exception) -> Response:
    log.warning("a value cannot be stored", error=type(error).__name__)
    return answer(request, Invalid(details=["request: has a value that cannot be stored"]))


async def _away(request: Request, error: Exception) -> Response:
    log.warning("the database is away", error=type(error).__name__)
    return answer(request, Unavailable())


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return answer(request, Internal())


HANDLERS: dict[type[Any], Callable[[Request, Exception], Awaitable[Response]]] = {
    Problem: _problem,
    RequestValidationError: _malformed,
    ValidationError: _unexpected,
    HTTPException: _framework,
    **dict.fromkeys(UNSTORABLE, _unstorable),
    **dict.fromkeys(AWAY, _away),
}

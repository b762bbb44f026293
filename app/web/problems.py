"""Turns every exception into an answer, for the API and for pages."""

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

from app.domain.idempotency import ReplayedAnswer
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
from app.store.connections import DATABASE_AWAY_ERRORS
from app.web import dependencies
from app.web.state import get_state

log = structlog.get_logger("web")
MACHINE_PATHS = ("/api", "/webhooks", "/health", "/metrics", "/openapi.json", "/static")
"""Paths that are always answered in JSON."""
WEBHOOK_PREFIX = "/webhooks/"
"""Carriers may deliver by GET here, so HEAD is refused. It works wherever else GET does."""
MAX_DETAILS = 50
MAX_NAME_LENGTH = 64
SHOULD_PREFIX = re.compile(r"^\w+ should ")
ERROR_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "unknown_parameter": "is not a known query parameter",
    "json_invalid": "is not valid JSON",
    "string_unicode": "must be valid Unicode without lone surrogates",
    "string_pattern_mismatch": "has characters that are not allowed here, or is blank",
}

UNSTORABLE_ERRORS = (asyncpg.DataError, UnicodeEncodeError)
"""PostgreSQL cannot store the value, and no model refused it: in a path, a query, a cursor."""
PROBLEMS_BY_STATUS: dict[int, type[Problem]] = {
    400: Invalid,
    401: Unauthorized,
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
}


def install_handlers(app: FastAPI, routes: Iterable[BaseRoute] = ()) -> None:
    """Installs the exception handlers. `limits.Edge` answers exceptions that none of them handles."""
    get_state(app).methods_by_path = [
        (route.path_regex, route.methods or set()) for route in routes if isinstance(route, Route)
    ]
    for kind, handler in ERROR_HANDLERS.items():
        app.add_exception_handler(kind, handler)


async def build_error_response(request: Request, error: Exception) -> Response:
    """Answers an exception from outside the framework. Raises `error` again if it is unexpected."""
    for kind in type(error).__mro__:
        if handler := ERROR_HANDLERS.get(kind):
            return await handler(request, error)
    raise error


def build_problem_response(request: Request, problem: Problem) -> Response:
    """Renders the problem as JSON for machines, or as a page for people."""
    # A client that joins base and path with two slashes is a machine, too.
    if f"/{request.url.path.lstrip('/')}".startswith(MACHINE_PATHS):
        return build_problem_json(problem)
    return get_state(request.app).render_problem(request, problem)


def build_problem_json(problem: Problem) -> JSONResponse:
    """Renders the problem in the JSON envelope."""
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after)))
    body = {"success": False, "error": problem.to_body()}
    return JSONResponse(body, problem.status, headers)


def explain_error(error: Exception) -> Problem | None:
    """Returns the problem of which an exception tells. None: it is unexpected."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, UNSTORABLE_ERRORS):
        log.warning("a value cannot be stored", error=type(error).__name__)
        return Invalid(details=["request: has a value that cannot be stored"])
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        # A tenant that moved to another cell while the request waited: the next try comes to it there.
        return Unavailable() if str(error.constraint_name).endswith("_tenant_id") else None
    if isinstance(error, (asyncpg.QueryCanceledError, *DATABASE_AWAY_ERRORS)):
        log.warning("the database is away", error=type(error).__name__)
        return Unavailable()
    return None


def list_error_details(errors: list[Any]) -> list[str]:
    """Returns `field: words` for each of pydantic's errors. Values are never echoed; names of fields
    are, cut short and in printable characters."""
    return [_describe_error(error) for error in errors[:MAX_DETAILS]]


def _describe_error(error: Any) -> str:
    location, kind = list(error["loc"]), error["type"]
    if location and location[0] in ("body", "query", "path", "header", "cookie"):
        location = location[1:]
    if kind == "json_invalid":
        location = []
    words = ERROR_WORDS.get(kind) or SHOULD_PREFIX.sub("must ", error["msg"]).removeprefix("Value error, ")
    field = ""
    for part in location:
        if isinstance(part, int):
            field += f"[{part}]"
        else:
            field += f".{_make_printable(part)}" if field else _make_printable(part)
    return f"{field or 'body'}: {words}"


def _make_printable(name: object) -> str:
    plain = str(name)[:MAX_NAME_LENGTH].encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in plain)


async def _handle_explained(request: Request, error: Exception) -> Response:
    problem = explain_error(error)
    return build_problem_response(request, problem) if problem else await _handle_unexpected(request, error)


async def _replay_answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, ReplayedAnswer)
    # jsonb does not keep the order of fields; the envelope gets its order here.
    return JSONResponse({"success": True, "data": error.data}, error.status)


async def _handle_malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = list(error.errors())
    if any(detail["type"] == "json_invalid" for detail in errors):
        return await _refuse_unreadable(request, Invalid(details=list_error_details(errors)))
    if isinstance(error.body, bytes) and [e["loc"] for e in errors] == [("body",)]:
        return build_problem_response(request, Invalid(details=["Content-Type: must be application/json"]))
    return build_problem_response(request, Invalid(details=list_error_details(errors)))


async def _refuse_unreadable(request: Request, problem: Problem) -> Response:
    """Answers 401, 403 or 429 if the caller deserves that, else `problem`."""
    try:
        await dependencies.require_scope(request)
    except Problem as caller_problem:
        problem = caller_problem
    except DATABASE_AWAY_ERRORS as error:
        return await _handle_explained(request, error)
    return build_problem_response(request, problem)


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem_type = PROBLEMS_BY_STATUS.get(error.status_code)
    if problem_type is None:
        problem_type = Invalid if error.status_code < 500 else Internal
    if problem_type is Invalid:
        return await _refuse_unreadable(request, Invalid(details=["body: could not be read"]))
    response = build_problem_response(request, problem_type())
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    if error.status_code == 405 and (allowed_methods := _list_allowed_methods(request)):
        response.headers["Allow"] = ", ".join(allowed_methods)
    return response


def _list_allowed_methods(request: Request) -> list[str]:
    """Returns all methods of the path. The framework names only those of the first route it finds."""
    methods_by_path = get_state(request.app).methods_by_path
    path = request.url.path
    allowed_methods = {method for regex, methods in methods_by_path if regex.match(path) for method in methods}
    if "GET" in allowed_methods and not path.startswith(WEBHOOK_PREFIX):
        allowed_methods.add("HEAD")
    return sorted(allowed_methods)


async def _handle_unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return build_problem_response(request, Internal())


ERROR_HANDLERS: dict[type[Any], Callable[[Request, Exception], Awaitable[Response]]] = {
    ReplayedAnswer: _replay_answer,
    RequestValidationError: _handle_malformed,
    ValidationError: _handle_unexpected,
    HTTPException: _handle_http_exception,
    **dict.fromkeys(
        (
            Problem,
            asyncpg.ForeignKeyViolationError,
            asyncpg.QueryCanceledError,
            *UNSTORABLE_ERRORS,
            *DATABASE_AWAY_ERRORS,
        ),
        _handle_explained,
    ),
}

"""The routes that are asked most often: sends, and carriers' webhooks.

FastAPI describes them, but does not run them: its middleware, dependencies and response models cost
more than the work of such a request
(`docs/decisions/0015-hot-routes-skip-the-framework.md`).
"""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.problems import Invalid
from app.web import problems
from app.web.dependencies import authorize_caller, get_need, refuse_unknown_parameters
from app.web.idempotency import KEY_NAME, Key

JSON_TYPE = re.compile(r"\s*application/([^/;]*\+)?json\s*(;.*)?", re.IGNORECASE)
KEY_ADAPTER: TypeAdapter[str | None] = TypeAdapter(Key)


class HotRoute(APIRoute):
    """A route whose endpoint returns the response. It takes the `request` alone, or also `body`,
    `caller` and `key`, which are judged in the order of all other routes: the caller first."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._need = get_need(self)
        self._model = cast("type[BaseModel]", self.body_field.field_info.annotation) if self.body_field else None
        assert (self._need is None) == (self._model is None), "a route with a caller needs a body here, too"

    def get_route_handler(self) -> Callable[[Request], Any]:
        return self.answer

    async def answer(self, request: Request) -> Response:
        if self._need is None or self._model is None:
            response: Response = await self.endpoint(request)
        else:
            caller = await authorize_caller(request, self._need)
            refuse_unknown_parameters(request)
            body, key = await _read_request(request, self._model)
            response = await self.endpoint(request=request, body=body, caller=caller, key=key)
        return response


class WholeRequest(Request):
    """A request whose body comes as one message: the edge has read it."""

    _content: bytes | None = None

    async def body(self) -> bytes:
        if self._content is None:
            self._content = (await self.receive()).get("body", b"")
        return self._content


class HotRoutes:
    """ASGI middleware: answers the requests that match a hot route, and passes on all others."""

    def __init__(self, app: ASGIApp, routes: Sequence[HotRoute]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self._routes:
                match = route.path_regex.match(scope["path"])
                if match and route.methods and scope["method"] in route.methods:
                    scope.update(route=route, path_params=match.groupdict())  # logs and metrics name the route
                    request = WholeRequest(scope, receive)
                    try:
                        response = await route.answer(request)
                    except Exception as error:
                        response = await problems.build_error_response(request, error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


async def _read_request(request: Request, model: type[BaseModel]) -> tuple[BaseModel, str | None]:
    """Returns the body and the idempotency key."""
    content, content_type = await request.body(), request.headers.get("content-type", "")
    key = request.headers.get(KEY_NAME)
    if content and content_type != "application/json" and not JSON_TYPE.fullmatch(content_type):
        raise Invalid(details=["Content-Type: must be application/json"])
    try:
        return model.model_validate_json(content), KEY_ADAPTER.validate_python(key)
    except ValidationError:
        return _judge_request(_parse_json(content), model, key)


def _parse_json(content: bytes) -> object:
    """Parses as FastAPI does. Python's parser takes UTF-16, too, and leaves lone surrogates to the
    model, which names their field."""
    if not content:
        raise Invalid(details=["body: is required"])
    try:
        return json.loads(content)
    except json.JSONDecodeError:
        raise Invalid(details=["body: is not valid JSON"]) from None
    except (ValueError, RecursionError):
        raise Invalid(details=["body: could not be read"]) from None


def _judge_request(values: object, model: type[BaseModel], key: str | None) -> tuple[BaseModel, str | None]:
    errors: list[Any] = []
    try:
        KEY_ADAPTER.validate_python(key)
    except ValidationError as error:
        errors += [{**detail, "loc": (KEY_NAME,)} for detail in error.errors()]
    try:
        body = model.model_validate(values, from_attributes=True)
    except ValidationError as error:
        errors += error.errors()
    if errors:
        raise Invalid(details=problems.list_error_details(errors))
    return body, key

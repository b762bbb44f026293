"""`ETag` on the answers of one resource; `If-Match` on its changes: who changes what somebody else has
changed since is refused with 412; `If-None-Match` on its GET: who has this version already gets 304.

The tag is a digest of the data, so PATCH and PUT answer with the tag that GET would have. A change with
`If-Match` locks the resource, reads it as GET does and compares, all in the transaction of the change.
"""

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement
from starlette.responses import Response
from starlette.routing import BaseRoute

from app.domain.callers import Caller
from app.domain.problems import NotFound, PreconditionFailed
from app.store import directory
from app.store.engine import Tx
from app.store.schema import Table
from app.web.dependencies import AnyCaller, TenantTx
from app.web.state import get_state

ETAG, IF_MATCH, IF_NONE_MATCH = "ETag", "If-Match", "If-None-Match"
NOT_MODIFIED = 304
MAX_HEADER_LENGTH = 2000
TAGGED_METHODS = frozenset({"GET", "PUT", "PATCH"})
UNTAGGED_FIELDS = frozenset({"lastUsedAt"})
"""They change without anybody's change, as of the key that asks."""
Lock = Callable[[Tx, Caller, str], Awaitable[object]]
"""Locks what a change of the resource with this id locks first. There may be no such resource."""

IfMatchHeader = Annotated[
    str | None,
    Header(
        alias=IF_MATCH,
        max_length=MAX_HEADER_LENGTH,
        description="The `ETag` of an earlier answer: 412 if the resource has changed since. `*`: it must exist.",
    ),
]


def build_tag(data: Any) -> str:
    """The tag of an answer's data, in quotation marks."""
    fields = {name: value for name, value in data.items() if name not in UNTAGGED_FIELDS}
    return f'"{hashlib.sha256(to_json(fields)).hexdigest()[:32]}"'


def lock_row_of(kind: type[Table], *conditions: ColumnElement[bool]) -> Lock:
    return lambda tx, caller, id: directory.lock(tx, kind, caller.tenant_id, id, *conditions)


@dataclass(frozen=True, slots=True)
class IfMatch:
    """A dependency that returns the request's transaction. Raises `PreconditionFailed` if the request's
    `If-Match` does not have the tag of what `get`, the endpoint of GET, answers now."""

    get: Callable[..., Awaitable[BaseModel]]
    lock: Lock

    async def __call__(self, request: Request, caller: AnyCaller, tx: TenantTx, if_match: IfMatchHeader = None) -> Tx:
        if if_match is not None:
            await self.lock(tx, caller, next(iter(request.path_params.values()), ""))
            tags = [tag.strip() for tag in if_match.split(",")]
            if not {"*", await self._get_tag(request, caller, tx)} & {*tags}:
                raise PreconditionFailed
        return tx

    async def _get_tag(self, request: Request, caller: Caller, tx: Tx) -> str:
        """Raises `NotFound`; for a PUT, which would create it, `PreconditionFailed`."""
        resources = get_state(request.app).resources
        known_arguments = {**request.path_params, "caller": caller, "read": tx, "resources": resources}
        arguments = {name: known_arguments[name] for name in inspect.signature(self.get).parameters}
        try:
            answer = await self.get(**arguments)
        except NotFound:
            if request.method == "PUT":
                raise PreconditionFailed from None
            raise
        return build_tag(answer.model_dump(mode="json", by_alias=True)["data"])


def guarded_by(get: Callable[..., Awaitable[BaseModel]], lock: Lock) -> Any:
    """What a route depends on, instead of `TenantTx`, to obey `If-Match`."""
    return Depends(IfMatch(get, lock), scope="function")


class VersionedRoute(APIRoute):
    """A route whose answers carry an `ETag`, if other methods of its path take `If-Match`."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def handle_and_tag(request: Request) -> Response:
            response: Response = await handle(request)
            if request.method in TAGGED_METHODS and self.path in get_state(request.app).versioned_paths:
                tag = response.headers[ETAG] = build_tag(from_json(bytes(response.body))["data"])
                if request.method == "GET" and _has_version(request, tag):
                    return _drop_body(response)
            return response

        return handle_and_tag


def _has_version(request: Request, tag: str) -> bool:
    known_tags = [known.strip().removeprefix("W/") for known in request.headers.get(IF_NONE_MATCH, "").split(",")]
    return not {"*", tag}.isdisjoint(known_tags)


def _drop_body(response: Response) -> Response:
    headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return Response(None, NOT_MODIFIED, headers)


def find_versioned_paths(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """The paths that take `If-Match`."""
    return frozenset(route.path for route in routes if isinstance(route, APIRoute) and _takes_if_match(route))


def _takes_if_match(route: APIRoute) -> bool:
    return any(isinstance(dependency.call, IfMatch) for dependency in route.dependant.dependencies)

"""The dependencies of routes: resources, callers, transactions.

A caller's scope is checked before anything is looked up. Transactions end before the answer is
sent (`scope="function"`): FastAPI's default would commit after it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader

from app.access.keys import KeyCache
from app.domain.callers import Caller, Need
from app.resources import Resources
from app.store.engine import ReadTx, Tx
from app.web.state import get_state

KEY_HEADER = "X-API-Key"
api_key_header = APIKeyHeader(
    name=KEY_HEADER,
    scheme_name="ApiKey",
    description="A key belongs to one tenant. Its scope decides what it may do.",
    auto_error=False,
)


async def get_resources(request: Request) -> Resources:
    return get_state(request.app).resources


async def get_key_cache(request: Request) -> KeyCache:
    return get_state(request.app).key_cache


AppResources = Annotated[Resources, Depends(get_resources)]
AppKeyCache = Annotated[KeyCache, Depends(get_key_cache)]


async def authenticate_caller(
    request: Request, key_cache: AppKeyCache, raw_key: Annotated[str | None, Security(api_key_header)]
) -> Caller:
    """Returns the caller whose key the request has. Raises `Unauthorized`, `RateLimited`."""
    caller = await key_cache.get_caller(raw_key)
    rate_state = get_state(request.app).rates.take_token(caller)
    if rate_state is not None:
        request.state.answer_headers = rate_state.build_headers()
        rate_state.require_allowed()
    return caller


AnyCaller = Annotated[Caller, Depends(authenticate_caller)]


@dataclass(frozen=True, slots=True)
class ScopeCheck:
    """A dependency that returns the caller, or raises `Forbidden` if its scope does not cover `need`,
    and `RequestValidationError` if the route does not know one of the request's query parameters.

    A class and not a closure, because the OpenAPI description reads `need` from the route."""

    need: Need

    async def __call__(self, caller: AnyCaller, request: Request) -> Caller:
        caller.require(self.need)
        refuse_unknown_parameters(request)
        return caller


def refuse_unknown_parameters(request: Request) -> None:
    """A filter with a typing error must not select everybody."""
    if not request.scope["query_string"]:
        return
    fields = get_flat_params(request.scope["route"].dependant)
    known_names = {field.alias for field in fields if isinstance(field.field_info, params.Query)}
    unknown_names = [name for name in request.query_params if name not in known_names]
    if unknown_names:
        raise RequestValidationError([{"loc": ("query", name), "type": "unknown_parameter"} for name in unknown_names])


def get_need(route: APIRoute) -> Need | None:
    """Returns what the route requires of a key's scope; None if it takes no key."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, ScopeCheck):
            return dependency.call.need
    return None


async def authorize_caller(request: Request, need: Need) -> Caller:
    """Returns the caller of a request that the framework does not judge. Raises `Unauthorized`,
    `Forbidden`, `RateLimited`."""
    raw_key = request.headers.get(KEY_HEADER)
    caller = await authenticate_caller(request, get_state(request.app).key_cache, raw_key)
    caller.require(need)
    return caller


async def require_scope(request: Request) -> None:
    """Checks the caller of a request whose body could not be parsed. FastAPI parses the body before
    it runs the dependencies, and a caller without a valid key must get 401, not the parse error.
    Raises `Unauthorized`, `Forbidden`, `RateLimited`."""
    route = request.scope.get("route")
    if isinstance(route, APIRoute) and (need := get_need(route)):
        await authorize_caller(request, need)


AdminCaller = Annotated[Caller, Depends(ScopeCheck("admin"))]
ApiCaller = Annotated[Caller, Depends(ScopeCheck("api"))]
ReadCaller = Annotated[Caller, Depends(ScopeCheck("read"))]
ReplyCaller = Annotated[Caller, Depends(ScopeCheck("reply"))]
TurnsCaller = Annotated[Caller, Depends(ScopeCheck("turns"))]


async def tenant_tx(caller: AnyCaller, resources: AppResources) -> AsyncIterator[Tx]:
    async with resources.database.tenant_tx(caller.tenant_id, author=caller.author) as tx:
        yield tx


async def tenant_read(caller: AnyCaller, resources: AppResources) -> AsyncIterator[ReadTx]:
    async with resources.database.read_tx(caller.tenant_id) as read:
        yield read


async def system_tx(resources: AppResources) -> AsyncIterator[Tx]:
    async with resources.database.system_tx() as tx:
        yield tx


# Routes name their caller first: FastAPI resolves parameters in order, so that a caller who is
# refused opens no transaction.
TenantTx = Annotated[Tx, Depends(tenant_tx, scope="function")]
TenantRead = Annotated[ReadTx, Depends(tenant_read, scope="function")]
SystemTx = Annotated[Tx, Depends(system_tx, scope="function")]

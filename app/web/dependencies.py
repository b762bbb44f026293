"""What routes ask for by type: resources, callers, transactions.

A caller's scope is judged before anything is looked up. Transactions end before the answer
leaves (`scope="function"`): FastAPI's default would commit after it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader

from app.access.keys import KeyCache
from app.domain.callers import Caller, Need
from app.resources import Resources
from app.store.engine import ReadTx, Tx
from app.web.rates import Rates

KEY_HEADER = "X-API-Key"
api_key_header = APIKeyHeader(
    name=KEY_HEADER,
    scheme_name="ApiKey",
    description="A key of one tenant; its scope decides what it may do.",
    auto_error=False,
)


async def get_resources(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


async def get_key_cache(request: Request) -> KeyCache:
    key_cache: KeyCache = request.app.state.keyring
    return key_cache


AppResources = Annotated[Resources, Depends(get_resources)]
AppKeyCache = Annotated[KeyCache, Depends(get_key_cache)]


async def authenticate_caller(
    request: Request,
    key_cache: AppKeyCache,
    raw_key: Annotated[str | None, Security(api_key_header)],
) -> Caller:
    """The holder of the key. Raises `Unauthorized`, `RateLimited`."""
    caller = await key_cache.get_caller(raw_key)
    rates: Rates = request.app.state.rates
    rate_state = rates.take_token(caller)
    if rate_state is not None:
        request.state.answer_headers = rate_state.build_headers()
        rate_state.require_allowed()
    return caller


AnyCaller = Annotated[Caller, Depends(authenticate_caller)]


@dataclass(frozen=True, slots=True)
class ScopeCheck:
    """A dependency: the caller, if its scope covers `need`, else `Forbidden`. A value and not a
    closure, so that the description of the API can tell which scopes a route takes."""

    need: Need

    async def __call__(self, caller: AnyCaller) -> Caller:
        caller.require(self.need)
        return caller


def get_need(route: APIRoute) -> Need | None:
    """What the route needs of a key's scope; None: it asks for no key."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, ScopeCheck):
            return dependency.call.need
    return None


async def require_scope(request: Request) -> None:
    """Judges who sent a body that could not be parsed: FastAPI parses before it asks, and a
    stranger is to hear nothing but that. Raises `Unauthorized`, `Forbidden`, `RateLimited`."""
    route = request.scope.get("route")
    need = get_need(route) if isinstance(route, APIRoute) else None
    if need is None:
        return
    raw_key = request.headers.get(KEY_HEADER)
    (await authenticate_caller(request, await get_key_cache(request), raw_key)).require(need)


AdminCaller = Annotated[Caller, Depends(ScopeCheck("admin"))]
ApiCaller = Annotated[Caller, Depends(ScopeCheck("api"))]
ReadCaller = Annotated[Caller, Depends(ScopeCheck("read"))]
ReplyCaller = Annotated[Caller, Depends(ScopeCheck("reply"))]
TurnsCaller = Annotated[Caller, Depends(ScopeCheck("turns"))]


async def tenant_tx(caller: AnyCaller, resources: AppResources) -> AsyncIterator[Tx]:
    async with resources.database.tenant_tx(caller.tenant_id) as tx:
        yield tx


async def tenant_read(caller: AnyCaller, resources: AppResources) -> AsyncIterator[ReadTx]:
    async with resources.database.read_tx(caller.tenant_id) as read:
        yield read


async def system_tx(resources: AppResources) -> AsyncIterator[Tx]:
    async with resources.database.system_tx() as tx:
        yield tx


# Routes name their caller first: FastAPI solves in this order, so a refused scope opens nothing.
TenantTx = Annotated[Tx, Depends(tenant_tx, scope="function")]
TenantRead = Annotated[ReadTx, Depends(tenant_read, scope="function")]
SystemTx = Annotated[Tx, Depends(system_tx, scope="function")]

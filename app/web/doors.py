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

from app.access.keys import Keyring
from app.domain.callers import Caller, Need
from app.resources import Resources
from app.store.engine import Read, Tx
from app.web.rates import Rates

KEY_HEADER = "X-API-Key"
api_key = APIKeyHeader(
    name=KEY_HEADER,
    scheme_name="ApiKey",
    description="A key of one tenant; its scope decides what it may do.",
    auto_error=False,
)


async def held(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


async def keyring(request: Request) -> Keyring:
    ring: Keyring = request.app.state.keyring
    return ring


Held = Annotated[Resources, Depends(held)]
Ring = Annotated[Keyring, Depends(keyring)]


async def caller(request: Request, ring: Ring, given: Annotated[str | None, Security(api_key)]) -> Caller:
    """The holder of the key. Raises `Unauthorized`, `RateLimited`."""
    known = await ring.caller_of(given)
    rates: Rates = request.app.state.rates
    standing = rates.take(known)
    if standing is not None:
        request.state.answer_headers = standing.headers()
        standing.require()
    return known


AnyCaller = Annotated[Caller, Depends(caller)]


@dataclass(frozen=True, slots=True)
class Needing:
    """A dependency: the caller, if its scope covers `need`, else `Forbidden`. A value and not a
    closure, so that the description of the API can tell which scopes a route takes."""

    need: Need

    async def __call__(self, known: AnyCaller) -> Caller:
        known.require(self.need)
        return known


def need_of(route: APIRoute) -> Need | None:
    """What the route needs of a key's scope; None: it asks for no key."""
    for inner in route.dependant.dependencies:
        if isinstance(inner.call, Needing):
            return inner.call.need
    return None


async def require(request: Request) -> None:
    """Judges who sent a body that could not be parsed: FastAPI parses before it asks, and a
    stranger is to hear nothing but that. Raises `Unauthorized`, `Forbidden`, `RateLimited`."""
    route = request.scope.get("route")
    need = need_of(route) if isinstance(route, APIRoute) else None
    if need is None:
        return
    given = request.headers.get(KEY_HEADER)
    (await caller(request, await keyring(request), given)).require(need)


AdminCaller = Annotated[Caller, Depends(Needing("admin"))]
ApiCaller = Annotated[Caller, Depends(Needing("api"))]
ReadCaller = Annotated[Caller, Depends(Needing("read"))]
ReplyCaller = Annotated[Caller, Depends(Needing("reply"))]
TurnsCaller = Annotated[Caller, Depends(Needing("turns"))]


async def tenant_tx(known: AnyCaller, resources: Held) -> AsyncIterator[Tx]:
    async with resources.database.tenant(known.tenant_id) as tx:
        yield tx


async def tenant_read(known: AnyCaller, resources: Held) -> AsyncIterator[Read]:
    async with resources.database.reading(known.tenant_id) as read:
        yield read


async def system_tx(resources: Held) -> AsyncIterator[Tx]:
    async with resources.database.system() as tx:
        yield tx


# Routes name their caller first: FastAPI solves in this order, so a refused scope opens nothing.
TenantTx = Annotated[Tx, Depends(tenant_tx, scope="function")]
TenantRead = Annotated[Read, Depends(tenant_read, scope="function")]
SystemTx = Annotated[Tx, Depends(system_tx, scope="function")]

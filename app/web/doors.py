"""What routes ask for by type: resources, callers, transactions.

A caller's scope is judged before anything is looked up. Transactions end before the answer
leaves (`scope="function"`): FastAPI's default would commit after it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from app.access.keys import Keyring
from app.domain.callers import Caller, Need
from app.resources import Resources
from app.store.engine import Read, Tx

api_key = APIKeyHeader(
    name="X-API-Key",
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


async def caller(ring: Ring, given: Annotated[str | None, Security(api_key)]) -> Caller:
    """The holder of the key. Raises `Unauthorized`."""
    return await ring.caller_of(given)


AnyCaller = Annotated[Caller, Depends(caller)]


def needing(need: Need) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, if its scope covers `need`, else `Forbidden`."""

    async def judged(known: AnyCaller) -> Caller:
        known.require(need)
        return known

    return judged


AdminCaller = Annotated[Caller, Depends(needing("admin"))]
ApiCaller = Annotated[Caller, Depends(needing("api"))]
ReadCaller = Annotated[Caller, Depends(needing("read"))]
ReplyCaller = Annotated[Caller, Depends(needing("reply"))]
TurnsCaller = Annotated[Caller, Depends(needing("turns"))]


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

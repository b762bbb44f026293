"""`Idempotency-Key` on a POST that creates something (contract 2)."""

from collections.abc import Collection
from typing import Annotated, TypeVar

from asyncpg.exceptions import LockNotAvailableError
from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.responses import Response

from app.domain.idempotency import IdempotencyKey, Replayed, digest
from app.domain.problems import IdempotencyInProgress, IdempotencyKeyReused, Problem
from app.store import idempotency
from app.store.engine import Row, Tx
from app.web.doors import AnyCaller, TenantTx

M = TypeVar("M", bound=BaseModel)
LONGEST = 255


class Kept:
    """Keeps the answer of the route it is given to, if the request has a key."""

    def __init__(self, tx: Tx, tenant_id: str, keyed: IdempotencyKey | None) -> None:
        self._tx, self._tenant_id, self._keyed = tx, tenant_id, keyed

    async def keep(self, answer: M, status: int = 201, secret: Collection[str] = ()) -> M:
        """`answer`, kept for a repeat; fields of its data named in `secret` are not kept."""
        if self._keyed:
            plain = answer.model_dump(mode="json", by_alias=True)
            data = {name: v for name, v in plain["data"].items() if name not in secret}
            plain["data"] = data
            await idempotency.finish(self._tx, self._tenant_id, self._keyed, status, plain)
        return answer


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=LONGEST,
        description="Repeating a request with the same key and body repeats its answer.",
    ),
]


async def once(request: Request, known: AnyCaller, tx: TenantTx, key: Key = None) -> Kept:
    """Raises `Replayed` for a repeat, `IdempotencyKeyReused` when the body differs,
    `IdempotencyInProgress` while the first still runs."""
    keyed = await identified(request, f"{request.method} {request.url.path}", key)
    if keyed:
        await begin(tx, known.tenant_id, keyed)
    return Kept(tx, known.tenant_id, keyed)


Once = Annotated[Kept, Depends(once, scope="function")]


async def replay(_: Request, error: Exception) -> Response:
    """The handler of `Replayed`."""
    assert isinstance(error, Replayed)
    # jsonb keeps no order of fields: only the envelope's is given back.
    return JSONResponse({"success": True, "data": error.data}, error.status)


async def identified(request: Request, route: str, key: str | None) -> IdempotencyKey | None:
    """The request's key, with what it counts for."""
    return IdempotencyKey(route, key, digest(await request.body())) if key else None


async def begin(tx: Tx, tenant_id: str, keyed: IdempotencyKey) -> None:
    """Takes the key for this request, or raises as `once` does."""
    try:
        first = await idempotency.begin(tx, tenant_id, keyed)
    except LockNotAvailableError:
        raise IdempotencyInProgress(retry_after=1) from None
    if first is not None:
        raise repeated(first, keyed)


def repeated(first: Row, keyed: IdempotencyKey) -> Replayed | Problem:
    """How a request ends that was not the first with its key."""
    if first["body_digest"] != keyed.digest:
        return IdempotencyKeyReused()
    if first["status"] is None:
        return IdempotencyInProgress(retry_after=1)
    return Replayed(first["status"], first["answer"])

"""`Idempotency-Key` on a POST that creates something (contract 2)."""

import json
from collections.abc import Collection
from hashlib import sha256
from typing import Annotated, Any, TypeVar

from asyncpg.exceptions import LockNotAvailableError
from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.responses import Response

from app.domain.callers import Caller
from app.domain.problems import IdempotencyInProgress, IdempotencyKeyReused
from app.store import idempotency
from app.store.engine import Tx
from app.web.doors import AnyCaller, TenantTx

M = TypeVar("M", bound=BaseModel)


class Replayed(Exception):
    """The key's first answer, which ends this request before its route runs."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        self.status, self.answer = status, answer


class Kept:
    """Keeps the answer of the route it is given to, if the request bears a key."""

    def __init__(self, tx: Tx, tenant_id: str, route: str, key: str | None) -> None:
        self._tx, self._tenant_id, self._route, self._key = tx, tenant_id, route, key

    async def keep(self, answer: M, status: int = 201, secret: Collection[str] = ()) -> M:
        """`answer`, kept for a repeat; fields of its data named in `secret` are not kept."""
        if self._key:
            plain = answer.model_dump(mode="json", by_alias=True)
            data = {name: v for name, v in plain["data"].items() if name not in secret}
            plain["data"] = data
            await idempotency.finish(
                self._tx, self._tenant_id, self._route, self._key, status, plain
            )
        return answer


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Repeating a request with the same key and body repeats its answer.",
    ),
]


async def once(request: Request, known: AnyCaller, tx: TenantTx, key: Key = None) -> Kept:
    """Raises `Replayed` for a repeat, `IdempotencyKeyReused` when the body differs,
    `IdempotencyInProgress` while the first still runs."""
    route = f"{request.method} {request.url.path}"
    if key:
        await begin(tx, known, route, key, digest(await request.body()))
    return Kept(tx, known.tenant_id, route, key)


Once = Annotated[Kept, Depends(once, scope="function")]


async def replay(_: Request, error: Exception) -> Response:
    """The handler of `Replayed`."""
    assert isinstance(error, Replayed)
    # jsonb keeps no order of fields: only the envelope's is given back.
    return JSONResponse({"success": True, "data": error.answer["data"]}, error.status)


async def begin(tx: Tx, caller: Caller, route: str, key: str, digested: bytes) -> None:
    """Claims the key for this request, or raises as `once` does."""
    try:
        first = await idempotency.begin(tx, caller.tenant_id, route, key, digested)
    except LockNotAvailableError:
        raise IdempotencyInProgress(retry_after=1) from None
    if first is None:
        return
    if first["body_digest"] != digested:
        raise IdempotencyKeyReused
    if first["status"] is None:
        raise IdempotencyInProgress(retry_after=1)
    raise Replayed(first["status"], first["answer"])


def digest(body: bytes) -> bytes:
    """Of the parsed body: order and white space do not make another request."""
    parsed = json.loads(body) if body else None
    return sha256(json.dumps(parsed, sort_keys=True).encode()).digest()

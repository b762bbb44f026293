"""`Idempotency-Key` on a POST that creates something (contract 2)."""

from collections.abc import Collection
from typing import Annotated, TypeVar

from asyncpg.exceptions import LockNotAvailableError
from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.responses import Response

from app.domain.idempotency import IdempotencyKey, ReplayedAnswer, digest_body
from app.domain.problems import IdempotencyInProgress, IdempotencyKeyReused, Problem
from app.store import idempotency
from app.store.engine import Row, Tx
from app.web.dependencies import AnyCaller, TenantTx

M = TypeVar("M", bound=BaseModel)
MAX_KEY_LENGTH = 255


class Idempotency:
    """Keeps the answer of the route it is given to, if the request has a key."""

    def __init__(self, tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey | None) -> None:
        self._tx, self._tenant_id, self._idempotency_key = tx, tenant_id, idempotency_key

    async def store_answer(self, answer: M, status: int = 201, secret: Collection[str] = ()) -> M:
        """`answer`, kept for a repeat; fields of its data named in `secret` are not kept."""
        if self._idempotency_key:
            plain = answer.model_dump(mode="json", by_alias=True)
            data = {name: v for name, v in plain["data"].items() if name not in secret}
            plain["data"] = data
            await idempotency.store_answer(self._tx, self._tenant_id, self._idempotency_key, status, plain)
        return answer


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        description="Repeating a request with the same key and body repeats its answer.",
    ),
]


async def require_idempotency(request: Request, caller: AnyCaller, tx: TenantTx, key: Key = None) -> Idempotency:
    """Raises `Replayed` for a repeat, `IdempotencyKeyReused` when the body differs,
    `IdempotencyInProgress` while the first still runs."""
    idempotency_key = await build_key(request, f"{request.method} {request.url.path}", key)
    if idempotency_key:
        await claim_key(tx, caller.tenant_id, idempotency_key)
    return Idempotency(tx, caller.tenant_id, idempotency_key)


Idempotent = Annotated[Idempotency, Depends(require_idempotency, scope="function")]


async def replay_answer(_: Request, error: Exception) -> Response:
    """The handler of `Replayed`."""
    assert isinstance(error, ReplayedAnswer)
    # jsonb keeps no order of fields: only the envelope's is given back.
    return JSONResponse({"success": True, "data": error.data}, error.status)


async def build_key(request: Request, route: str, key: str | None) -> IdempotencyKey | None:
    """The request's key, with what it counts for."""
    return IdempotencyKey(route, key, digest_body(await request.body())) if key else None


async def claim_key(tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey) -> None:
    """Takes the key for this request, or raises as `require_idempotency` does."""
    try:
        first_answer = await idempotency.reserve_key(tx, tenant_id, idempotency_key)
    except LockNotAvailableError:
        raise IdempotencyInProgress(retry_after=1) from None
    if first_answer is not None:
        raise build_repeat_outcome(first_answer, idempotency_key)


def build_repeat_outcome(first_answer: Row, idempotency_key: IdempotencyKey) -> ReplayedAnswer | Problem:
    """How a request ends that was not the first with its key."""
    if first_answer["body_digest"] != idempotency_key.digest:
        return IdempotencyKeyReused()
    if first_answer["status"] is None:
        return IdempotencyInProgress(retry_after=1)
    return ReplayedAnswer(first_answer["status"], first_answer["answer"])

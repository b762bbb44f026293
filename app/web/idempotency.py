"""`Idempotency-Key` on a POST that creates something (`docs/contract.md`, section 2)."""

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
    """Stores the answer of a route for repeats, if the request has a key."""

    def __init__(self, tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey | None) -> None:
        self._tx, self._tenant_id, self._idempotency_key = tx, tenant_id, idempotency_key

    async def store_answer(self, answer: M, status: int = 201, secret: Collection[str] = ()) -> M:
        """Stores `answer` for repeats, without the fields of its data named in `secret`, and returns it."""
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
        description="A repeated request with the same key and body gets the first answer again.",
    ),
]


async def require_idempotency(request: Request, caller: AnyCaller, tx: TenantTx, key: Key = None) -> Idempotency:
    """Claims the request's key. Raises `ReplayedAnswer` for a repeat, `IdempotencyKeyReused` if the
    body differs, `IdempotencyInProgress` while the first request still runs."""
    idempotency_key = await build_key(request, f"{request.method} {request.url.path}", key)
    if idempotency_key:
        await claim_key(tx, caller.tenant_id, idempotency_key)
    return Idempotency(tx, caller.tenant_id, idempotency_key)


Idempotent = Annotated[Idempotency, Depends(require_idempotency, scope="function")]


async def replay_answer(_: Request, error: Exception) -> Response:
    """The exception handler of `ReplayedAnswer`."""
    assert isinstance(error, ReplayedAnswer)
    # jsonb does not keep the order of fields; only the envelope's order is restored.
    return JSONResponse({"success": True, "data": error.data}, error.status)


async def build_key(request: Request, route: str, key: str | None) -> IdempotencyKey | None:
    """Returns the request's key with its route and the digest of its body; None without a key."""
    return IdempotencyKey(route, key, digest_body(await request.body())) if key else None


async def claim_key(tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey) -> None:
    """Claims the key for this request. Raises as `require_idempotency` does."""
    try:
        first_answer = await idempotency.reserve_key(tx, tenant_id, idempotency_key)
    except LockNotAvailableError:
        raise IdempotencyInProgress(retry_after=1) from None
    if first_answer is not None:
        raise build_repeat_outcome(first_answer, idempotency_key)


def build_repeat_outcome(first_answer: Row, idempotency_key: IdempotencyKey) -> ReplayedAnswer | Problem:
    """Returns the outcome of a request that was not the first with its key: an answer or a problem."""
    if first_answer["body_digest"] != idempotency_key.digest:
        return IdempotencyKeyReused()
    if first_answer["status"] is None:
        return IdempotencyInProgress(retry_after=1)
    return ReplayedAnswer(first_answer["status"], first_answer["answer"])

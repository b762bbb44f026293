"""`Idempotency-Key` on a POST that creates something, and the same for forms. See docs/contract.md."""

from collections.abc import Collection
from typing import Annotated, Any, TypeVar

from asyncpg.exceptions import LockNotAvailableError
from fastapi import Depends, Header, Request
from pydantic import BaseModel

from app.domain.idempotency import IdempotencyKey, ReplayedAnswer, digest_body
from app.domain.problems import IdempotencyInProgress, IdempotencyKeyReused, Problem, Unavailable
from app.store import idempotency
from app.store.engine import Tx
from app.store.idempotency import FirstAnswer
from app.web.dependencies import AnyCaller, TenantTx

M = TypeVar("M", bound=BaseModel)
KEY_NAME = "Idempotency-Key"
MAX_KEY_LENGTH = 255


class Idempotency:
    """The claimed key of a request, in the transaction of its effect. Without a key it does nothing."""

    def __init__(self, tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey | None) -> None:
        self._tx, self._tenant_id, self._idempotency_key = tx, tenant_id, idempotency_key

    async def store_answer(
        self, answer: M, status: int = 201, secret: Collection[str] = (), exclude_none: bool = False
    ) -> M:
        """Stores `answer` for a repeat, but not the fields of its data that `secret` names."""
        if self._idempotency_key:
            plain = answer.model_dump(mode="json", by_alias=True, exclude_none=exclude_none)
            await self.store_data({name: v for name, v in plain["data"].items() if name not in secret}, status)
        return answer

    async def store_data(self, data: dict[str, Any], status: int) -> None:
        """Stores the data of an answer for a repeat."""
        if self._idempotency_key:
            answer = {"success": True, "data": data}
            await idempotency.store_answer(self._tx, self._tenant_id, self._idempotency_key, status, answer)

    async def free_key(self) -> None:
        """Frees the key of a refused request that commits all the same."""
        if self._idempotency_key:
            await idempotency.free_key(self._tx, self._tenant_id, self._idempotency_key)


Key = Annotated[
    str | None,
    Header(
        alias=KEY_NAME,
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        description="A repeated request with the same key and body gets the first answer again.",
    ),
]


async def read_key(request: Request, key: Key = None) -> IdempotencyKey | None:
    """The request's key on its own route."""
    return await build_key(request, f"{request.method} {request.url.path}", key)


RouteKey = Annotated[IdempotencyKey | None, Depends(read_key)]


async def require_idempotency(caller: AnyCaller, tx: TenantTx, key: RouteKey) -> Idempotency:
    """Raises as `claim_key` does."""
    return await claim_key(tx, caller.tenant_id, key)


Idempotent = Annotated[Idempotency, Depends(require_idempotency, scope="function")]


async def build_key(request: Request, route: str, key: str | None) -> IdempotencyKey | None:
    """The request's key with its route and the digest of its body; None without a key."""
    return IdempotencyKey(route, key, digest_body(await request.body())) if key else None


async def claim_key(tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey | None) -> Idempotency:
    """Claims the key for this request. Raises `ReplayedAnswer` for a repeat, `IdempotencyKeyReused`
    when the body differs, `IdempotencyInProgress` while the first request still runs, and `Unavailable` while the
    tenant is locked."""
    if idempotency_key is None:
        return Idempotency(tx, tenant_id, None)
    try:
        first_answer = await idempotency.reserve_key(tx, tenant_id, idempotency_key)
    except LockNotAvailableError as error:
        is_tenant_locked = idempotency.has_waited_for_tenant(error)
        raise Unavailable() if is_tenant_locked else IdempotencyInProgress(retry_after=1) from None
    if first_answer is not None:
        raise build_repeat_outcome(first_answer, idempotency_key)
    return Idempotency(tx, tenant_id, idempotency_key)


def build_repeat_outcome(first_answer: FirstAnswer, idempotency_key: IdempotencyKey) -> ReplayedAnswer | Problem:
    """What to raise for a request that is not the first with its key."""
    if first_answer.body_digest != idempotency_key.digest:
        return IdempotencyKeyReused()
    if first_answer.status is None or first_answer.answer is None:
        return IdempotencyInProgress(retry_after=1)
    return ReplayedAnswer(first_answer.status, first_answer.answer)

"""Answers by `Idempotency-Key`, stored in the transaction of the request they answer.

A second request with the same key waits at the unique index until the first one commits or rolls
back. A refused request rolls back, which frees the key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asyncpg.exceptions import LockNotAvailableError

from app.domain.idempotency import IdempotencyKey
from app.store.engine import ReadTx, Tx, as_columns

SET_LOCK_TIMEOUT_SQL = "SET LOCAL lock_timeout = '1s'"
RESET_LOCK_TIMEOUT_SQL = "SET LOCAL lock_timeout = DEFAULT"
RESERVE_KEY_SQL = """
INSERT INTO idempotency (tenant_id, route, key, body_digest) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING key
"""
FIND_FIRST_ANSWERS_SQL = """
SELECT a.i - 1 AS position, k.body_digest, k.status, k.answer
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a(tenant_id, route, key, i)
JOIN idempotency k USING (tenant_id, route, key)
"""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """The first request with a key, and its answer."""

    position: int
    """Which of the asked keys it is."""
    body_digest: bytes
    status: int | None
    """None: it still runs."""
    answer: dict[str, Any] | None


async def reserve_key(tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey) -> FirstAnswer | None:
    """Reserves the key for this request and returns None. If it is taken, returns
    the first request's answer. Raises `LockNotAvailableError` if the first request still
    runs after a second, or if the tenant is locked for so long (`has_waited_for_tenant`)."""
    await tx.execute(SET_LOCK_TIMEOUT_SQL)
    is_first = await tx.fetch_value(
        RESERVE_KEY_SQL, tenant_id, idempotency_key.route, idempotency_key.key, idempotency_key.digest
    )
    await tx.execute(RESET_LOCK_TIMEOUT_SQL)
    return None if is_first else (await find_first_answers(tx, [(tenant_id, idempotency_key)])).get(0)


def has_waited_for_tenant(error: LockNotAvailableError) -> bool:
    """Whether it was not the key that somebody else held, but the row of the tenant, to which each key refers: a
    move to another cell locks it."""
    return '"tenants"' in (error.context or "")


async def find_first_answers(read: ReadTx, keys: Sequence[tuple[str, IdempotencyKey]]) -> dict[int, FirstAnswer]:
    """The first answer for each (tenant, key) that was used before, by position in `keys`."""
    rows = [(tenant_id, key.route, key.key) for tenant_id, key in keys]
    answers = await read.fetch(FirstAnswer, FIND_FIRST_ANSWERS_SQL, *as_columns(rows, 3))
    return {answer.position: answer for answer in answers}


STORE_ANSWER_SQL = """
UPDATE idempotency SET status = $4, answer = $5 WHERE tenant_id = $1 AND route = $2 AND key = $3
"""


async def store_answer(
    tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey, status: int, answer: dict[str, Any]
) -> None:
    """Stores the answer for repeats of the request."""
    await tx.execute(STORE_ANSWER_SQL, tenant_id, idempotency_key.route, idempotency_key.key, status, answer)


FREE_KEY_SQL = "DELETE FROM idempotency WHERE tenant_id = $1 AND route = $2 AND key = $3"


async def free_key(tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey) -> None:
    """Frees the key of a refused request whose transaction commits because it recorded something."""
    await tx.execute(FREE_KEY_SQL, tenant_id, idempotency_key.route, idempotency_key.key)

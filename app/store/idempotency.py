"""Answers by `Idempotency-Key`, stored in the transaction of the request they answer.

A second request with the same key waits at the unique index until the first one commits or rolls
back. A refused request rolls back, which frees the key.
"""

from collections.abc import Sequence
from typing import Any

from app.domain.idempotency import IdempotencyKey
from app.store.engine import ReadTx, Row, Tx, as_columns

SET_LOCK_TIMEOUT_SQL = "SET LOCAL lock_timeout = '1s'"
RESET_LOCK_TIMEOUT_SQL = "SET LOCAL lock_timeout = DEFAULT"
RESERVE_KEY_SQL = """
INSERT INTO idempotency (tenant_id, route, key, body_digest) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING key
"""
FIND_FIRST_ANSWERS_SQL = """
SELECT a.i, k.body_digest, k.status, k.answer
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) AS a(i, tenant_id, route, key)
JOIN idempotency k USING (tenant_id, route, key)
"""


async def reserve_key(tx: Tx, tenant_id: str, idempotency_key: IdempotencyKey) -> Row | None:
    """Reserves the key for this request and returns None. If it is taken, returns the first
    request's digest, status and answer. Raises `LockNotAvailableError` if the first request still
    runs after a second."""
    await tx.execute(SET_LOCK_TIMEOUT_SQL)
    is_first = await tx.fetch_value(
        RESERVE_KEY_SQL,
        tenant_id,
        idempotency_key.route,
        idempotency_key.key,
        idempotency_key.digest,
    )
    await tx.execute(RESET_LOCK_TIMEOUT_SQL)
    return None if is_first else (await find_first_answers(tx, [(tenant_id, idempotency_key)])).get(0)


async def find_first_answers(read: ReadTx, keys: Sequence[tuple[str, IdempotencyKey]]) -> dict[int, Row]:
    """The first answer for each (tenant, key) that was used before, by position in `keys`."""
    rows = [
        (i, tenant_id, idempotency_key.route, idempotency_key.key)
        for i, (tenant_id, idempotency_key) in enumerate(keys)
    ]
    return {row["i"]: row for row in await read.fetch_rows(FIND_FIRST_ANSWERS_SQL, *as_columns(rows, 4))}


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

"""First answers by Idempotency-Key (contract 2), kept in the transaction of their effect.

A second request with the key waits at the unique index until the first commits or rolls
back; a refusal rolls back and so frees the key.
"""

from collections.abc import Sequence
from typing import Any

from app.domain.idempotency import IdempotencyKey
from app.store.engine import Read, Row, Tx, spread

WAIT = "SET LOCAL lock_timeout = '1s'"
NO_WAIT = "SET LOCAL lock_timeout = DEFAULT"
BEGIN = """
INSERT INTO idempotency (tenant_id, route, key, body_digest) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING key
"""
FIRST = """
SELECT a.i, k.body_digest, k.status, k.answer
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) AS a(i, tenant_id, route, key)
JOIN idempotency k USING (tenant_id, route, key)
"""


async def begin(tx: Tx, tenant_id: str, keyed: IdempotencyKey) -> Row | None:
    """None: this request is the first. Else what is kept of the first one. Raises
    `LockNotAvailableError` when that still runs after a second."""
    await tx.execute(WAIT)
    mine = await tx.value(BEGIN, tenant_id, keyed.route, keyed.key, keyed.digest)
    await tx.execute(NO_WAIT)
    return None if mine else (await first(tx, [(tenant_id, keyed)])).get(0)


async def first(read: Read, asked: Sequence[tuple[str, IdempotencyKey]]) -> dict[int, Row]:
    """What is kept of the first request with each (tenant, key), by its place, if there was one."""
    rows = [(i, tenant_id, one.route, one.key) for i, (tenant_id, one) in enumerate(asked)]
    return {row["i"]: row for row in await read.rows(FIRST, *spread(rows, 4))}


FINISH = """
UPDATE idempotency SET status = $4, answer = $5 WHERE tenant_id = $1 AND route = $2 AND key = $3
"""


async def finish(tx: Tx, tenant_id: str, keyed: IdempotencyKey, status: int, answer: dict[str, Any]) -> None:
    """Keeps the answer for those who ask again."""
    await tx.execute(FINISH, tenant_id, keyed.route, keyed.key, status, answer)


FORGET = "DELETE FROM idempotency WHERE tenant_id = $1 AND route = $2 AND key = $3"


async def forget(tx: Tx, tenant_id: str, keyed: IdempotencyKey) -> None:
    """Frees the key: the request was refused, and what that recorded is committed."""
    await tx.execute(FORGET, tenant_id, keyed.route, keyed.key)

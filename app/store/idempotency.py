"""First answers by Idempotency-Key (contract 2), kept in the transaction of their effect.

A second request with the key waits at the unique index until the first commits or rolls
back; a refusal rolls back and so frees the key.
"""

from typing import Any

from app.store.engine import Row, Tx

WAIT = "SET LOCAL lock_timeout = '1s'"
NO_WAIT = "SET LOCAL lock_timeout = DEFAULT"
BEGIN = """
INSERT INTO idempotency (tenant_id, route, key, body_digest) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING key
"""
FIRST = """
SELECT body_digest, status, answer FROM idempotency
WHERE tenant_id = $1 AND route = $2 AND key = $3
"""


async def begin(tx: Tx, tenant_id: str, route: str, key: str, digest: bytes) -> Row | None:
    """None: this request is the first. Else what is kept of the first one. Raises
    `LockNotAvailableError` when that still runs after a second."""
    await tx.execute(WAIT)
    mine = await tx.value(BEGIN, tenant_id, route, key, digest)
    await tx.execute(NO_WAIT)
    return None if mine else await tx.row(FIRST, tenant_id, route, key)


FINISH = """
UPDATE idempotency SET status = $4, answer = $5 WHERE tenant_id = $1 AND route = $2 AND key = $3
"""


async def finish(
    tx: Tx, tenant_id: str, route: str, key: str, status: int, answer: dict[str, Any]
) -> None:
    """Keeps the answer for those who ask again."""
    await tx.execute(FINISH, tenant_id, route, key, status, answer)


FORGET = "DELETE FROM idempotency WHERE tenant_id = $1 AND route = $2 AND key = $3"


async def forget(tx: Tx, tenant_id: str, route: str, key: str) -> None:
    """Frees the key: the request was refused, and what that recorded is committed."""
    await tx.execute(FORGET, tenant_id, route, key)

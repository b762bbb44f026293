"""API keys as their tenant sees them. How one opens the door stands in `access`."""

from app.store import directory
from app.store.engine import Read, Row, Tx

ADD = """
INSERT INTO api_keys (tenant_id, key_id, name, scope, sms_agent_id, prefix, digest,
    requests_per_second)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *
"""


async def add(
    tx: Tx,
    tenant_id: str,
    key_id: str,
    name: str,
    scope: str,
    sms_agent_id: str | None,
    prefix: str,
    digest: bytes,
    per_second: int | None,
) -> Row:
    row = await tx.row(ADD, tenant_id, key_id, name, scope, sms_agent_id, prefix, digest, per_second)
    assert row is not None
    return row


GET = directory.getting("api_keys", "key_id") + " AND revoked_at IS NULL"


async def get(read: Read, tenant_id: str, key_id: str) -> Row | None:
    return await read.row(GET, tenant_id, key_id)


LIST = directory.listing("api_keys", "key_id", "revoked_at IS NULL")


async def listed(read: Read, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.rows(LIST, tenant_id, below, limit)


LOCK = directory.getting("api_keys", "key_id") + " AND revoked_at IS NULL FOR UPDATE"


async def lock(tx: Tx, tenant_id: str, key_id: str) -> Row | None:
    return await tx.row(LOCK, tenant_id, key_id)


CHANGE = """
UPDATE api_keys SET name = $3, requests_per_second = $4 WHERE tenant_id = $1 AND key_id = $2
RETURNING *
"""


async def change(tx: Tx, tenant_id: str, key_id: str, name: str, per_second: int | None) -> Row | None:
    return await tx.row(CHANGE, tenant_id, key_id, name, per_second)


REVOKE = """
UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL
RETURNING *
"""


async def revoke(tx: Tx, tenant_id: str, key_id: str) -> Row | None:
    """The row stays, so that records which name the key can be read."""
    return await tx.row(REVOKE, tenant_id, key_id)

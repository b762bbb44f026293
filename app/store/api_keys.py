"""API keys as their tenant manages them; `store.access` authenticates requests."""

from app.store import directory
from app.store.engine import ReadTx, Row, Tx

ADD_KEY_SQL = """
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
    row = await tx.fetch_row(ADD_KEY_SQL, tenant_id, key_id, name, scope, sms_agent_id, prefix, digest, per_second)
    assert row is not None
    return row


GET_KEY_SQL = directory.select_one_sql("api_keys", "key_id") + " AND revoked_at IS NULL"


async def get(read: ReadTx, tenant_id: str, key_id: str) -> Row | None:
    return await read.fetch_row(GET_KEY_SQL, tenant_id, key_id)


LIST_KEYS_SQL = directory.select_page_sql("api_keys", "key_id", "revoked_at IS NULL")


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.fetch_rows(LIST_KEYS_SQL, tenant_id, below, limit)


LOCK_KEY_SQL = directory.select_one_sql("api_keys", "key_id") + " AND revoked_at IS NULL FOR UPDATE"


async def lock(tx: Tx, tenant_id: str, key_id: str) -> Row | None:
    return await tx.fetch_row(LOCK_KEY_SQL, tenant_id, key_id)


CHANGE_KEY_SQL = """
UPDATE api_keys SET name = $3, requests_per_second = $4 WHERE tenant_id = $1 AND key_id = $2
RETURNING *
"""


async def change(tx: Tx, tenant_id: str, key_id: str, name: str, per_second: int | None) -> Row | None:
    return await tx.fetch_row(CHANGE_KEY_SQL, tenant_id, key_id, name, per_second)


REVOKE_KEY_SQL = """
UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL
RETURNING *
"""


async def revoke(tx: Tx, tenant_id: str, key_id: str) -> Row | None:
    """Marks the key as revoked. The row stays for the records that name it."""
    return await tx.fetch_row(REVOKE_KEY_SQL, tenant_id, key_id)

"""API keys as their tenant manages them; `store.access` authenticates requests."""

from app.store import core
from app.store.engine import Tx
from app.store.schema import ApiKey

NOT_REVOKED = ApiKey.revoked_at.is_(None)
REVOKE_KEY_SQL = """
UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL
RETURNING *
"""


async def revoke(tx: Tx, tenant_id: str, key_id: str) -> ApiKey | None:
    """Marks the key as revoked. The row stays for the records that name it."""
    return await core.fetch_first(tx, ApiKey, REVOKE_KEY_SQL, tenant_id, key_id)

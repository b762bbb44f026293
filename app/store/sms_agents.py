"""What only SMS agents need; `store.directory` has the rest. Signing secrets are stored sealed."""

from datetime import timedelta

from app.store import core
from app.store.engine import ReadTx, Tx
from app.store.schema import SmsAgent

ROTATE_SQL = """
UPDATE sms_agents SET previous_secret = secret, previous_secret_until = now() + $4::interval,
    secret = $3, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND sms_agent_id = $2 RETURNING *
"""


async def rotate_secret(
    tx: Tx, tenant_id: str, sms_agent_id: str, sealed_secret: bytes, overlap: timedelta
) -> SmsAgent | None:
    """Sets a new sealed signing secret; the previous one stays valid for `overlap`."""
    return await core.fetch_first(tx, SmsAgent, ROTATE_SQL, tenant_id, sms_agent_id, sealed_secret, overlap)


HAS_TURNS_SQL = "SELECT 1 FROM turns WHERE tenant_id = $1 AND sms_agent_id = $2 LIMIT 1"


async def has_turns(read: ReadTx, tenant_id: str, sms_agent_id: str) -> bool:
    return await read.fetch_value(HAS_TURNS_SQL, tenant_id, sms_agent_id) is not None

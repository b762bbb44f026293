"""What only SMS agents need; `store.directory` has the rest."""

from app.store.engine import ReadTx

HAS_TURNS_SQL = "SELECT 1 FROM turns WHERE tenant_id = $1 AND sms_agent_id = $2 LIMIT 1"


async def has_turns(read: ReadTx, tenant_id: str, sms_agent_id: str) -> bool:
    return await read.fetch_value(HAS_TURNS_SQL, tenant_id, sms_agent_id) is not None

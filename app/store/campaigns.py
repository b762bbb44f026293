"""What only campaigns need; `store.directory` has the rest."""

from collections.abc import Collection

from app.store.engine import ReadTx

IS_IN_USE_SQL = "SELECT 1 FROM sms_agents WHERE tenant_id = $1 AND $2 = ANY (inbound_campaign_ids) LIMIT 1"


async def is_in_use(read: ReadTx, tenant_id: str, campaign_id: str) -> bool:
    """Whether an agent takes inbound texts for the campaign. This list of ids has no foreign key;
    all other references have."""
    return await read.fetch_value(IS_IN_USE_SQL, tenant_id, campaign_id) is not None


FIND_KNOWN_SQL = "SELECT campaign_id FROM campaigns WHERE tenant_id = $1 AND campaign_id = ANY ($2)"


async def find_known(read: ReadTx, tenant_id: str, ids: Collection[str]) -> set[str]:
    """Which of the ids are campaigns of the tenant."""
    rows = await read.fetch_rows(FIND_KNOWN_SQL, tenant_id, list(ids))
    return {row["campaign_id"] for row in rows}

"""Campaigns."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.store import directory
from app.store.engine import ReadTx, Row, Tx

COLUMNS = (
    "name",
    "active",
    "client_id",
    "client_name",
    "offer_id",
    "offer_name",
    "phone_number_id",
    "provider",
    "sms_agent_id",
    "test_sms_agent_id",
    "questionnaire",
)

ADD_CAMPAIGNS_SQL = directory.insert_sql("campaigns", ("campaign_id", *COLUMNS))


async def add(tx: Tx, campaigns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Adds the campaigns whose ids are free; returns those."""
    return await tx.fetch_rows(ADD_CAMPAIGNS_SQL, [dict(campaign) for campaign in campaigns])


PUT_CAMPAIGNS_SQL = directory.insert_sql(
    "campaigns",
    ("campaign_id", *COLUMNS),
    "(tenant_id, campaign_id) DO UPDATE SET updated_at = clock_timestamp(), "
    + ", ".join(f"{column} = excluded.{column}" for column in COLUMNS),
).replace("RETURNING t.*", "RETURNING t.*, t.xmax = 0 AS created")


async def put(tx: Tx, campaigns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Adds or replaces the campaigns; `created` is true for those that were added."""
    return await tx.fetch_rows(PUT_CAMPAIGNS_SQL, [dict(campaign) for campaign in campaigns])


CHANGE_CAMPAIGNS_SQL = directory.update_sql("campaigns", "campaign_id", COLUMNS)


async def change(tx: Tx, campaigns: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.fetch_rows(CHANGE_CAMPAIGNS_SQL, [dict(campaign) for campaign in campaigns])


GET_CAMPAIGN_SQL = directory.select_one_sql("campaigns", "campaign_id")


async def get(read: ReadTx, tenant_id: str, campaign_id: str) -> Row | None:
    return await read.fetch_row(GET_CAMPAIGN_SQL, tenant_id, campaign_id)


LOCK_CAMPAIGN_SQL = directory.select_one_sql("campaigns", "campaign_id", lock=True)


async def lock(tx: Tx, tenant_id: str, campaign_id: str) -> Row | None:
    return await tx.fetch_row(LOCK_CAMPAIGN_SQL, tenant_id, campaign_id)


LIST_CAMPAIGNS_SQL = directory.select_page_sql("campaigns", "campaign_id")


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.fetch_rows(LIST_CAMPAIGNS_SQL, tenant_id, below, limit)


IS_IN_USE_SQL = "SELECT 1 FROM sms_agents WHERE tenant_id = $1 AND $2 = ANY (inbound_campaign_ids) LIMIT 1"


async def is_in_use(read: ReadTx, tenant_id: str, campaign_id: str) -> bool:
    """Whether an agent takes inbound texts for the campaign. This list of ids has no foreign key;
    all other references have."""
    return await read.fetch_value(IS_IN_USE_SQL, tenant_id, campaign_id) is not None


REMOVE_CAMPAIGN_SQL = directory.delete_sql("campaigns", "campaign_id")


async def remove(tx: Tx, tenant_id: str, campaign_id: str) -> bool:
    """Raises `StillReferenced` when leads or threads refer to it."""
    return await tx.fetch_value(REMOVE_CAMPAIGN_SQL, tenant_id, campaign_id) is not None


FIND_KNOWN_SQL = "SELECT campaign_id FROM campaigns WHERE tenant_id = $1 AND campaign_id = ANY ($2)"


async def find_known(read: ReadTx, tenant_id: str, ids: Collection[str]) -> set[str]:
    """Which of the ids are campaigns of the tenant."""
    rows = await read.fetch_rows(FIND_KNOWN_SQL, tenant_id, list(ids))
    return {row["campaign_id"] for row in rows}

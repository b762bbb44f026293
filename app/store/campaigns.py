"""Campaigns."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.store import directory
from app.store.engine import Read, Row, Tx

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

ADD = directory.adding("campaigns", ("campaign_id", *COLUMNS))


async def add(tx: Tx, campaigns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Adds the campaigns whose ids are free; returns those."""
    return await tx.rows(ADD, [dict(campaign) for campaign in campaigns])


PUT = directory.adding(
    "campaigns",
    ("campaign_id", *COLUMNS),
    "(tenant_id, campaign_id) DO UPDATE SET updated_at = clock_timestamp(), "
    + ", ".join(f"{column} = excluded.{column}" for column in COLUMNS),
).replace("RETURNING t.*", "RETURNING t.*, t.xmax = 0 AS created")


async def put(tx: Tx, campaigns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Adds or replaces the campaigns; `created` tells which."""
    return await tx.rows(PUT, [dict(campaign) for campaign in campaigns])


CHANGE = directory.changing("campaigns", "campaign_id", COLUMNS)


async def change(tx: Tx, campaigns: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.rows(CHANGE, [dict(campaign) for campaign in campaigns])


GET = directory.getting("campaigns", "campaign_id")


async def get(read: Read, tenant_id: str, campaign_id: str) -> Row | None:
    return await read.row(GET, tenant_id, campaign_id)


LOCK = directory.getting("campaigns", "campaign_id", lock=True)


async def lock(tx: Tx, tenant_id: str, campaign_id: str) -> Row | None:
    return await tx.row(LOCK, tenant_id, campaign_id)


LIST = directory.listing("campaigns", "campaign_id")


async def listed(read: Read, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.rows(LIST, tenant_id, below, limit)


SERVED = "SELECT 1 FROM sms_agents WHERE tenant_id = $1 AND $2 = ANY (inbound_campaign_ids) LIMIT 1"


async def in_use(read: Read, tenant_id: str, campaign_id: str) -> bool:
    """Whether an agent takes inbound texts for it; other references are foreign keys."""
    return await read.value(SERVED, tenant_id, campaign_id) is not None


REMOVE = directory.removing("campaigns", "campaign_id")


async def remove(tx: Tx, tenant_id: str, campaign_id: str) -> bool:
    """Raises `StillReferenced` when leads or threads refer to it."""
    return await tx.value(REMOVE, tenant_id, campaign_id) is not None


KNOWN = "SELECT campaign_id FROM campaigns WHERE tenant_id = $1 AND campaign_id = ANY ($2)"


async def known(read: Read, tenant_id: str, ids: Collection[str]) -> set[str]:
    """Which of the ids are campaigns of the tenant."""
    rows = await read.rows(KNOWN, tenant_id, list(ids))
    return {row["campaign_id"] for row in rows}

"""Campaigns: add, put, change, remove."""

from app.commands.directory import Fields, change_row, check_columns, lock_row, require_found, unless_in_use
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import AlreadyExists, InUse
from app.store import campaigns, directory
from app.store.engine import Tx
from app.store.schema import Campaign


async def add(tx: Tx, caller: Caller, fields: Fields) -> Campaign:
    """Adds a campaign. Raises `Invalid`, `AlreadyExists`."""
    await check_columns(tx, caller, Campaign, fields)
    campaign_id = fields.get("campaign_id") or ids.make("campaign")
    campaign = await directory.add(tx, Campaign, caller.tenant_id, campaign_id, fields)
    if campaign is None:
        raise AlreadyExists(details=["campaignId: is taken"])
    return campaign


async def add_or_replace(tx: Tx, caller: Caller, campaign_id: str, fields: Fields) -> tuple[Campaign, bool]:
    """Adds or replaces the campaign; returns it, and whether it is new. Raises `Invalid`."""
    await check_columns(tx, caller, Campaign, fields)
    return await directory.add_or_replace(tx, Campaign, caller.tenant_id, campaign_id, fields)


async def change(tx: Tx, caller: Caller, campaign_id: str, fields: Fields) -> Campaign:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    await lock_row(tx, caller, Campaign, campaign_id)
    await check_columns(tx, caller, Campaign, fields)
    return await change_row(tx, caller, Campaign, campaign_id, fields)


async def remove(tx: Tx, caller: Caller, campaign_id: str) -> None:
    """Raises `NotFound`; `InUse` while a lead, an interaction or an agent refers to it."""
    if await campaigns.is_in_use(tx, caller.tenant_id, campaign_id):
        raise InUse(details=["campaignId: an SMS agent takes inbound texts for it"])
    with unless_in_use("campaignId: leads or interactions belong to it"):
        require_found(await directory.remove(tx, Campaign, caller.tenant_id, campaign_id) or None)

"""Campaigns: add, put, change, remove."""

from app.commands.directory import (
    Fields,
    first_row,
    merge_fields,
    require_found,
    require_known,
    require_not_null,
    unless_in_use,
)
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import AlreadyExists, InUse
from app.store import campaigns
from app.store.engine import Row, Tx

DEFAULTS: Fields = {
    "active": True,
    "client_id": None,
    "client_name": None,
    "offer_id": None,
    "offer_name": None,
    "phone_number_id": None,
    "provider": None,
    "sms_agent_id": None,
    "test_sms_agent_id": None,
    "questionnaire": [],
}
REFERENCE_FIELDS = {
    "phone_number_id": ("phoneNumberId", "number"),
    "sms_agent_id": ("smsAgentId", "agent"),
    "test_sms_agent_id": ("testSmsAgentId", "agent"),
}
NOT_NULL = {"name": "name", "active": "active", "questionnaire": "questionnaire"}


async def add(tx: Tx, caller: Caller, fields: Fields) -> Row:
    """Adds a campaign. Raises `Invalid`, `AlreadyExists`."""
    await _check_fields(tx, caller, fields)
    campaign_id = fields.get("campaign_id") or ids.make("campaign")
    key = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id}
    row = first_row(await campaigns.add(tx, [{**DEFAULTS, **fields, **key}]))
    if row is None:
        raise AlreadyExists(details=["campaignId: is taken"])
    campaign: Row = row
    return campaign


async def put(tx: Tx, caller: Caller, campaign_id: str, fields: Fields) -> Row:
    """Adds or replaces the campaign; `created` is true if it was added. Raises `Invalid`."""
    await _check_fields(tx, caller, fields)
    key = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id}
    [row] = await campaigns.put(tx, [{**DEFAULTS, **fields, **key}])
    return row


async def change(tx: Tx, caller: Caller, campaign_id: str, fields: Fields) -> Row:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    row = require_found(await campaigns.lock(tx, caller.tenant_id, campaign_id))
    await _check_fields(tx, caller, fields)
    new_row = merge_fields(row, fields)
    columns = ("tenant_id", "campaign_id", *campaigns.COLUMNS)
    [campaign] = await campaigns.change(tx, [{column: new_row[column] for column in columns}])
    return campaign


async def remove(tx: Tx, caller: Caller, campaign_id: str) -> None:
    """Raises `NotFound`; `InUse` while a lead, an interaction or an agent refers to it."""
    if await campaigns.is_in_use(tx, caller.tenant_id, campaign_id):
        raise InUse(details=["campaignId: an SMS agent takes inbound texts for it"])
    with unless_in_use("campaignId: leads or interactions belong to it"):
        require_found(await campaigns.remove(tx, caller.tenant_id, campaign_id) or None)


async def _check_fields(tx: Tx, caller: Caller, fields: Fields) -> None:
    require_not_null(fields, NOT_NULL)
    await require_known(tx, caller.tenant_id, fields, REFERENCE_FIELDS)

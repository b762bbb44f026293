"""Campaigns: add, put, change, remove."""

from app.commands.directory import (
    Given,
    found,
    merged,
    only_one,
    require_known,
    require_not_null,
    unless_in_use,
)
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import AlreadyExists, InUse
from app.store import campaigns
from app.store.engine import Row, Tx

FRESH: Given = {
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
NAMED = {
    "phone_number_id": ("phoneNumberId", "number"),
    "sms_agent_id": ("smsAgentId", "agent"),
    "test_sms_agent_id": ("testSmsAgentId", "agent"),
}
NOT_NULL = {"name": "name", "active": "active", "questionnaire": "questionnaire"}


async def add(tx: Tx, caller: Caller, given: Given) -> Row:
    """A new campaign. Raises `Invalid`, `AlreadyExists`."""
    await _check(tx, caller, given)
    campaign_id = given.get("campaign_id") or ids.make("campaign")
    key = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id}
    row = only_one(await campaigns.add(tx, [{**FRESH, **given, **key}]))
    if row is None:
        raise AlreadyExists(details=["campaignId: is taken"])
    campaign: Row = row
    return campaign


async def put(tx: Tx, caller: Caller, campaign_id: str, given: Given) -> Row:
    """The campaign as given, new or replaced whole; `created` tells which."""
    await _check(tx, caller, given)
    key = {"tenant_id": caller.tenant_id, "campaign_id": campaign_id}
    [row] = await campaigns.put(tx, [{**FRESH, **given, **key}])
    return row


async def change(tx: Tx, caller: Caller, campaign_id: str, given: Given) -> Row:
    """Changes only what is given. Raises `Invalid`, `NotFound`."""
    row = found(await campaigns.lock(tx, caller.tenant_id, campaign_id))
    await _check(tx, caller, given)
    wanted = merged(row, given)
    columns = ("tenant_id", "campaign_id", *campaigns.COLUMNS)
    [changed] = await campaigns.change(tx, [{column: wanted[column] for column in columns}])
    return changed


async def remove(tx: Tx, caller: Caller, campaign_id: str) -> None:
    """Raises `NotFound`; `InUse` while leads, interactions or agents name it."""
    if await campaigns.in_use(tx, caller.tenant_id, campaign_id):
        raise InUse(details=["campaignId: an SMS agent takes inbound texts for it"])
    with unless_in_use("campaignId: leads or interactions belong to it"):
        found(await campaigns.remove(tx, caller.tenant_id, campaign_id) or None)


async def _check(tx: Tx, caller: Caller, given: Given) -> None:
    require_not_null(given, NOT_NULL)
    await require_known(tx, caller.tenant_id, given, NAMED)

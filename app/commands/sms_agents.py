"""SMS agents: add, change, remove, rotate the signing secret. Secrets come sealed."""

from datetime import time, timedelta
from zoneinfo import available_timezones

from app.commands.directory import (
    Given,
    found,
    merged,
    require_known,
    require_not_null,
    require_url,
    unless_in_use,
)
from app.domain import ids, windows
from app.domain.callers import Caller
from app.domain.problems import InUse, Invalid
from app.store import directory, sms_agents
from app.store.engine import Row, Tx

FRESH: Given = {
    "description": None,
    "phone_number_id": None,
    "batch_window_ms": windows.WINDOW_MS,
    "max_wait_ms": None,
    "is_test": False,
    "active": True,
    "inbound_enabled": True,
    "inbound_campaign_ids": [],
    "agent_mode_by_default": False,
    "stale_reply": "rerun",
    "resume_after_minutes": None,
    "max_turns_per_day": 50,
    "business_hours": None,
    "reply_delay_ms": 0,
    "shadow_webhook_url": None,
}
NOT_NULL = {
    "name": "name",
    "webhook_url": "webhookUrl",
    "batch_window_ms": "batchWindowMs",
    "is_test": "isTest",
    "active": "active",
    "inbound_enabled": "inboundEnabled",
    "inbound_campaign_ids": "inboundCampaignIds",
    "agent_mode_by_default": "agentModeByDefault",
    "stale_reply": "staleReply",
    "max_turns_per_day": "maxTurnsPerDay",
    "reply_delay_ms": "replyDelayMs",
}
BOTH_SECRETS_FOR = timedelta(hours=24)


async def add(tx: Tx, caller: Caller, given: Given, sealed: bytes) -> Row:
    """A new agent; `sealed` is its signing secret. Raises `Invalid`."""
    key = {"tenant_id": caller.tenant_id, "sms_agent_id": ids.make("smsagent"), "secret": sealed}
    wanted = {**FRESH, **given, **key}
    await _check(tx, caller, given, wanted)
    [row] = await sms_agents.add(tx, [wanted])
    return row


async def change(tx: Tx, caller: Caller, sms_agent_id: str, given: Given) -> Row:
    """Changes only what is given. Raises `Invalid`, `NotFound`."""
    row = found(await sms_agents.lock(tx, caller.tenant_id, sms_agent_id))
    wanted = merged(row, given)
    await _check(tx, caller, given, wanted)
    [changed] = await sms_agents.change(tx, [wanted])
    return changed


async def rotate(tx: Tx, caller: Caller, sms_agent_id: str, sealed: bytes) -> Row:
    """The new secret signs from now on, and the one before beside it for a day."""
    rotated = await sms_agents.rotate(tx, caller.tenant_id, sms_agent_id, sealed, BOTH_SECRETS_FOR)
    return found(rotated)


async def remove(tx: Tx, caller: Caller, sms_agent_id: str) -> None:
    """Raises `NotFound`; `InUse` while a campaign names it or turns tell of it."""
    found(await sms_agents.lock(tx, caller.tenant_id, sms_agent_id))
    if await sms_agents.has_turns(tx, caller.tenant_id, sms_agent_id):
        raise InUse(details=["smsAgentId: turns were handed to it"])
    with unless_in_use("smsAgentId: a campaign uses it"):
        await sms_agents.remove(tx, caller.tenant_id, sms_agent_id)


async def _check(tx: Tx, caller: Caller, given: Given, wanted: Given) -> None:
    require_not_null(given, NOT_NULL)
    if "webhook_url" in given:
        require_url(given["webhook_url"], "webhookUrl")
    if given.get("shadow_webhook_url"):
        require_url(given["shadow_webhook_url"], "shadowWebhookUrl")
    if hours := given.get("business_hours"):
        if hours["timezone"] not in available_timezones():
            raise Invalid(details=["businessHours.timezone: is not an IANA time zone"])
        if time.fromisoformat(hours["start"]) >= time.fromisoformat(hours["end"]):
            raise Invalid(details=["businessHours: start must be before end"])
    window, longest = wanted["batch_window_ms"], wanted["max_wait_ms"]
    if longest is not None and not window <= longest <= windows.MAX_WAIT_LIMIT_MS:
        limit = windows.MAX_WAIT_LIMIT_MS
        raise Invalid(details=[f"maxWaitMs: must be between batchWindowMs and {limit}"])
    await require_known(tx, caller.tenant_id, given, {"phone_number_id": ("phoneNumberId", "number")})
    served = given.get("inbound_campaign_ids") or []
    asked = [(f"inboundCampaignIds[{i}]", "campaign", one) for i, one in enumerate(served)]
    unknown = await directory.unknown(tx, caller.tenant_id, asked)
    if unknown:
        raise Invalid(details=[f"{name}: is not the id of one of yours" for name in unknown])

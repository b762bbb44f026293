"""SMS agents: add, change, remove, rotate the signing secret. Callers pass sealed secrets."""

from datetime import time, timedelta
from zoneinfo import available_timezones

from app.commands.directory import (
    Fields,
    merge_fields,
    require_found,
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

DEFAULTS: Fields = {
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
SECRET_OVERLAP = timedelta(hours=24)


async def add(tx: Tx, caller: Caller, fields: Fields, sealed_secret: bytes) -> Row:
    """Adds an agent; `sealed_secret` is its signing secret. Raises `Invalid`."""
    key = {
        "tenant_id": caller.tenant_id,
        "sms_agent_id": ids.make("smsagent"),
        "secret": sealed_secret,
    }
    new_row = {**DEFAULTS, **fields, **key}
    await _check_fields(tx, caller, fields, new_row)
    [row] = await sms_agents.add(tx, [new_row])
    return row


async def change(tx: Tx, caller: Caller, sms_agent_id: str, fields: Fields) -> Row:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    row = require_found(await sms_agents.lock(tx, caller.tenant_id, sms_agent_id))
    new_row = merge_fields(row, fields)
    await _check_fields(tx, caller, fields, new_row)
    [agent] = await sms_agents.change(tx, [new_row])
    return agent


async def rotate_secret(tx: Tx, caller: Caller, sms_agent_id: str, sealed_secret: bytes) -> Row:
    """Sets a new signing secret; for a day, requests are signed with the previous one too. Raises
    `NotFound`."""
    agent = await sms_agents.rotate_secret(tx, caller.tenant_id, sms_agent_id, sealed_secret, SECRET_OVERLAP)
    return require_found(agent)


async def remove(tx: Tx, caller: Caller, sms_agent_id: str) -> None:
    """Raises `NotFound`; `InUse` while a campaign uses it or it has turns."""
    require_found(await sms_agents.lock(tx, caller.tenant_id, sms_agent_id))
    if await sms_agents.has_turns(tx, caller.tenant_id, sms_agent_id):
        raise InUse(details=["smsAgentId: turns were handed to it"])
    with unless_in_use("smsAgentId: a campaign uses it"):
        await sms_agents.remove(tx, caller.tenant_id, sms_agent_id)


async def _check_fields(tx: Tx, caller: Caller, fields: Fields, new_row: Fields) -> None:
    require_not_null(fields, NOT_NULL)
    if "webhook_url" in fields:
        require_url(fields["webhook_url"], "webhookUrl")
    if fields.get("shadow_webhook_url"):
        require_url(fields["shadow_webhook_url"], "shadowWebhookUrl")
    if hours := fields.get("business_hours"):
        if hours["timezone"] not in available_timezones():
            raise Invalid(details=["businessHours.timezone: is not an IANA time zone"])
        if time.fromisoformat(hours["start"]) >= time.fromisoformat(hours["end"]):
            raise Invalid(details=["businessHours: start must be before end"])
    window, max_wait = new_row["batch_window_ms"], new_row["max_wait_ms"]
    if max_wait is not None and not window <= max_wait <= windows.MAX_WAIT_LIMIT_MS:
        limit = windows.MAX_WAIT_LIMIT_MS
        raise Invalid(details=[f"maxWaitMs: must be between batchWindowMs and {limit}"])
    await require_known(tx, caller.tenant_id, fields, {"phone_number_id": ("phoneNumberId", "number")})
    campaign_ids = fields.get("inbound_campaign_ids") or []
    references = [(f"inboundCampaignIds[{i}]", "campaign", campaign_id) for i, campaign_id in enumerate(campaign_ids)]
    unknown_fields = await directory.find_unknown(tx, caller.tenant_id, references)
    if unknown_fields:
        raise Invalid(details=[f"{name}: does not exist" for name in unknown_fields])

"""SMS agents: add, change, remove. Callers pass sealed secrets."""

from datetime import time
from zoneinfo import available_timezones

from app.commands.directory import (
    Fields,
    add_row,
    change_row,
    lock_row,
    require_known,
    require_not_null,
    require_references,
    require_url,
    unless_in_use,
)
from app.domain import windows
from app.domain.callers import Caller
from app.domain.problems import InUse, Invalid
from app.store import directory, sms_agents
from app.store.engine import Tx
from app.store.schema import Campaign, SmsAgent


async def add(tx: Tx, caller: Caller, fields: Fields, sealed_secret: bytes) -> SmsAgent:
    """Adds an agent; `sealed_secret` is its signing secret. Raises `Invalid`."""
    await _check_fields(tx, caller, fields, windows.WINDOW_MS, None)
    return await add_row(tx, caller, SmsAgent, "smsagent", {**fields, "secret": sealed_secret})


async def change(tx: Tx, caller: Caller, sms_agent_id: str, fields: Fields) -> SmsAgent:
    """Changes only the given fields. Raises `Invalid`, `NotFound`."""
    agent = await lock_row(tx, caller, SmsAgent, sms_agent_id)
    await _check_fields(tx, caller, fields, agent.batch_window_ms, agent.max_wait_ms)
    return await change_row(tx, caller, SmsAgent, sms_agent_id, fields)


async def remove(tx: Tx, caller: Caller, sms_agent_id: str) -> None:
    """Raises `NotFound`; `InUse` while a campaign uses it or it has turns."""
    await lock_row(tx, caller, SmsAgent, sms_agent_id)
    if await sms_agents.has_turns(tx, caller.tenant_id, sms_agent_id):
        raise InUse(details=["smsAgentId: turns were handed to it"])
    with unless_in_use("smsAgentId: a campaign uses it"):
        await directory.remove(tx, SmsAgent, caller.tenant_id, sms_agent_id)


async def _check_fields(
    tx: Tx, caller: Caller, fields: Fields, current_window: int, current_max_wait: int | None
) -> None:
    require_not_null(SmsAgent, fields)
    if "webhook_url" in fields:
        require_url(fields["webhook_url"], "webhookUrl")
    if fields.get("shadow_webhook_url"):
        require_url(fields["shadow_webhook_url"], "shadowWebhookUrl")
    if hours := fields.get("business_hours"):
        if hours["timezone"] not in available_timezones():
            raise Invalid(details=["businessHours.timezone: is not an IANA time zone"])
        if time.fromisoformat(hours["start"]) >= time.fromisoformat(hours["end"]):
            raise Invalid(details=["businessHours: start must be before end"])
    window = fields.get("batch_window_ms", current_window)
    max_wait = fields.get("max_wait_ms", current_max_wait)
    if max_wait is not None and not window <= max_wait <= windows.MAX_WAIT_LIMIT_MS:
        limit = windows.MAX_WAIT_LIMIT_MS
        raise Invalid(details=[f"maxWaitMs: must be between batchWindowMs and {limit}"])
    await require_known(tx, caller.tenant_id, SmsAgent, fields)
    campaign_ids = fields.get("inbound_campaign_ids") or []
    references = [
        (f"inboundCampaignIds[{i}]", Campaign.__tablename__, campaign_id) for i, campaign_id in enumerate(campaign_ids)
    ]
    await require_references(tx, caller.tenant_id, references)

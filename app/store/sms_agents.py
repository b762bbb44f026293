"""SMS agents. Signing secrets are sealed before they come here."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.store import directory
from app.store.engine import Read, Row, Tx

COLUMNS = (
    "name",
    "description",
    "phone_number_id",
    "webhook_url",
    "batch_window_ms",
    "max_wait_ms",
    "is_test",
    "active",
    "inbound_enabled",
    "inbound_campaign_ids",
    "agent_mode_by_default",
    "stale_reply",
    "resume_after_minutes",
    "max_turns_per_day",
    "business_hours",
    "reply_delay_ms",
    "shadow_webhook_url",
)
ADD = directory.adding("sms_agents", ("sms_agent_id", "secret", *COLUMNS))


async def add(tx: Tx, agents: Sequence[Mapping[str, Any]]) -> list[Row]:
    """`secret` is sealed bytes."""
    plain = [{**agent, "secret": "\\x" + agent["secret"].hex()} for agent in agents]
    return await tx.rows(ADD, plain)


CHANGE = directory.changing("sms_agents", "sms_agent_id", COLUMNS)


async def change(tx: Tx, agents: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.rows(CHANGE, [{c: a[c] for c in (*KEY, *COLUMNS)} for a in agents])


KEY = ("tenant_id", "sms_agent_id")
ROTATE = """
UPDATE sms_agents SET previous_secret = secret, previous_secret_until = now() + $4::interval,
    secret = $3, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND sms_agent_id = $2 RETURNING *
"""


async def rotate(tx: Tx, tenant_id: str, sms_agent_id: str, sealed: bytes, both_for: timedelta) -> Row | None:
    """The sealed new secret; the one before is good for `both_for` longer."""
    return await tx.row(ROTATE, tenant_id, sms_agent_id, sealed, both_for)


GET = directory.getting("sms_agents", "sms_agent_id")


async def get(read: Read, tenant_id: str, sms_agent_id: str) -> Row | None:
    return await read.row(GET, tenant_id, sms_agent_id)


LOCK = directory.getting("sms_agents", "sms_agent_id", lock=True)


async def lock(tx: Tx, tenant_id: str, sms_agent_id: str) -> Row | None:
    return await tx.row(LOCK, tenant_id, sms_agent_id)


LIST = directory.listing("sms_agents", "sms_agent_id")


async def listed(read: Read, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.rows(LIST, tenant_id, below, limit)


TURNED = "SELECT 1 FROM turns WHERE tenant_id = $1 AND sms_agent_id = $2 LIMIT 1"


async def has_turns(read: Read, tenant_id: str, sms_agent_id: str) -> bool:
    return await read.value(TURNED, tenant_id, sms_agent_id) is not None


REMOVE = directory.removing("sms_agents", "sms_agent_id")


async def remove(tx: Tx, tenant_id: str, sms_agent_id: str) -> bool:
    """Its keys go with it. Raises `StillReferenced` when a campaign uses it."""
    return await tx.value(REMOVE, tenant_id, sms_agent_id) is not None

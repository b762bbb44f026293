"""SMS agents. Signing secrets are stored sealed."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.store import directory
from app.store.engine import ReadTx, Row, Tx

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
ADD_AGENTS_SQL = directory.insert_sql("sms_agents", ("sms_agent_id", "secret", *COLUMNS))


async def add(tx: Tx, agents: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Adds the agents; `secret` is sealed bytes."""
    rows = [{**agent, "secret": "\\x" + agent["secret"].hex()} for agent in agents]
    return await tx.fetch_rows(ADD_AGENTS_SQL, rows)


CHANGE_AGENTS_SQL = directory.update_sql("sms_agents", "sms_agent_id", COLUMNS)


async def change(tx: Tx, agents: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.fetch_rows(CHANGE_AGENTS_SQL, [{c: a[c] for c in (*KEY_COLUMNS, *COLUMNS)} for a in agents])


KEY_COLUMNS = ("tenant_id", "sms_agent_id")
ROTATE_SQL = """
UPDATE sms_agents SET previous_secret = secret, previous_secret_until = now() + $4::interval,
    secret = $3, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND sms_agent_id = $2 RETURNING *
"""


async def rotate_secret(
    tx: Tx, tenant_id: str, sms_agent_id: str, sealed_secret: bytes, overlap: timedelta
) -> Row | None:
    """Sets a new sealed signing secret; the previous one stays valid for `overlap`."""
    return await tx.fetch_row(ROTATE_SQL, tenant_id, sms_agent_id, sealed_secret, overlap)


GET_AGENT_SQL = directory.select_one_sql("sms_agents", "sms_agent_id")


async def get(read: ReadTx, tenant_id: str, sms_agent_id: str) -> Row | None:
    return await read.fetch_row(GET_AGENT_SQL, tenant_id, sms_agent_id)


LOCK_AGENT_SQL = directory.select_one_sql("sms_agents", "sms_agent_id", lock=True)


async def lock(tx: Tx, tenant_id: str, sms_agent_id: str) -> Row | None:
    return await tx.fetch_row(LOCK_AGENT_SQL, tenant_id, sms_agent_id)


LIST_AGENTS_SQL = directory.select_page_sql("sms_agents", "sms_agent_id")


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.fetch_rows(LIST_AGENTS_SQL, tenant_id, below, limit)


HAS_TURNS_SQL = "SELECT 1 FROM turns WHERE tenant_id = $1 AND sms_agent_id = $2 LIMIT 1"


async def has_turns(read: ReadTx, tenant_id: str, sms_agent_id: str) -> bool:
    return await read.fetch_value(HAS_TURNS_SQL, tenant_id, sms_agent_id) is not None


REMOVE_AGENT_SQL = directory.delete_sql("sms_agents", "sms_agent_id")


async def remove(tx: Tx, tenant_id: str, sms_agent_id: str) -> bool:
    """Removes the agent with its API keys. Raises `StillReferenced` when a campaign uses it."""
    return await tx.fetch_value(REMOVE_AGENT_SQL, tenant_id, sms_agent_id) is not None

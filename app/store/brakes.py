"""Brakes: pause and resume sending for a tenant, a number or an agent. The claim checks them."""

from typing import Literal

from app.store.engine import Row, Tx

BrakeKind = Literal["tenant", "number", "agent"]
TABLES: dict[BrakeKind, tuple[str, str]] = {
    "tenant": ("tenants", "tenant_id"),
    "number": ("phone_numbers", "phone_number_id"),
    "agent": ("sms_agents", "sms_agent_id"),
}
PAUSE_SQL = """
UPDATE {table} SET paused_at = coalesce(paused_at, clock_timestamp()), paused_reason = $3,
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND {key} = $2 RETURNING *
"""
RESUME_SQL = """
UPDATE {table} SET paused_at = NULL, paused_reason = NULL, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND {key} = $2 RETURNING *
"""


async def pause(tx: Tx, kind: BrakeKind, tenant_id: str, id: str, reason: str | None) -> Row | None:
    table, key = TABLES[kind]
    return await tx.fetch_row(PAUSE_SQL.format(table=table, key=key), tenant_id, id, reason)


async def resume(tx: Tx, kind: BrakeKind, tenant_id: str, id: str) -> Row | None:
    table, key = TABLES[kind]
    return await tx.fetch_row(RESUME_SQL.format(table=table, key=key), tenant_id, id)

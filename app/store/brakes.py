"""Brakes: pause and resume sending for a tenant, a number or an agent. The claim checks them."""

from typing import TypeVar

from app.store import core
from app.store.directory import id_column_of
from app.store.engine import Tx
from app.store.schema import PhoneNumber, SmsAgent, Tenant

B = TypeVar("B", Tenant, PhoneNumber, SmsAgent)
PAUSE_SQL = """
UPDATE {table} SET paused_at = coalesce(paused_at, clock_timestamp()), paused_reason = $3,
    updated_at = clock_timestamp()
WHERE tenant_id = $1 AND {key} = $2 RETURNING *
"""
RESUME_SQL = """
UPDATE {table} SET paused_at = NULL, paused_reason = NULL, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND {key} = $2 RETURNING *
"""


async def pause(tx: Tx, kind: type[B], tenant_id: str, id: str, reason: str | None) -> B | None:
    return await core.fetch_first(tx, kind, _name_table(PAUSE_SQL, kind), tenant_id, id, reason)


async def resume(tx: Tx, kind: type[B], tenant_id: str, id: str) -> B | None:
    return await core.fetch_first(tx, kind, _name_table(RESUME_SQL, kind), tenant_id, id)


def _name_table(sql: str, kind: type[B]) -> str:
    return sql.format(table=kind.__tablename__, key=id_column_of(kind).name)

"""Tenants: add one, change its settings."""

from datetime import time

from app.commands.directory import Fields, merge_fields, require_found, require_not_null
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.store import held_texts, tenants
from app.store.engine import Row, Tx

NOT_NULL = {
    "default_country": "defaultCountry",
    "quiet_hours": "quietHours",
    "smart_encoding": "smartEncoding",
}


async def add(tx: Tx, name: str) -> str:
    """Adds a tenant; returns the id."""
    tenant_id = ids.make("org")
    await tenants.add(tx, tenant_id, name)
    return tenant_id


async def change(tx: Tx, caller: Caller, fields: Fields) -> Row:
    """Changes only the given fields, also within the quiet hours. Texts held for quiet hours follow
    the new ones at once. Raises `Invalid`, `NotFound`."""
    row = require_found(await tenants.lock(tx, caller.tenant_id))
    require_not_null(fields, NOT_NULL)
    new_row = merge_fields(row, fields)
    hours = new_row["quiet_hours"] = {**row["quiet_hours"], **fields.get("quiet_hours", {})}
    if time.fromisoformat(hours["start"]) >= time.fromisoformat(hours["end"]):
        raise Invalid(details=["quietHours: start must be before end"])
    if hours != row["quiet_hours"]:
        await held_texts.stop_holding(tx, caller.tenant_id)
    return await tenants.change(tx, new_row)

"""A tenant's settings, and the tenant itself."""

from datetime import time

from app.commands.directory import Given, found, merged, require_not_null
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.store import tenants
from app.store.engine import Row, Tx

NOT_NULL = {
    "default_country": "defaultCountry",
    "quiet_hours": "quietHours",
    "smart_encoding": "smartEncoding",
}


async def add(tx: Tx, name: str) -> str:
    """A new tenant; its id."""
    tenant_id = ids.make("org")
    await tenants.add(tx, tenant_id, name)
    return tenant_id


async def change(tx: Tx, caller: Caller, given: Given) -> Row:
    """Changes only what is given, of the quiet hours too. Raises `Invalid`."""
    row = found(await tenants.lock(tx, caller.tenant_id))
    require_not_null(given, NOT_NULL)
    wanted = merged(row, given)
    hours = wanted["quiet_hours"] = {**row["quiet_hours"], **given.get("quiet_hours", {})}
    if time.fromisoformat(hours["start"]) >= time.fromisoformat(hours["end"]):
        raise Invalid(details=["quietHours: start must be before end"])
    return await tenants.change(tx, wanted)

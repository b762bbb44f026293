"""Tenants: add one, change its settings."""

from datetime import time

from app.commands.directory import Fields, change_row, require_found, require_not_null, require_url
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.store import contact_checks, held_texts, tenants
from app.store.engine import Tx
from app.store.schema import Tenant

RULE_COLUMNS = (
    "law_rules",
    "law_exceptions",
    "max_first_contacts_per_day",
    "max_texts_per_day_without_reply",
    "contact_check_url",
)


async def add(tx: Tx, name: str) -> str:
    """Adds a tenant; returns the id."""
    tenant_id = ids.make("org")
    await tenants.add(tx, tenant_id, name)
    return tenant_id


async def change(tx: Tx, caller: Caller, fields: Fields) -> Tenant:
    """Changes only the given fields, also within the quiet hours. Held texts follow new hours
    and rules at once. Raises `Invalid`, `NotFound`."""
    tenant = require_found(await tenants.lock(tx, caller.tenant_id))
    require_not_null(Tenant, fields)
    if fields.get("contact_check_url"):
        require_url(fields["contact_check_url"], "contactCheckUrl")
    hours = {**tenant.quiet_hours, **fields.get("quiet_hours", {})}
    if time.fromisoformat(hours["start"]) >= time.fromisoformat(hours["end"]):
        raise Invalid(details=["quietHours: start must be before end"])
    has_new_rules = any(name in fields and fields[name] != getattr(tenant, name) for name in RULE_COLUMNS)
    if hours != tenant.quiet_hours or has_new_rules:
        await held_texts.stop_holding(tx, caller.tenant_id)
    if fields.get("contact_check_url", tenant.contact_check_url) != tenant.contact_check_url:
        await contact_checks.forget_answers(tx, caller.tenant_id)
    return await change_row(tx, caller, Tenant, caller.tenant_id, {**fields, "quiet_hours": hours})

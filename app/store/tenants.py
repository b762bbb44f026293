"""Tenants, their settings and their people."""

from collections.abc import Mapping
from typing import Any

from app.store.engine import Read, Row, Tx

ADD = "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)"


async def add(tx: Tx, tenant_id: str, name: str) -> None:
    await tx.execute(ADD, tenant_id, name)


GET = "SELECT * FROM tenants WHERE tenant_id = $1"


async def get(read: Read, tenant_id: str) -> Row | None:
    return await read.row(GET, tenant_id)


LOCK = "SELECT * FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE"


async def lock(tx: Tx, tenant_id: str) -> Row | None:
    return await tx.row(LOCK, tenant_id)


CHANGE = """
UPDATE tenants t SET default_provider = a.default_provider, default_country = a.default_country,
    quiet_hours = a.quiet_hours, opt_out_confirmation = a.opt_out_confirmation,
    help_text = a.help_text, smart_encoding = a.smart_encoding, texts_per_day = a.texts_per_day,
    allowed_countries = a.allowed_countries, updated_at = clock_timestamp()
FROM jsonb_populate_record(NULL::tenants, $1) a
WHERE t.tenant_id = a.tenant_id RETURNING t.*
"""
SETTINGS = (
    "tenant_id",
    "default_provider",
    "default_country",
    "quiet_hours",
    "opt_out_confirmation",
    "help_text",
    "smart_encoding",
    "texts_per_day",
    "allowed_countries",
)


async def change(tx: Tx, tenant: Mapping[str, Any]) -> Row:
    """Writes the settings of the tenant's row."""
    row = await tx.row(CHANGE, {column: tenant[column] for column in SETTINGS})
    assert row is not None
    return row


COUNTRY = "SELECT default_country FROM tenants WHERE tenant_id = $1"


async def country(read: Read, tenant_id: str) -> str:
    """For phones that are written without a country code."""
    found: str = await read.value(COUNTRY, tenant_id)
    return found


ADD_USER = """
INSERT INTO users (tenant_id, user_id, email, password_hash, role)
SELECT $1, $2, $3, $4, coalesce($5, CASE WHEN EXISTS (
    SELECT 1 FROM users WHERE tenant_id = $1 AND role = 'admin' AND active
) THEN 'member' ELSE 'admin' END)
ON CONFLICT DO NOTHING RETURNING user_id
"""


async def add_user(
    tx: Tx,
    tenant_id: str,
    user_id: str,
    email: str,
    password_hash: str,
    role: str | None = None,
) -> str | None:
    """None: somebody has this e-mail already, in whatever tenant. Without a `role`, the first
    person of a tenant is an admin and the others are members."""
    added: str | None = await tx.value(ADD_USER, tenant_id, user_id, email, password_hash, role)
    return added

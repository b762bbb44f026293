"""Tenants, their settings and their people."""

from collections.abc import Mapping
from typing import Any

from app.store.engine import ReadTx, Row, Tx

ADD_TENANT_SQL = "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)"


async def add(tx: Tx, tenant_id: str, name: str) -> None:
    await tx.execute(ADD_TENANT_SQL, tenant_id, name)


GET_TENANT_SQL = "SELECT * FROM tenants WHERE tenant_id = $1"


async def get(read: ReadTx, tenant_id: str) -> Row | None:
    return await read.fetch_row(GET_TENANT_SQL, tenant_id)


LOCK_TENANT_SQL = "SELECT * FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE"


async def lock(tx: Tx, tenant_id: str) -> Row | None:
    return await tx.fetch_row(LOCK_TENANT_SQL, tenant_id)


CHANGE_TENANT_SQL = """
UPDATE tenants t SET default_provider = a.default_provider, default_country = a.default_country,
    quiet_hours = a.quiet_hours, opt_out_confirmation = a.opt_out_confirmation,
    help_text = a.help_text, smart_encoding = a.smart_encoding, texts_per_day = a.texts_per_day,
    allowed_countries = a.allowed_countries, updated_at = clock_timestamp()
FROM jsonb_populate_record(NULL::tenants, $1) a
WHERE t.tenant_id = a.tenant_id RETURNING t.*
"""
SETTING_COLUMNS = (
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
    row = await tx.fetch_row(CHANGE_TENANT_SQL, {column: tenant[column] for column in SETTING_COLUMNS})
    assert row is not None
    return row


GET_COUNTRY_SQL = "SELECT default_country FROM tenants WHERE tenant_id = $1"


async def get_country(read: ReadTx, tenant_id: str) -> str:
    """The tenant's default country, for phones without a country code."""
    country: str = await read.fetch_value(GET_COUNTRY_SQL, tenant_id)
    return country


ADD_USER_SQL = """
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
    """Adds a person and returns the id; None if the e-mail is taken in any tenant. Without a
    `role`, the first person of a tenant becomes an admin and the others become members."""
    new_user_id: str | None = await tx.fetch_value(ADD_USER_SQL, tenant_id, user_id, email, password_hash, role)
    return new_user_id

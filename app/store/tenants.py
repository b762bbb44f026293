"""Tenants, their settings and their people."""

from datetime import datetime

from app.store import core, directory
from app.store.engine import ReadTx, Tx
from app.store.schema import Tenant

ADD_TENANT_SQL = "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)"


async def add(tx: Tx, tenant_id: str, name: str) -> None:
    await tx.execute(ADD_TENANT_SQL, tenant_id, name)


async def get(read: ReadTx, tenant_id: str) -> Tenant | None:
    return await directory.get(read, Tenant, tenant_id, tenant_id)


LIST_NAMES_SQL = """
SELECT tenant_id AS name FROM tenants WHERE tenant_id = $1
UNION ALL SELECT prefix FROM api_keys WHERE tenant_id = $1
UNION ALL SELECT account_id FROM provider_accounts WHERE tenant_id = $1
"""


async def list_names(read: ReadTx, tenant_id: str) -> list[str]:
    """What requests for the tenant bear: its id in sessions, keys without their secrets, ids of accounts."""
    return [row["name"] for row in await read.fetch_rows(LIST_NAMES_SQL, tenant_id)]


LOCK_TENANT_SQL = "SELECT * FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE"


async def lock(tx: Tx, tenant_id: str) -> Tenant | None:
    """Locks the tenant against other changes. Rows that refer to it can be added meanwhile."""
    return await core.fetch_first(tx, Tenant, LOCK_TENANT_SQL, tenant_id)


SIGN_CHECKS_SQL = """
UPDATE tenants SET contact_check_secret = $2, updated_at = clock_timestamp() WHERE tenant_id = $1
"""


async def set_check_secret(tx: Tx, tenant_id: str, sealed_secret: bytes) -> None:
    """Sets the secret that signs the questions to the tenant's webhook."""
    await tx.execute(SIGN_CHECKS_SQL, tenant_id, sealed_secret)


GET_COUNTRY_SQL = "SELECT default_country FROM tenants WHERE tenant_id = $1"


async def get_country(read: ReadTx, tenant_id: str) -> str:
    """The tenant's default country, for phones without a country code."""
    country: str = await read.fetch_value(GET_COUNTRY_SQL, tenant_id)
    return country


GET_ZONE_SQL = "SELECT timezone FROM tenants WHERE tenant_id = $1"


async def get_zone(read: ReadTx, tenant_id: str) -> str:
    """The time zone of the tenant's figures."""
    zone: str = await read.fetch_value(GET_ZONE_SQL, tenant_id)
    return zone


GET_UNDO_TIME_SQL = "SELECT clock_timestamp() + undo_seconds * interval '1 second' FROM tenants WHERE tenant_id = $1"


async def get_undo_time(read: ReadTx, tenant_id: str) -> datetime | None:
    """Until when a text that a person writes now can be undone; None: it leaves at once."""
    until: datetime | None = await read.fetch_value(GET_UNDO_TIME_SQL, tenant_id)
    return until


ADD_USER_SQL = """
INSERT INTO users (tenant_id, user_id, email, password_hash, role)
SELECT $1, $2, $3, $4, coalesce($5, CASE WHEN EXISTS (
    SELECT 1 FROM users WHERE tenant_id = $1 AND role = 'admin' AND active
) THEN 'member' ELSE 'admin' END)
ON CONFLICT DO NOTHING RETURNING user_id
"""


async def add_user(
    tx: Tx, tenant_id: str, user_id: str, email: str, password_hash: str, role: str | None = None
) -> str | None:
    """Adds a person and returns the id; None if the e-mail is taken in any tenant. Without a
    `role`, the first person of a tenant becomes an admin and the others become members."""
    new_user_id: str | None = await tx.fetch_value(ADD_USER_SQL, tenant_id, user_id, email, password_hash, role)
    return new_user_id

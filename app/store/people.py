"""The people of a tenant, as its admins see them; `store.access` has what signing in needs."""

from app.store import directory
from app.store.engine import ReadTx, Row, Tx

FIELDS_SQL = "tenant_id, user_id, email, role, active, created_at"
LIST_PEOPLE_SQL = f"""
SELECT {FIELDS_SQL}, (SELECT max(seen_at) FROM sessions s WHERE s.tenant_id = u.tenant_id
                 AND s.user_id = u.user_id) AS seen_at
FROM users u WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id < $2)
ORDER BY user_id DESC LIMIT $3
"""


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    """People without their password hashes. `seen_at`: the last activity in a present session."""
    return await read.fetch_rows(LIST_PEOPLE_SQL, tenant_id, below, limit)


GET_PERSON_SQL = f"SELECT {FIELDS_SQL} FROM users WHERE tenant_id = $1 AND user_id = $2"


async def get(read: ReadTx, tenant_id: str, user_id: str) -> Row | None:
    return await read.fetch_row(GET_PERSON_SQL, tenant_id, user_id)


LOCK_PERSON_SQL = directory.select_one_sql("users", "user_id", lock=True)


async def lock(tx: Tx, tenant_id: str, user_id: str) -> Row | None:
    return await tx.fetch_row(LOCK_PERSON_SQL, tenant_id, user_id)


CHANGE_PERSON_SQL = f"""
UPDATE users SET role = $3, active = $4 WHERE tenant_id = $1 AND user_id = $2 RETURNING {FIELDS_SQL}
"""


async def change(tx: Tx, tenant_id: str, user_id: str, role: str, active: bool) -> Row | None:
    return await tx.fetch_row(CHANGE_PERSON_SQL, tenant_id, user_id, role, active)


HAS_OTHER_ADMINS_SQL = """
SELECT EXISTS (SELECT 1 FROM users WHERE tenant_id = $1 AND user_id <> $2 AND role = 'admin'
               AND active)
"""


async def has_other_admins(read: ReadTx, tenant_id: str, user_id: str) -> bool:
    """Whether the tenant has another active admin."""
    return bool(await read.fetch_value(HAS_OTHER_ADMINS_SQL, tenant_id, user_id))

"""The people of a tenant, as its admins see them. How one signs in stands in `access`."""

from app.store import directory
from app.store.engine import Read, Row, Tx

SHOWN = "tenant_id, user_id, email, role, active, created_at"
LIST = f"""
SELECT {SHOWN}, (SELECT max(seen_at) FROM sessions s WHERE s.tenant_id = u.tenant_id
                 AND s.user_id = u.user_id) AS seen_at
FROM users u WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id < $2)
ORDER BY user_id DESC LIMIT $3
"""


async def listed(read: Read, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    """Without what opens the door. `seen_at`: when they last were here, while signed in."""
    return await read.rows(LIST, tenant_id, below, limit)


GET = f"SELECT {SHOWN} FROM users WHERE tenant_id = $1 AND user_id = $2"


async def get(read: Read, tenant_id: str, user_id: str) -> Row | None:
    return await read.row(GET, tenant_id, user_id)


LOCK = directory.getting("users", "user_id", lock=True)


async def lock(tx: Tx, tenant_id: str, user_id: str) -> Row | None:
    return await tx.row(LOCK, tenant_id, user_id)


CHANGE = f"""
UPDATE users SET role = $3, active = $4 WHERE tenant_id = $1 AND user_id = $2 RETURNING {SHOWN}
"""


async def change(tx: Tx, tenant_id: str, user_id: str, role: str, active: bool) -> Row | None:
    return await tx.row(CHANGE, tenant_id, user_id, role, active)


OTHER_ADMINS = """
SELECT EXISTS (SELECT 1 FROM users WHERE tenant_id = $1 AND user_id <> $2 AND role = 'admin'
               AND active)
"""


async def other_admins(read: Read, tenant_id: str, user_id: str) -> bool:
    """Whether somebody else may still rule."""
    return bool(await read.value(OTHER_ADMINS, tenant_id, user_id))

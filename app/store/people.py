"""The people of a tenant, as its admins see them; `store.access` has what signing in needs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from app.domain.notices import NoticeWay
from app.store.engine import ReadTx


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A person without the password's hash. `seen_at`: the last activity in a present session. `ways`: how
    the person is told what needs one."""

    user_id: str
    email: str
    role: str
    active: bool
    seen_at: datetime | None
    ways: Annotated[list[NoticeWay], "text[]"]


LIST_PEOPLE_SQL = """
SELECT user_id, email, role, active,
       (SELECT max(seen_at) FROM sessions s WHERE s.tenant_id = u.tenant_id AND s.user_id = u.user_id) AS seen_at,
       ARRAY(SELECT way FROM notice_ways w WHERE w.tenant_id = u.tenant_id AND w.user_id = u.user_id
             AND w.kinds <> '{}' ORDER BY way) AS ways
FROM users u WHERE tenant_id = $1 AND ($2::text IS NULL OR user_id < $2)
ORDER BY user_id DESC LIMIT $3
"""


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int) -> list[ListedPerson]:
    return await read.fetch(ListedPerson, LIST_PEOPLE_SQL, tenant_id, below, limit)


HAS_OTHER_ADMINS_SQL = """
SELECT EXISTS (SELECT 1 FROM users WHERE tenant_id = $1 AND user_id <> $2 AND role = 'admin'
               AND active)
"""


async def has_other_admins(read: ReadTx, tenant_id: str, user_id: str) -> bool:
    """Whether the tenant has another active admin."""
    return bool(await read.fetch_value(HAS_OTHER_ADMINS_SQL, tenant_id, user_id))

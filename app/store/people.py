"""The people of a tenant, as its admins see them; `store.access` has what signing in needs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from app.domain.notices import NoticeWay
from app.store.engine import ReadTx, Tx


def person_name_sql(person: str) -> str:
    """How colleagues call the person, an alias of `users`: by the name, or by what stands before the @ of the
    e-mail."""
    return f"coalesce({person}.name, split_part({person}.email, '@', 1))"


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


@dataclass(frozen=True, slots=True)
class Colleague:
    """A person as colleagues see them."""

    user_id: str
    name: str
    email: str
    active: bool


LIST_COLLEAGUES_SQL = f"""
SELECT u.user_id, {person_name_sql("u")} AS name, u.email, u.active FROM users u
WHERE u.tenant_id = $1 ORDER BY lower({person_name_sql("u")}), u.user_id
"""


async def list_colleagues(read: ReadTx, tenant_id: str) -> list[Colleague]:
    """The people of the tenant, by name."""
    return await read.fetch(Colleague, LIST_COLLEAGUES_SQL, tenant_id)


IS_KNOWN_SQL = "SELECT EXISTS (SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2)"


async def is_known(read: ReadTx, tenant_id: str, user_id: str) -> bool:
    return bool(await read.fetch_value(IS_KNOWN_SQL, tenant_id, user_id))


SET_NAME_SQL = "UPDATE users SET name = $3 WHERE tenant_id = $1 AND user_id = $2"


async def set_name(tx: Tx, tenant_id: str, user_id: str, name: str | None) -> None:
    await tx.execute(SET_NAME_SQL, tenant_id, user_id, name)

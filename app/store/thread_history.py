"""The history of a thread's status. A trigger writes it, and the events of the feed: every statement that changes
status or agent mode also sets `last_change`, which tells the trigger who did it."""

from dataclasses import dataclass
from datetime import datetime

from app.store.actors import actor_name_sql
from app.store.engine import ReadTx


def last_change_sql(actor: str, rule: str) -> str:
    """The new value of `last_change`, from SQL expressions. Its time makes it another one each time."""
    return f"jsonb_build_object('actor', {actor}, 'rule', {rule}, 'at', clock_timestamp())"


@dataclass(frozen=True, slots=True)
class StatusStep:
    """A change of a thread's status. `actor` None: it is not known who did it."""

    status: str
    from_status: str
    actor: str | None
    actor_name: str | None
    rule: str | None
    at: datetime


LIST_STATUS_STEPS_SQL = f"""
SELECT h.status, h.from_status, h.actor, {actor_name_sql("h")} AS actor_name, h.rule, h.at
FROM status_changes h WHERE h.tenant_id = $1 AND h.interaction_id = $2 ORDER BY h.change_id
"""


async def list_of_thread(read: ReadTx, tenant_id: str, interaction_id: str) -> list[StatusStep]:
    """All changes of the thread's status, oldest first."""
    return await read.fetch(StatusStep, LIST_STATUS_STEPS_SQL, tenant_id, interaction_id)

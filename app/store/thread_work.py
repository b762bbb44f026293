"""Who works on threads, and until when they rest. Callers name the author of the transaction: triggers tell it
with the events."""

from collections.abc import Collection
from datetime import datetime

from app.store.engine import Tx, as_columns
from app.store.threads import ThreadKey

ASSIGN_SQL = """
UPDATE interactions SET assigned_to = $3, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND interaction_id = $2 AND assigned_to IS DISTINCT FROM $3
RETURNING interaction_id
"""


async def assign(tx: Tx, thread: ThreadKey, user_id: str | None) -> bool:
    """Returns whether it was another's. The caller has locked the thread. None: nobody's."""
    return bool(await tx.fetch_rows(ASSIGN_SQL, *thread, user_id))


SNOOZE_SQL = """
UPDATE interactions SET snoozed_at = clock_timestamp(), snoozed_until = $3, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND interaction_id = $2
"""


async def snooze(tx: Tx, thread: ThreadKey, until: datetime | None) -> None:
    """Until the time or the lead's next text; `until` None: only that text. The caller has locked the thread."""
    await tx.execute(SNOOZE_SQL, *thread, until)


UNSNOOZE_SQL = """
UPDATE interactions SET snoozed_at = NULL, snoozed_until = NULL, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND interaction_id = $2 AND snoozed_at IS NOT NULL
RETURNING interaction_id
"""


async def unsnooze(tx: Tx, thread: ThreadKey) -> bool:
    """Returns whether it was snoozed. The caller has locked the thread."""
    return bool(await tx.fetch_rows(UNSNOOZE_SQL, *thread))


RECORD_GIVEN_UP_SQL = """
UPDATE interactions t SET gave_up_at = clock_timestamp()
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
"""


async def record_given_up(tx: Tx, threads: Collection[ThreadKey]) -> None:
    """The agent did not get or answer the lead's texts. The caller has locked the threads."""
    await tx.execute(RECORD_GIVEN_UP_SQL, *as_columns(list(threads), 2))

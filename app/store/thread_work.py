"""Who works on threads, and until when they rest. Callers name the author of the transaction: triggers tell it
with the events."""

from collections.abc import Collection
from datetime import datetime

from app.store.engine import Tx, as_columns
from app.store.threads import ThreadKey

ASSIGN_SQL = """
UPDATE interactions t SET assigned_to = $3, updated_at = clock_timestamp()
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id AND t.assigned_to IS DISTINCT FROM $3
RETURNING t.tenant_id, t.interaction_id
"""


async def assign(tx: Tx, threads: Collection[ThreadKey], user_id: str | None) -> list[ThreadKey]:
    """Returns those that were another's. The caller has locked the threads. None: nobody's."""
    rows = await tx.fetch_rows(ASSIGN_SQL, *as_columns(list(threads), 2), user_id)
    return [(row["tenant_id"], row["interaction_id"]) for row in rows]


SNOOZE_SQL = """
UPDATE interactions t SET snoozed_at = clock_timestamp(), snoozed_until = $3, updated_at = clock_timestamp()
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
"""


async def snooze(tx: Tx, threads: Collection[ThreadKey], until: datetime | None) -> None:
    """Until the time or the lead's next text; `until` None: only that text. The caller has locked the threads."""
    await tx.execute(SNOOZE_SQL, *as_columns(list(threads), 2), until)


UNSNOOZE_SQL = """
UPDATE interactions t SET snoozed_at = NULL, snoozed_until = NULL, updated_at = clock_timestamp()
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id AND t.snoozed_at IS NOT NULL
RETURNING t.tenant_id, t.interaction_id
"""


async def unsnooze(tx: Tx, threads: Collection[ThreadKey]) -> list[ThreadKey]:
    """Returns those that were snoozed. The caller has locked the threads."""
    rows = await tx.fetch_rows(UNSNOOZE_SQL, *as_columns(list(threads), 2))
    return [(row["tenant_id"], row["interaction_id"]) for row in rows]


RECORD_GIVEN_UP_SQL = """
UPDATE interactions t SET gave_up_at = clock_timestamp()
FROM unnest($1::text[], $2::text[]) AS a(tenant_id, interaction_id)
WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
"""


async def record_given_up(tx: Tx, threads: Collection[ThreadKey]) -> None:
    """The agent did not get or answer the lead's texts. The caller has locked the threads."""
    await tx.execute(RECORD_GIVEN_UP_SQL, *as_columns(list(threads), 2))

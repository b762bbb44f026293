"""Moves all that a lead has to another lead."""

from collections.abc import Sequence

from app.store import core, leads
from app.store.engine import Tx
from app.store.schema import Lead

LOCK_LEADS_SQL = "SELECT * FROM leads WHERE tenant_id = $1 AND lead_id = ANY ($2) ORDER BY lead_id FOR UPDATE"


async def lock_leads(tx: Tx, tenant_id: str, lead_ids: Sequence[str]) -> dict[str, Lead]:
    """Locks those of the leads that exist; the caller has locked their phones and threads. Returns them
    by id."""
    rows = await core.fetch_all(tx, Lead, LOCK_LEADS_SQL, tenant_id, list(lead_ids))
    return {row.lead_id: row for row in rows}


MOVE_THREADS_SQL = """
UPDATE interactions SET lead_id = $3, updated_at = clock_timestamp() WHERE tenant_id = $1 AND lead_id = $2
"""
# A text may be in a thread of another lead with the same phone.
MOVE_TEXTS_SQL = """
UPDATE messages m SET lead_id = $3 FROM interactions t
WHERE t.tenant_id = $1 AND (t.lead_id = $3 OR t.lead_phone = ANY ($4))
  AND m.tenant_id = $1 AND m.interaction_id = t.interaction_id AND m.lead_id = $2
"""
MOVE_ANSWERS_SQL = "UPDATE lead_answers SET lead_id = $3 WHERE tenant_id = $1 AND lead_id = $2"


async def move_all(tx: Tx, tenant_id: str, from_id: str, to_id: str, phones: Sequence[str]) -> None:
    """Gives the threads, texts and recorded answers of a lead to another one, and deletes the first.
    `phones`: those of both. The caller has locked both leads, so no new thread names them."""
    await tx.execute(MOVE_THREADS_SQL, tenant_id, from_id, to_id)
    await tx.execute(MOVE_TEXTS_SQL, tenant_id, from_id, to_id, list(phones))
    await tx.execute(MOVE_ANSWERS_SQL, tenant_id, from_id, to_id)
    await leads.delete_merged(tx, tenant_id, [from_id], to_id)

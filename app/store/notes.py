"""Notes: entries of a transcript that are not sent to anybody."""

from collections.abc import Mapping

from app.domain import ids
from app.store.engine import Tx, as_columns
from app.store.threads import ThreadKey

ADD_NOTES_SQL = """
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
        AS a(tenant_id, interaction_id, message_id, text)
), threads AS (
    UPDATE interactions t SET last_seq = last_seq + 1, updated_at = clock_timestamp()
    FROM asked a WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id
    RETURNING t.tenant_id, t.interaction_id, t.lead_id, t.last_seq
)
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, text,
    status)
SELECT a.tenant_id, a.message_id, a.interaction_id, t.lead_id, t.last_seq, 'agent', 'system',
       a.text, 'note'
FROM asked a JOIN threads t USING (tenant_id, interaction_id)
"""


async def add(tx: Tx, notes: Mapping[ThreadKey, str]) -> None:
    """Adds one note to each thread. The caller has locked the threads, or takes no
    further locks."""
    if notes:
        rows = [(tenant, thread, ids.make("msg"), text) for (tenant, thread), text in sorted(notes.items())]
        await tx.execute(ADD_NOTES_SQL, *as_columns(rows, 4))

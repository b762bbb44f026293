"""Notes: entries of a transcript that are not sent to anybody."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from app.domain import ids
from app.store.engine import Tx
from app.store.rows import columns_of, unnest_sql


@dataclass(frozen=True, slots=True)
class Note:
    """A note in a thread. `actor`: who did what it says."""

    tenant_id: str
    interaction_id: str
    text: str
    actor: str = "service"
    message_id: str = field(default_factory=partial(ids.make, "msg"))


ADD_NOTES_SQL = f"""
WITH asked AS (
    SELECT *, row_number() OVER (PARTITION BY tenant_id, interaction_id ORDER BY i) AS nth,
           count(*) OVER (PARTITION BY tenant_id, interaction_id) AS together
    FROM {unnest_sql(Note, with_numbers=True)}
), threads AS (
    UPDATE interactions t SET last_seq = t.last_seq + a.together, updated_at = clock_timestamp()
    FROM asked a WHERE t.tenant_id = a.tenant_id AND t.interaction_id = a.interaction_id AND a.nth = a.together
    RETURNING t.tenant_id, t.interaction_id, t.lead_id, t.last_seq
)
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, actor, text,
    status)
SELECT a.tenant_id, a.message_id, a.interaction_id, t.lead_id, t.last_seq - a.together + a.nth, 'agent', 'system',
       a.actor, a.text, 'note'
FROM asked a JOIN threads t USING (tenant_id, interaction_id)
"""


async def add(tx: Tx, notes: Sequence[Note]) -> None:
    """Adds the notes to their threads, those of one thread in order. The caller has locked the threads, or
    takes no further locks."""
    if notes:
        sorted_notes = sorted(notes, key=lambda note: (note.tenant_id, note.interaction_id))
        await tx.execute(ADD_NOTES_SQL, *columns_of(sorted_notes))

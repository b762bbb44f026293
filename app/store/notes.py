"""Notes: entries of a transcript that are not sent to anybody."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from app.domain import ids
from app.store.engine import ReadTx, Tx
from app.store.people import person_name_sql
from app.store.rows import columns_of, unnest_sql


@dataclass(frozen=True, slots=True)
class Note:
    """A note in a thread. `actor`: who did what it says."""

    tenant_id: str
    interaction_id: str
    text: str
    actor: str = "service"
    message_id: str = field(default_factory=partial(ids.make, "msg"))
    note_facts: str | None = None
    """For a note that somebody wrote: whom it mentions and whether agents get it, as JSON."""


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
    status, note)
SELECT a.tenant_id, a.message_id, a.interaction_id, t.lead_id, t.last_seq - a.together + a.nth, 'agent', 'system',
       a.actor, a.text, 'note', a.note_facts::jsonb
FROM asked a JOIN threads t USING (tenant_id, interaction_id)
"""


async def add(tx: Tx, notes: Sequence[Note]) -> None:
    """Adds the notes to their threads, those of one thread in order. The caller has locked the threads, or
    takes no further locks."""
    if notes:
        sorted_notes = sorted(notes, key=lambda note: (note.tenant_id, note.interaction_id))
        await tx.execute(ADD_NOTES_SQL, *columns_of(sorted_notes))


@dataclass(frozen=True, slots=True)
class PlacedNote:
    """A note of the service itself for a place in a thread that a text has left."""

    tenant_id: str
    interaction_id: str
    seq: int
    text: str
    message_id: str = field(default_factory=partial(ids.make, "msg"))


PUT_NOTES_SQL = f"""
INSERT INTO messages (tenant_id, message_id, interaction_id, lead_id, seq, role, source, actor, text, status)
SELECT a.tenant_id, a.message_id, a.interaction_id, t.lead_id, a.seq, 'agent', 'system', 'service', a.text, 'note'
FROM {unnest_sql(PlacedNote)} JOIN interactions t USING (tenant_id, interaction_id)
"""


async def put(tx: Tx, notes: Sequence[PlacedNote]) -> None:
    """Puts the notes into the free places. The caller has locked the threads."""
    if notes:
        await tx.execute(PUT_NOTES_SQL, *columns_of(notes))


@dataclass(frozen=True, slots=True)
class WrittenNote:
    """A note that a person or an API key wrote for colleagues. `author`: `person:…` or `key:…`."""

    message_id: str
    interaction_id: str
    seq: int
    author: str
    author_name: str | None
    """A person's name, or that of the key."""
    text: str
    note: Annotated[dict[str, Any], "jsonb"]
    created_at: datetime


LIST_WRITTEN_SQL = f"""
SELECT m.message_id, m.interaction_id, m.seq, m.actor AS author,
       CASE split_part(m.actor, ':', 1)
            WHEN 'person' THEN (SELECT {person_name_sql("u")} FROM users u
                                WHERE u.tenant_id = m.tenant_id AND u.user_id = split_part(m.actor, ':', 2))
            WHEN 'key' THEN (SELECT k.name FROM api_keys k
                             WHERE k.tenant_id = m.tenant_id AND k.key_id = split_part(m.actor, ':', 2))
       END AS author_name, m.text, m.note, m.created_at
FROM messages m
WHERE m.tenant_id = $1 AND m.interaction_id = $2 AND m.note IS NOT NULL AND ($3::int IS NULL OR m.seq < $3)
ORDER BY m.seq DESC LIMIT $4
"""


async def list_written(
    read: ReadTx, tenant_id: str, interaction_id: str, below: int | None, limit: int
) -> list[WrittenNote]:
    """Up to `limit` notes with a `seq` below `below` (None: any), the newest first."""
    return await read.fetch(WrittenNote, LIST_WRITTEN_SQL, tenant_id, interaction_id, below, limit)


BEGIN_PAGE_NOTICES_SQL = """
INSERT INTO notice_ways (tenant_id, user_id, way, kinds)
SELECT $1, u.user_id, 'page', '{mention}' FROM users u WHERE u.tenant_id = $1 AND u.user_id = ANY ($2)
ON CONFLICT DO NOTHING
"""


async def begin_page_notices(tx: Tx, tenant_id: str, user_ids: Sequence[str]) -> None:
    """Who never chose what the page tells is told of mentions there."""
    await tx.execute(BEGIN_PAGE_NOTICES_SQL, tenant_id, list(user_ids))

"""Where a search of texts found its words."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.searches import parse_search
from app.store.engine import ReadTx
from app.store.thread_filters import FOLDED_TO_ASCII, ThreadFilter


@dataclass(frozen=True, slots=True)
class FoundText:
    """The newest text of a thread that a search of texts finds. `seq` None: it is scheduled."""

    interaction_id: str
    message_id: str
    seq: int | None
    text: str


# As in a walk of the search: ILIKE tells most texts that are ASCII from the others before they are folded.
FIND_TEXTS_SQL = f"""
SELECT f.interaction_id, m.message_id, m.seq, m.text
FROM unnest($2::text[]) f (interaction_id)
CROSS JOIN LATERAL (
    SELECT m.message_id, m.seq, m.text FROM messages m
    WHERE m.tenant_id = $1 AND m.interaction_id = f.interaction_id
      AND (m.seq IS NOT NULL OR m.status IN ('scheduled', 'queued'))
      AND (m.text COLLATE "C" ILIKE ALL ($3::text[])
           OR octet_length(m.text) <> char_length(m.text) AND m.text ~ '[{FOLDED_TO_ASCII}]')
      AND (' ' || fold_text(m.text) || ' ') LIKE ALL (
          ARRAY(SELECT '% ' || fold_text(phrase) || ' %' FROM unnest($4::text[]) phrase))
    ORDER BY m.seq DESC LIMIT 1
) m
"""


async def find_texts(
    read: ReadTx, tenant_id: str, filters: ThreadFilter, interaction_ids: Sequence[str]
) -> dict[str, FoundText]:
    """By thread id, for threads that the search has found."""
    search = parse_search(filters.search or "")
    if not (filters.in_messages and search.phrases and interaction_ids):
        return {}
    plain_words = [f"%{word}%" for word in search.plain_words]
    texts = await read.fetch(FoundText, FIND_TEXTS_SQL, tenant_id, list(interaction_ids), plain_words, search.phrases)
    return {text.interaction_id: text for text in texts}

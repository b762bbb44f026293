"""Where a search of texts found its words."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.searches import parse_search
from app.store.engine import ReadTx
from app.store.search import has_phrases_sql
from app.store.thread_filters import Params, ThreadFilter, has_plain_words_sql


@dataclass(frozen=True, slots=True)
class FoundText:
    """The newest text of a thread that a search of texts finds. `seq` None: it is scheduled."""

    interaction_id: str
    message_id: str
    seq: int | None
    text: str


async def find_texts(
    read: ReadTx, tenant_id: str, filters: ThreadFilter, interaction_ids: Sequence[str]
) -> dict[str, FoundText]:
    """By thread id, for threads that the search has found."""
    search = parse_search(filters.search or "")
    if not (filters.in_messages and search.phrases and interaction_ids):
        return {}
    params = Params(tenant_id)
    statement = f"""SELECT f.interaction_id, m.message_id, m.seq, m.text
FROM unnest({params.bind(list(interaction_ids))}::text[]) f (interaction_id)
CROSS JOIN LATERAL (
    SELECT m.message_id, m.seq, m.text FROM messages m
    WHERE m.tenant_id = $1 AND m.interaction_id = f.interaction_id
      AND {has_plain_words_sql(params, "m.text", search.plain_words)}
      {has_phrases_sql(params, search.phrases)}
    ORDER BY m.seq DESC LIMIT 1
) m"""
    found = await read.fetch(FoundText, statement, *params.values)
    return {text.interaction_id: text for text in found}

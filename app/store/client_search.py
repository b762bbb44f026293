"""Clients whose names have words of a search."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.store.engine import ReadTx
from app.store.views import order_sql

MIN_LETTERS = 3
"""Shorter words stand in too many names."""


@dataclass(frozen=True, slots=True)
class FoundClients:
    """The campaigns of the clients in whose names stand the phrases `met_phrases`, and no others of the search."""

    met_phrases: list[str]
    campaign_ids: list[str]


FIND_CLIENTS_SQL = """
SELECT met_phrases, array_agg(campaign_id) AS campaign_ids FROM (
    SELECT c.campaign_id, ARRAY(
        SELECT p.phrase FROM unnest($2::text[]) WITH ORDINALITY p (phrase, place)
        WHERE fold_text(c.client_name) LIKE '%' || fold_text(p.phrase) || '%' ORDER BY p.place) AS met_phrases
    FROM campaigns c WHERE c.tenant_id = $1 AND c.client_name IS NOT NULL) m
WHERE met_phrases <> '{}' GROUP BY met_phrases
"""


async def find_clients(read: ReadTx, tenant_id: str, phrases: Sequence[str]) -> list[FoundClients]:
    long_phrases = [phrase for phrase in phrases if len(phrase) >= MIN_LETTERS]
    return await read.fetch(FoundClients, FIND_CLIENTS_SQL, tenant_id, long_phrases) if long_phrases else []


SORT_SQL = f"""
SELECT t.interaction_id FROM interactions t WHERE t.tenant_id = $1 AND t.interaction_id = ANY ($2)
{order_sql(is_by_waiting=False)} LIMIT $3
"""


async def sort(read: ReadTx, tenant_id: str, ids: Collection[str], limit: int) -> list[str]:
    """The first `limit` of the threads in the order of the list."""
    return [row["interaction_id"] for row in await read.fetch_rows(SORT_SQL, tenant_id, list(ids), limit)]

"""Lists of leads, and what they are narrowed by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.searches import parse_search
from app.store import core
from app.store.engine import ReadTx
from app.store.schema import Lead
from app.store.thread_filters import LEAD_WORDS_SQL, CommonFilter, Params, campaigns_sql, may_have_words_sql

FieldChoice = list[Mapping[str, Any]]
"""Custom fields of which a lead must have one."""


@dataclass(frozen=True, slots=True)
class LeadFilter(CommonFilter):
    """Narrows a list of leads. Dates compare when the lead was added. A search finds each phrase in name,
    e-mail or id, and if it is digits also in the phone. `is_dnc`: a channel is blocked, or the phone is
    suppressed."""

    phone: str | None = None
    tags: Sequence[str] | None = None
    custom_fields: Sequence[FieldChoice] | None = None
    is_dnc: bool | None = None


IS_DNC_SQL = """(l.dnc_channels <> '{}' OR coalesce(l.phone IN (
        SELECT s.phone FROM suppressions s WHERE s.tenant_id = $1 AND s.phone IS NOT NULL), false))"""


async def list_page(read: ReadTx, tenant_id: str, filters: LeadFilter, below: str | None, limit: int) -> list[Lead]:
    """Leads below an id, newest ids first."""
    params = Params(tenant_id)
    conditions = _where_sql(params, filters)
    if below is not None:
        conditions += f" AND l.lead_id < {params.bind(below)}"
    # OFFSET 0: the search comes after the order, or the planner expects few matches and sorts all.
    statement = f"""SELECT l.* FROM (
    SELECT * FROM leads l WHERE l.tenant_id = $1{conditions} ORDER BY l.lead_id DESC OFFSET 0) l
WHERE {_search_sql(params, filters.search)} ORDER BY l.lead_id DESC LIMIT {params.bind(limit)}"""
    return await core.fetch_all(read, Lead, statement, *params.values)


def _where_sql(params: Params, filters: LeadFilter) -> str:
    conditions = ""
    if filters.phone is not None:
        conditions += f" AND l.phone = {params.bind(filters.phone)}"
    if filters.tags is not None:  # the index has only leads with tags or custom fields
        conditions += f" AND l.tags <> '{{}}' AND l.tags @> {params.bind(list(filters.tags))}::text[]"
    for choice in filters.custom_fields or ():
        fits = " OR ".join(f"l.custom_fields @> {params.bind(dict(fields))}::jsonb" for fields in choice)
        conditions += f" AND l.custom_fields <> '{{}}' AND ({fits})"
    if filters.statuses is not None:
        conditions += f" AND l.status = ANY ({params.bind(list(filters.statuses))}::text[])"
    if filters.is_dnc is not None:
        conditions += f" AND {'' if filters.is_dnc else 'NOT '}{IS_DNC_SQL}"
    if (campaigns := campaigns_sql(params, filters)) is not None:
        conditions += f" AND l.campaign_id IN ({campaigns})"
    if filters.start is not None:
        conditions += f" AND l.created_at >= {params.bind(filters.start)}"
    if filters.end is not None:
        conditions += f" AND l.created_at < {params.bind(filters.end)}"
    return conditions


def _search_sql(params: Params, typed_text: str | None) -> str:
    if not typed_text:
        return "true"
    search = parse_search(typed_text)
    matches = "false"
    if search.phrases:
        phrases = params.bind(search.phrases)
        matches = f"""{may_have_words_sql(params, LEAD_WORDS_SQL, search.plain_words)}
            AND fold_text({LEAD_WORDS_SQL}) LIKE ALL (
                ARRAY(SELECT '%' || fold_text(phrase) || '%' FROM unnest({phrases}::text[]) phrase))"""
    if search.phone_digits:
        matches += f" OR l.phone LIKE {params.bind(f'%{search.phone_digits}%')}"
    return matches


LIST_RECENT_TAGS_SQL = """
SELECT DISTINCT tag FROM (
    SELECT tags FROM leads WHERE tenant_id = $1 ORDER BY lead_id DESC LIMIT 2000) l, unnest(l.tags) tag
ORDER BY tag LIMIT 200
"""


async def list_recent_tags(read: ReadTx, tenant_id: str) -> list[str]:
    """The tags of the newest leads: no index knows all tags."""
    return [row["tag"] for row in await read.fetch_rows(LIST_RECENT_TAGS_SQL, tenant_id)]

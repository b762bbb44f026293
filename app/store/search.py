"""Finds the threads of a search: their ids, newest activity first.

There are two strategies. A rare term is looked up in its index, and the few threads that match are
sorted. A common term is found by walking the newest threads, because enough of them match soon. Each
is slow for the other kind: a walk meets rare matches too late, and many matches take long to sort.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.domain.searches import Search, parse_search
from app.store import client_search
from app.store.engine import ReadTx
from app.store.name_search import MAX_QUICK, has_name_sql, lead_matches_sql, newest_matches_sql
from app.store.thread_filters import (
    LEAD_WORDS_SQL,
    CommonFilter,
    Params,
    ThreadFilter,
    campaigns_sql,
    full_where_sql,
    may_have_words_sql,
)
from app.store.thread_lists import ORDER_SQL, newest_of_each_sql

MAX_LOOKED_UP = 2000
"""Up to this many matching leads or texts, a term is rare; with more, the newest threads are walked
first."""
FIRST_WALK, MAX_WALK_BY_NAME, MAX_WALK_BY_TEXT = 400, 20_000, 10_000
"""Threads walked to estimate how common words are, and the longest walk of each kind."""
SPARE_HITS = 2
"""Chance may have kept so many hits from the threads that were walked."""
NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`complete`: these are the page. Else there may be more, or none of them may belong to it."""

    complete: bool
    ids: list[str]
    last: tuple[Any, ...] | None = None
    """The last thread that was walked."""


Strategy = Callable[[Params, ThreadFilter, Search, tuple[Any, ...] | None, int, int], str]
"""Builds a statement that returns one row (complete, ids), and `last` if it walks."""


async def find_page(
    read: ReadTx, tenant_id: str, filters: ThreadFilter, before: tuple[Any, ...] | None, limit: int
) -> list[str]:
    """Up to `limit` ids of threads that the search of `filters` finds, and that come after `before`
    (last_message_at, interaction id)."""
    ids = await _search_page(read, tenant_id, filters, before, limit)
    return await _add_of_clients(read, tenant_id, filters, before, limit, ids)


async def _search_page(
    read: ReadTx, tenant_id: str, filters: ThreadFilter, before: tuple[Any, ...] | None, limit: int
) -> list[str]:
    """Rare terms are looked up in the index and sorted; common ones are found by walking the newest
    threads. In a search of texts, the hit rate in the newest 400 threads decides which; often these
    threads already fill the page."""
    search = parse_search(filters.search or "")

    async def run_strategy(
        strategy: Strategy, max_rows: int, before: tuple[Any, ...] | None = before, limit: int = limit
    ) -> SearchPage:
        params = Params(tenant_id)
        statement = strategy(params, filters, search, before, limit, max_rows)
        [row] = await read.fetch_rows_without_rls(statement, *params.values)
        return SearchPage(row["complete"], row["ids"], row.get("last"))

    if not filters.in_messages and search.phone_digits:
        return (await run_strategy(_lookup_sql, NO_LIMIT)).ids
    if not search.phrases:
        return []
    if filters.is_quick and search.is_short and not filters.in_messages:
        return (await run_strategy(_walk_newest_sql, MAX_QUICK)).ids
    newest = MAX_WALK_BY_TEXT if filters.in_messages else MAX_WALK_BY_NAME
    if filters.in_messages:
        page = await _walk_while_it_pays(run_strategy, before, limit)
        if page.complete:
            return page.ids
    for strategy, max_rows in ((_lookup_sql, MAX_LOOKED_UP), (_walk_newest_sql, newest), (_lookup_sql, NO_LIMIT)):
        page = await run_strategy(strategy, max_rows)
        if page.complete:
            break
    return page.ids


async def _walk_while_it_pays(
    run_strategy: Callable[..., Awaitable[SearchPage]], before: tuple[Any, ...] | None, limit: int
) -> SearchPage:
    """Walks on from the newest threads, in growing steps: a few hits among the first threads may be all that there
    are, when words are new. Stops when hits come more seldom, or too seldom for the longest walk."""
    ids: list[str] = []
    walked_count, step = 0, FIRST_WALK
    while True:
        page = await run_strategy(_walk_newest_sql, step, before, limit - len(ids))
        are_as_frequent = 2 * len(page.ids) * walked_count >= len(ids) * step
        ids, walked_count, before = ids + page.ids, walked_count + step, page.last
        remaining_count = (limit - len(ids)) * walked_count // (len(ids) + SPARE_HITS)
        if page.complete or not ids or not are_as_frequent or walked_count + remaining_count > MAX_WALK_BY_TEXT:
            return SearchPage(page.complete, ids)
        step = min(2 * remaining_count, 3 * walked_count)


async def _add_of_clients(
    read: ReadTx, tenant_id: str, filters: ThreadFilter, before: tuple[Any, ...] | None, limit: int, ids: list[str]
) -> list[str]:
    """Adds to `ids` the threads whose client has words of the search, and whose lead has the others."""
    search = parse_search(filters.search or "")
    phrases = [] if filters.in_messages or search.phone_digits else search.phrases
    found_ids = set(ids)
    for clients in await client_search.find_clients(read, tenant_id, phrases):
        own_ids = clients.campaign_ids if filters.campaign_ids is None else filters.campaign_ids
        client_filters = replace(filters, campaign_ids=sorted(set(clients.campaign_ids).intersection(own_ids)))
        other_phrases = [phrase for phrase in search.phrases if phrase not in clients.met_phrases]
        if other_phrases:
            words = " ".join(f'"{phrase}"' for phrase in other_phrases)
            found_ids.update(await _search_page(read, tenant_id, replace(client_filters, search=words), before, limit))
        else:
            params = Params(tenant_id)
            rows = await read.fetch_rows(newest_of_each_sql(params, client_filters, before, limit), *params.values)
            found_ids.update(row["interaction_id"] for row in rows)
    return ids if len(found_ids) == len(ids) else await client_search.sort(read, tenant_id, found_ids, limit)


async def find_leads(
    read: ReadTx, tenant_id: str, filters: CommonFilter, limit: int, without_thread: bool
) -> list[str]:
    """Up to `limit` ids of leads whose name, id or phone match the search; newest ids first. Of a common
    term only some matches are looked at. Dates and statuses of `filters` are not compared."""
    search = parse_search(filters.search or "")
    if not search.phone_digits and not search.phrases:
        return []
    params = Params(tenant_id)
    conditions = ""
    matches = newest_matches_sql if filters.is_quick and search.is_short else lead_matches_sql
    if (campaigns := campaigns_sql(params, filters)) is not None:
        conditions += f" AND l.campaign_id IN ({campaigns})"
    if without_thread:
        conditions += """
    AND NOT EXISTS (SELECT 1 FROM interactions t WHERE t.tenant_id = $1 AND t.lead_id = l.lead_id)"""
    statement = f"""WITH found AS MATERIALIZED ({matches(params, search)} LIMIT {MAX_LOOKED_UP})
SELECT l.lead_id FROM (SELECT DISTINCT lead_id FROM found) f
JOIN leads l ON l.tenant_id = $1 AND l.lead_id = f.lead_id
WHERE true{conditions} ORDER BY l.lead_id DESC LIMIT {params.bind(limit)}"""
    return [row["lead_id"] for row in await read.fetch_rows_without_rls(statement, *params.values)]


HAS_WORDS_SQL = """array_to_tsvector(string_to_array(fold_text(m.text), ' '))
    @@ replace(fold_text({}), ' ', ' & ')::tsquery"""
"""All words, whole, in any order. A prefix query would read hundreds of thousands of index entries
before the first result."""


def _lookup_sql(
    params: Params,
    filters: ThreadFilter,
    search: Search,
    before: tuple[Any, ...] | None,
    limit: int,
    max_rows: int,
) -> str:
    """Looks up all matches in their index, and sorts their threads. Complete if there are at most
    `max_rows` matches."""
    matches_sql, key = _matches_sql(params, filters, search)
    # MATERIALIZED and OFFSET 0: else the planner, who expects as many as may be found, would walk the
    # whole list to find the few.
    one_by_one = "OFFSET 0" if max_rows <= MAX_LOOKED_UP else ""
    unique = "DISTINCT" if filters.in_messages else ""  # leads are found once
    return f"""WITH found AS MATERIALIZED ({matches_sql} LIMIT {max_rows + 1})
SELECT (SELECT count(*) FROM found) <= {max_rows} AS complete, ARRAY(
    SELECT t.interaction_id FROM (SELECT {unique} {key} FROM found) f
    CROSS JOIN LATERAL (SELECT t.interaction_id, t.last_message_at FROM interactions t
        WHERE t.tenant_id = $1 AND t.{key} = f.{key}{full_where_sql(params, filters, before)} {one_by_one}) t
    {ORDER_SQL} LIMIT {params.bind(limit)}) AS ids"""


def _walk_newest_sql(
    params: Params,
    filters: ThreadFilter,
    search: Search,
    before: tuple[Any, ...] | None,
    limit: int,
    max_rows: int,
) -> str:
    """Checks the `max_rows` newest threads for a match. Complete if the matches fill the page, or
    if there are no more threads."""
    limit_param, max_param = params.bind(limit), params.bind(max_rows)
    lead = "" if filters.in_messages else ", t.lead_id"  # it is not in the index
    return f"""WITH newest AS MATERIALIZED (
    SELECT t.interaction_id, t.last_message_at{lead} FROM interactions t
    WHERE t.tenant_id = $1{full_where_sql(params, filters, before)} {ORDER_SQL} LIMIT {max_param}
), met AS MATERIALIZED (
    SELECT t.interaction_id FROM newest t
    CROSS JOIN LATERAL ({_thread_matches_sql(params, filters, search)} LIMIT 1) passed
    LIMIT {limit_param})
SELECT (SELECT count(*) FROM met) = {limit_param} OR (SELECT count(*) FROM newest) < {max_param}
           AS complete,
       ARRAY(SELECT interaction_id FROM met) AS ids,
       CASE WHEN (SELECT count(*) FROM met) < {limit_param} THEN (
           SELECT (t.last_message_at, t.interaction_id) FROM newest t ORDER BY t.last_message_at, t.interaction_id
           LIMIT 1) END AS last"""


def _matches_sql(params: Params, filters: ThreadFilter, search: Search) -> tuple[str, str]:
    """Selects all matches from their index; and the column by which they are joined to threads."""
    if filters.in_messages:
        return (
            f"""SELECT m.interaction_id FROM messages m
    WHERE m.tenant_id = $1 AND {HAS_WORDS_SQL.format(params.bind(search.words))}
      {_has_phrases_sql(params, search.ordered_phrases)}""",
            "interaction_id",
        )
    return lead_matches_sql(params, search), "lead_id"


def _thread_matches_sql(params: Params, filters: ThreadFilter, search: Search) -> str:
    """Selects a row if the thread `t` matches. Folding costs far more than ILIKE, so ILIKE filters
    what is ASCII first."""
    if filters.in_messages:
        return f"""SELECT 1 FROM messages m
        WHERE m.tenant_id = $1 AND m.interaction_id = t.interaction_id
          AND {may_have_words_sql(params, "m.text", search.plain_words)}
          {_has_phrases_sql(params, search.phrases)}"""
    return f"""SELECT 1 FROM leads l WHERE l.tenant_id = $1 AND l.lead_id = t.lead_id
        AND {may_have_words_sql(params, LEAD_WORDS_SQL, search.plain_words)}
        {has_name_sql(params, search)}"""


def _has_phrases_sql(params: Params, phrases: Sequence[str]) -> str:
    """Whole words, in the order of each phrase. The text is folded once."""
    patterns = [f"'% ' || fold_text({params.bind(phrase)}) || ' %'" for phrase in phrases]
    return f" AND (' ' || fold_text(m.text) || ' ') LIKE ALL (ARRAY[{', '.join(patterns)}])" if patterns else ""

"""The list of threads without a search: a page of it is read from indexes that hold its order."""

from dataclasses import replace
from typing import Any

from app.store.thread_filters import (
    Params,
    ThreadFilter,
    after_sql,
    campaigns_sql,
    filtered_view_sql,
    full_where_sql,
    wanted_statuses,
    where_sql,
)
from app.store.views import NEEDING_THREADS_SQL, order_sql

ORDER_SQL = order_sql(is_by_waiting=False)


def build_page_sql(
    params: Params, filters: ThreadFilter, before: tuple[Any, ...] | None, limit: int
) -> tuple[str, str]:
    """Selects the threads of a page as `page`; and the condition that joins `interactions t` to it."""
    if _are_rows_read(filters):
        # The row's location saves another look into an index for each.
        return newest_of_each_sql(params, filters, before, limit, "location"), "t.ctid = page.location"
    ids_sql = _page_ids_sql(params, filters, before, limit)
    return ids_sql, "t.tenant_id = $1 AND t.interaction_id = page.interaction_id"


def _are_rows_read(filters: ThreadFilter) -> bool:
    """Whether more than the index is read to find the page, or nothing beside the page."""
    if filters.view not in (None, "all") or filters.needs_person is not None:
        return False
    is_one_list = filters.statuses is None or len(filters.statuses) == 1
    return is_one_list or (filters.campaign_ids, filters.client_ids, filters.offer_ids) != (None, None, None)


def _page_ids_sql(params: Params, filters: ThreadFilter, before: tuple[Any, ...] | None, limit: int) -> str:
    if filters.view is not None and filters.view != "all":
        return _view_sql(params, filters, before, limit)
    if filters.needs_person is None:
        return newest_of_each_sql(params, filters, before, limit)
    statuses = wanted_statuses(filters)
    other_statuses = [status for status in statuses if status != "follow_up"]
    if not filters.needs_person:
        return newest_of_each_sql(params, replace(filters, statuses=other_statuses), before, limit)
    selects = []
    if "follow_up" in statuses:
        follow_up_filters = replace(filters, statuses=["follow_up"], needs_person=None)
        selects.append(newest_of_each_sql(params, follow_up_filters, before, limit))
    conditions = full_where_sql(params, replace(filters, statuses=other_statuses, needs_person=None), before)
    selects.append(f"""SELECT t.interaction_id, t.last_message_at FROM interactions t
WHERE t.tenant_id = $1 AND t.interaction_id = ANY ({NEEDING_THREADS_SQL}){conditions}""")
    union_sql = " UNION ALL ".join(f"({select})" for select in selects)
    return f"SELECT t.interaction_id FROM ({union_sql}) t {ORDER_SQL} LIMIT {params.bind(limit)}"


def _view_sql(params: Params, filters: ThreadFilter, before: tuple[Any, ...] | None, limit: int) -> str:
    """The threads of a view are few: they are found first, then filtered and sorted."""
    assert filters.view
    ids_sql = filtered_view_sql(params, filters.view, filters.person_id)
    conditions = full_where_sql(params, replace(filters, view=None), None)
    if before is not None:
        conditions += after_sql(params, filters, before)
    return f"""WITH chosen AS MATERIALIZED ({ids_sql})
SELECT t.interaction_id FROM chosen v
CROSS JOIN LATERAL (  -- LIMIT makes it a lookup for each thread
    SELECT * FROM interactions i WHERE i.tenant_id = $1 AND i.interaction_id = v.interaction_id LIMIT 1
) t
WHERE true{conditions} {order_sql(filters.is_by_waiting)} LIMIT {params.bind(limit)}"""


def newest_of_each_sql(
    params: Params, filters: ThreadFilter, before: tuple[Any, ...] | None, limit: int, column: str = "interaction_id"
) -> str:
    """Merges the newest threads of each wanted campaign and status. Selects `column` and the time."""
    campaigns = campaigns_sql(params, filters)
    if campaigns is None and filters.statuses is None:
        return _walk_sql(params, filters, before, "", limit)
    statuses = params.bind(list(wanted_statuses(filters)))
    join_conditions, source = (
        "t.status = wanted.status",
        f"unnest({statuses}::text[]) AS wanted (status)",
    )
    if campaigns is not None:
        join_conditions += " AND t.campaign_id = campaign.campaign_id"
        source += f" CROSS JOIN ({campaigns}) campaign"
    return f"""SELECT t.{column}, t.last_message_at FROM {source}
CROSS JOIN LATERAL ({_walk_sql(params, filters, before, f" AND {join_conditions}", limit)}) t
{ORDER_SQL} LIMIT {params.bind(limit)}"""


def _walk_sql(params: Params, filters: ThreadFilter, before: tuple[Any, ...] | None, clauses: str, limit: int) -> str:
    """The newest threads that pass the filters, in the order of an index."""
    return f"""SELECT t.interaction_id, t.last_message_at, t.ctid AS location FROM interactions t
WHERE t.tenant_id = $1{clauses}{where_sql(params, filters, before)} {ORDER_SQL} LIMIT {params.bind(limit)}"""

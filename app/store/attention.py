"""The list of threads on the page: first the threads that need a person, then the others, each with
the newest activity first.

A thread needs a person while its status is `follow_up`, while a reply of its agent is held, while a
text that may be an opt-out waits for a decision, or while our newest text in it has failed (for a
week, unless the thread is finished)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.store.engine import ReadTx
from app.store.interactions import Thread, key_of, list_by_id, list_page
from app.store.thread_filters import NEEDS_PERSON_SQL, Params, ThreadFilter, full_where_sql

PlacedThread = tuple[bool, Thread]
"""Whether the thread needs a person, and the thread."""
ListCursor = tuple[int, datetime, str]
"""(1 if the thread needs a person else 0, the time that orders the list, interaction id)."""


async def find_page(
    read: ReadTx, tenant_id: str, filters: ThreadFilter, before: ListCursor | None, limit: int
) -> list[PlacedThread]:
    """Up to `limit` threads that come after `before`, the `cursor_of` the previous page's last. A view has
    only one part."""
    if not filters.has_parts:
        threads = await list_page(read, tenant_id, filters, before and before[1:], limit)
        return [(False, thread) for thread in threads]
    page: list[PlacedThread] = []
    if before is None or before[0]:
        part_filters = replace(filters, needs_person=True)
        threads = await list_page(read, tenant_id, part_filters, before and before[1:], limit)
        page += [(True, thread) for thread in threads]
    if len(page) < limit:
        part_filters = replace(filters, needs_person=False)
        after = before[1:] if before and not before[0] else None
        threads = await list_page(read, tenant_id, part_filters, after, limit - len(page))
        page += [(False, thread) for thread in threads]
    return page


async def find_rows(
    read: ReadTx, tenant_id: str, filters: ThreadFilter, interaction_ids: Sequence[str]
) -> list[PlacedThread]:
    """Those of the threads that stand in the list. `filters` have no search."""
    params = Params(tenant_id)
    needs_sql = NEEDS_PERSON_SQL if filters.has_parts else "false"
    statement = f"""SELECT t.interaction_id, {needs_sql} AS needs_person FROM interactions t
WHERE t.tenant_id = $1 AND t.interaction_id = ANY ({params.bind(list(interaction_ids))}::text[])
{full_where_sql(params, filters, None)} ORDER BY t.last_message_at DESC"""
    needs_by_id = {
        row["interaction_id"]: row["needs_person"] for row in await read.fetch_rows(statement, *params.values)
    }
    threads = await list_by_id(read, tenant_id, list(needs_by_id))
    return [(needs_by_id[thread.interaction_id], thread) for thread in threads]


def cursor_of(filters: ThreadFilter, placed_thread: PlacedThread) -> Sequence[object]:
    needs_person, thread = placed_thread
    return (int(needs_person), *key_of(thread, filters))

"""The list of threads on the page: first the threads that need a person, then the others, each with
the newest activity first.

A thread needs a person while its status is `follow_up`, while a reply of its agent is held, while a
text that may be an opt-out waits for a decision, or while our newest text in it has failed (for a
week, unless the thread is finished)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.store.engine import ReadTx
from app.store.interactions import Thread, key_of, list_page
from app.store.thread_filters import ThreadFilter

PlacedThread = tuple[bool, Thread]
"""Whether the thread needs a person, and the thread."""
ListCursor = tuple[int, datetime, str]
"""(1 if the thread needs a person else 0, the time that orders the list, interaction id)."""


async def find_page(
    read: ReadTx, tenant_id: str, filters: ThreadFilter, before: ListCursor | None, limit: int
) -> list[PlacedThread]:
    """Up to `limit` threads that come after `before`, the `cursor_of` the previous page's last. A view has
    only one part."""
    if filters.view not in (None, "all"):
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


def cursor_of(filters: ThreadFilter, placed_thread: PlacedThread) -> Sequence[object]:
    needs_person, thread = placed_thread
    return (int(needs_person), *key_of(thread, filters))

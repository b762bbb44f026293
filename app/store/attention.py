"""The list of the page: threads that need a person come first, then the others, both with the
newest activity first.

A thread needs a person while its status is `follow_up`, while a reply of its agent is held, or
while our newest text in it has failed (for a week, and unless the thread is finished)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.store.engine import Read, Row
from app.store.interactions import listed
from app.store.search import Filter

Placed = tuple[bool, Row]
"""Whether the thread needs a person, and the thread."""
Key = tuple[int, datetime, str]


async def first(read: Read, tenant_id: str, narrowed: Filter, before: Key | None, limit: int) -> list[Placed]:
    """Up to `limit` threads after `before` (the `key` of the last one seen)."""
    found: list[Placed] = []
    if before is None or before[0]:
        wanted = replace(narrowed, needs_person=True)
        rows = await listed(read, tenant_id, wanted, before and before[1:], limit)
        found += [(True, row) for row in rows]
    if len(found) < limit:
        wanted = replace(narrowed, needs_person=False)
        after = before[1:] if before and not before[0] else None
        rows = await listed(read, tenant_id, wanted, after, limit - len(found))
        found += [(False, row) for row in rows]
    return found


def key(placed: Placed) -> Sequence[object]:
    needs, row = placed
    return (int(needs), row["last_message_at"], row["interaction_id"])

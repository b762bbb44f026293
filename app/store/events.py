"""The events of a tenant. Triggers write them
(docs/decisions/0013-triggers-write-the-events.md).

The cursor is (transaction id, event id). A later transaction can commit first, so only events below
the oldest running transaction are read: no late commit is skipped, and no writer waits.

Transaction ids begin again in another PostgreSQL server. A cursor that is ahead of them comes from
before a restore and reads from the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.store.engine import ReadTx

EventCursor = tuple[int, int]
FIRST_CURSOR: EventCursor = (0, 0)
SETTLED_SQL = "transaction < pg_snapshot_xmin(pg_current_snapshot())"


@dataclass(frozen=True, slots=True)
class Event:
    transaction: int
    event_id: int
    type: str
    interaction_id: str | None
    data: dict[str, Any]
    at: datetime

    @property
    def cursor(self) -> EventCursor:
        return self.transaction, self.event_id


LIST_AFTER_SQL = f"""
SELECT transaction::text::bigint AS transaction, event_id, type, interaction_id, data, at
FROM tenant_events
WHERE tenant_id = $1
  AND (transaction, event_id) > (
      CASE WHEN $2::text::xid8 < pg_snapshot_xmax(pg_current_snapshot()) THEN $2::text::xid8
           ELSE '0'::xid8 END, $3)
  AND {SETTLED_SQL} AND ($4::text[] IS NULL OR type = ANY ($4))
ORDER BY tenant_events.transaction, event_id LIMIT $5
"""


async def list_after(
    read: ReadTx, tenant_id: str, cursor: EventCursor, types: Sequence[str] | None, limit: int
) -> list[Event]:
    """Up to `limit` events after the cursor, in order. `types` None: all types."""
    type_list = None if types is None else list(types)
    return await read.fetch(Event, LIST_AFTER_SQL, tenant_id, str(cursor[0]), cursor[1], type_list, limit)


GET_NEWEST_CURSOR_SQL = f"""
SELECT transaction::text::bigint AS transaction, event_id FROM tenant_events
WHERE tenant_id = $1 AND {SETTLED_SQL}
ORDER BY tenant_events.transaction DESC, event_id DESC LIMIT 1
"""


async def get_newest_cursor(read: ReadTx, tenant_id: str) -> EventCursor:
    """The cursor after all events that can be read now."""
    row = await read.fetch_row(GET_NEWEST_CURSOR_SQL, tenant_id)
    return FIRST_CURSOR if row is None else (row["transaction"], row["event_id"])

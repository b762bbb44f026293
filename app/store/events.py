"""What happened in a tenant, as its tables wrote it down (migration 0005).

The cursor is (transaction, event): a later transaction can commit first, so nothing at or above
the oldest running one is read yet. Thus a late commit is never skipped, and no writer waits.

Transactions count anew in another PostgreSQL: a cursor that is ahead of them is of one before a
restore, and reads from the start.
"""

from collections.abc import Sequence

from app.store.engine import Read, Row

Cursor = tuple[int, int]
START: Cursor = (0, 0)
SETTLED = "transaction < pg_snapshot_xmin(pg_current_snapshot())"

AFTER = f"""
SELECT transaction::text::bigint AS transaction, event_id, type, interaction_id, data, at
FROM tenant_events
WHERE tenant_id = $1
  AND (transaction, event_id) > (
      CASE WHEN $2::text::xid8 < pg_snapshot_xmax(pg_current_snapshot()) THEN $2::text::xid8
           ELSE '0'::xid8 END, $3)
  AND {SETTLED} AND ($4::text[] IS NULL OR type = ANY ($4))
ORDER BY tenant_events.transaction, event_id LIMIT $5
"""


async def after(read: Read, tenant_id: str, cursor: Cursor, types: Sequence[str] | None, limit: int) -> list[Row]:
    """Events after the cursor, in order; None: of every type."""
    wanted = None if types is None else list(types)
    return await read.rows(AFTER, tenant_id, str(cursor[0]), cursor[1], wanted, limit)


NEWEST = f"""
SELECT transaction::text::bigint AS transaction, event_id FROM tenant_events
WHERE tenant_id = $1 AND {SETTLED}
ORDER BY tenant_events.transaction DESC, event_id DESC LIMIT 1
"""


async def newest(read: Read, tenant_id: str) -> Cursor:
    """The cursor after everything that is settled."""
    row = await read.row(NEWEST, tenant_id)
    return START if row is None else (row["transaction"], row["event_id"])

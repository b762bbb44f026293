"""Figures are counted by the hour, from the rows as they are
(docs/decisions/0044-figures-are-counted-hours.md).

A row belongs to the hour in which its id was made. Events say in which hours something changed; such an
hour is due, and is counted anew as a whole. So it does not matter how often, or in which order, events
are read. Locks: a tenant's cursor before its hours, in order.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from app.domain import ids
from app.store.engine import Tx
from app.store.events import SETTLED_SQL, cursor_sql
from app.store.rows import columns_of, unnest_sql

TENANTS_PER_LOOK = 50
EVENTS_PER_LOOK = 5000
WAIT = timedelta(seconds=2)
"""How long an hour waits at least before it is counted: more may change in it."""
WAIT_PER_COUNT = 20
"""It waits so many times as long as its last count took: counting takes a twentieth of a connection."""
MAX_WAIT = timedelta(minutes=5)
HOUR = timedelta(hours=1)
DAY_LEVEL = "_day"
"""Ends the level of a sum of a day of UTC, whose `hour` is its first."""


@dataclass(frozen=True, slots=True, order=True)
class TenantHour:
    tenant_id: str
    hour: datetime

    @property
    def day(self) -> datetime:
        """The first hour of its day of UTC."""
        return self.hour.astimezone(UTC).replace(hour=0)


MARK_DUE_SQL = f"""
INSERT INTO figure_hours AS h (tenant_id, hour, due_at)
SELECT a.tenant_id, a.hour, clock_timestamp() + $1::interval
FROM {unnest_sql(TenantHour, first=2)} ORDER BY a.tenant_id, a.hour
ON CONFLICT (tenant_id, hour) DO UPDATE SET
    due_at = coalesce(h.due_at, greatest(
        excluded.due_at, clock_timestamp() + least(h.took * {WAIT_PER_COUNT}, interval '{MAX_WAIT.seconds} s')))
"""


async def mark_due(tx: Tx, hours: Collection[TenantHour]) -> None:
    """Something changed in these hours."""
    if hours:
        await tx.execute(MARK_DUE_SQL, WAIT, *columns_of(sorted(hours)))


def list_hours(tenant_id: str, row_ids: Collection[str | None]) -> set[TenantHour]:
    """The hours to which the rows with these ids belong."""
    hours = {ids.get_hour(row_id) for row_id in row_ids if row_id}
    return {TenantHour(tenant_id, hour) for hour in hours if hour}


ADD_CURSORS_SQL = """
INSERT INTO figure_cursors (tenant_id, transaction, event_id)
SELECT t.tenant_id, pg_snapshot_xmin(pg_current_snapshot()), 0 FROM tenants t
WHERE NOT EXISTS (SELECT FROM figure_cursors c WHERE c.tenant_id = t.tenant_id)
ORDER BY t.tenant_id LIMIT $1
ON CONFLICT DO NOTHING RETURNING tenant_id
"""
FIRST_IDS_SQL = """
SELECT a.tenant_id, (
    SELECT min(m.message_id) FROM messages m WHERE m.tenant_id = a.tenant_id
) AS message_id, (SELECT min(t.interaction_id) FROM interactions t WHERE t.tenant_id = a.tenant_id
) AS interaction_id, (SELECT min(u.turn_id) FROM turns u WHERE u.tenant_id = a.tenant_id
) AS turn_id, (SELECT min(e.event_id) FROM consent_events e WHERE e.tenant_id = a.tenant_id
) AS consent_event_id, date_trunc('hour', clock_timestamp(), 'UTC') AS this_hour
FROM unnest($1::text[]) AS a(tenant_id)
"""


@dataclass(frozen=True, slots=True)
class FirstIds:
    """The first ids of a tenant, and the present hour."""

    tenant_id: str
    message_id: str | None
    interaction_id: str | None
    turn_id: str | None
    consent_event_id: str | None
    this_hour: datetime


MARK_COUNTED_SQL = """
UPDATE figure_hours SET due_at = coalesce(due_at, clock_timestamp()) WHERE tenant_id = ANY ($1)
"""


async def begin_tenants(tx: Tx) -> int:
    """Marks all hours of tenants that have no cursor. Returns how many tenants there were."""
    rows = await tx.fetch_rows(ADD_CURSORS_SQL, TENANTS_PER_LOOK)
    tenant_ids = [row["tenant_id"] for row in rows]
    if tenant_ids:
        await tx.execute(MARK_COUNTED_SQL, tenant_ids)
        for first in await tx.fetch(FirstIds, FIRST_IDS_SQL, tenant_ids):
            await mark_due(tx, _list_hours_since(first))
    return len(tenant_ids)


def _list_hours_since(first: FirstIds) -> set[TenantHour]:
    first_ids = (first.message_id, first.interaction_id, first.turn_id, first.consent_event_id)
    begins = [item.hour for item in list_hours(first.tenant_id, first_ids)]
    count = (first.this_hour - min(begins)) // HOUR + 1 if begins else 0
    return {TenantHour(first.tenant_id, min(begins) + HOUR * place) for place in range(count)}


# LIMIT makes it a look-up for each tenant: a join would read all events that are kept.
LOCK_CURSORS_SQL = f"""
SELECT c.tenant_id FROM figure_cursors c
CROSS JOIN LATERAL (
    SELECT FROM tenant_events v
    WHERE v.tenant_id = c.tenant_id AND v.{SETTLED_SQL}
      AND (v.transaction, v.event_id) > ({cursor_sql("c.transaction")}, c.event_id)
    ORDER BY v.transaction, v.event_id LIMIT 1
) news
LIMIT $1 FOR UPDATE OF c SKIP LOCKED
"""
READ_EVENTS_SQL = f"""
SELECT v.tenant_id, v.transaction::text::bigint AS transaction, v.event_id, v.interaction_id,
       v.data ->> 'messageId' AS message_id, v.data ->> 'turnId' AS turn_id,
       v.data ->> 'consentEventId' AS consent_event_id
FROM figure_cursors c CROSS JOIN LATERAL (
    SELECT v.* FROM tenant_events v
    WHERE v.tenant_id = c.tenant_id AND v.{SETTLED_SQL}
      AND (v.transaction, v.event_id) > ({cursor_sql("c.transaction")}, c.event_id)
    ORDER BY v.transaction, v.event_id LIMIT $2
) v
WHERE c.tenant_id = ANY ($1)
"""


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event, and the ids of the rows of which it tells."""

    tenant_id: str
    transaction: int
    event_id: int
    interaction_id: str | None
    message_id: str | None
    turn_id: str | None
    consent_event_id: str | None

    @property
    def row_ids(self) -> tuple[str | None, ...]:
        return self.interaction_id, self.message_id, self.turn_id, self.consent_event_id


@dataclass(frozen=True, slots=True)
class NewCursor:
    tenant_id: str
    transaction: Annotated[int, "bigint"]
    event_id: Annotated[int, "bigint"]


MOVE_CURSORS_SQL = f"""
UPDATE figure_cursors c SET transaction = a.transaction::text::xid8, event_id = a.event_id
FROM {unnest_sql(NewCursor)} WHERE c.tenant_id = a.tenant_id
"""


async def read_events(tx: Tx) -> int:
    """Marks the hours in which something changed, and moves the cursors. Returns how many events were
    read."""
    rows = await tx.fetch_rows(LOCK_CURSORS_SQL, TENANTS_PER_LOOK)
    if not rows:
        return 0
    # A statement of its own: the cursors are read under their locks.
    events = await tx.fetch(SeenEvent, READ_EVENTS_SQL, [row["tenant_id"] for row in rows], EVENTS_PER_LOOK)
    ids_by_tenant: dict[str, set[str | None]] = {}  # several events name the same row
    last: dict[str, tuple[int, int]] = {}
    for event in events:
        ids_by_tenant.setdefault(event.tenant_id, set()).update(event.row_ids)
        place = event.transaction, event.event_id
        last[event.tenant_id] = max(place, last.get(event.tenant_id, place))
    await mark_due(tx, set[TenantHour]().union(*(list_hours(*item) for item in ids_by_tenant.items())))
    if last:
        cursors = [NewCursor(tenant_id, *place) for tenant_id, place in last.items()]
        await tx.execute(MOVE_CURSORS_SQL, *columns_of(cursors))
    return len(events)


LIST_ROW_IDS_SQL = """
SELECT message_id AS row_id FROM messages WHERE tenant_id = $1 AND interaction_id = ANY ($2)
UNION ALL SELECT turn_id FROM turns WHERE tenant_id = $1 AND interaction_id = ANY ($2)
UNION ALL SELECT event_id FROM consent_events WHERE tenant_id = $1 AND phone = ANY ($3)
"""


async def mark_threads(tx: Tx, tenant_id: str, interactions: Sequence[str], phones: Sequence[str]) -> None:
    """Marks all hours of the threads and of the phones' record of consent: they are about to be erased,
    and their events with them."""
    rows = await tx.fetch_rows(LIST_ROW_IDS_SQL, tenant_id, list(interactions), list(phones))
    await mark_due(tx, list_hours(tenant_id, [*interactions, *[row["row_id"] for row in rows]]))


FORGET_CURSORS_SQL = "DELETE FROM figure_cursors"


async def count_anew(tx: Tx) -> None:
    """All hours of all tenants will be counted again."""
    await tx.execute(FORGET_CURSORS_SQL)

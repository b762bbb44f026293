"""The events of a tenant. Triggers write them
(docs/decisions/0013-triggers-write-the-events.md).

The cursor is (transaction id, event id). A later transaction can commit first, so only events below
the oldest running transaction are read: no late commit is skipped, and no writer waits.

Transaction ids begin again in another PostgreSQL server. A cursor that is ahead of them comes from
before a restore and reads from the start. A tenant that moves to another database gets a new epoch,
which stands in the ids of its new events; the events that it brings keep their ids in `former_id`.
"""

from collections.abc import Sequence

from app.domain.event_bodies import RecordedEvent
from app.domain.events import parse_event_id
from app.store.engine import ReadTx

EventCursor = tuple[int, int]
FIRST_CURSOR: EventCursor = (0, 0)
SETTLED_SQL = "transaction < pg_snapshot_xmin(pg_current_snapshot())"


def cursor_sql(transaction: str) -> str:
    """The transaction of a cursor; '0' for one that is ahead of this server's transactions."""
    return f"CASE WHEN {transaction} < pg_snapshot_xmax(pg_current_snapshot()) THEN {transaction} ELSE '0'::xid8 END"


def id_sql(feed_epoch: str, place: str, event: str) -> str:
    """The id of an event, which a reader sees. `place`: who has its transaction and number."""
    place_sql = f"concat_ws('-', {place}.transaction, {place}.event_id)"
    return f"coalesce({event}.former_id, concat_ws('.', nullif({feed_epoch}, 0), {place_sql}))"


EPOCH_SQL = "(SELECT feed_epoch FROM tenants WHERE tenant_id = $1)"
OWN_ID_SQL = id_sql(EPOCH_SQL, "tenant_events", "tenant_events")
LIST_AFTER_SQL = f"""
SELECT transaction::text::bigint AS transaction, event_id, type, name, interaction_id, actor, data, before, at,
       {OWN_ID_SQL} AS id
FROM tenant_events
WHERE tenant_id = $1 AND (transaction, event_id) > ({cursor_sql("$2::text::xid8")}, $3)
  AND {SETTLED_SQL} AND ($4::text[] IS NULL OR type = ANY ($4))
  AND ($5::text[] IS NULL OR name = ANY ($5)) AND (name IS NULL OR name <> ALL ($6::text[]))
ORDER BY tenant_events.transaction, event_id LIMIT $7
"""


async def list_after(
    read: ReadTx,
    tenant_id: str,
    cursor: EventCursor,
    limit: int,
    *,
    short_types: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    except_names: Sequence[str] = (),
) -> list[RecordedEvent]:
    """Up to `limit` events after the cursor, in order. None: all, also those without a full name."""
    return await read.fetch(
        RecordedEvent,
        LIST_AFTER_SQL,
        tenant_id,
        str(cursor[0]),
        cursor[1],
        None if short_types is None else list(short_types),
        None if names is None else list(names),
        list(except_names),
        limit,
    )


GET_NEWEST_CURSOR_SQL = f"""
SELECT transaction::text::bigint AS transaction, event_id FROM tenant_events
WHERE tenant_id = $1 AND {SETTLED_SQL}
ORDER BY tenant_events.transaction DESC, event_id DESC LIMIT 1
"""


async def get_newest_cursor(read: ReadTx, tenant_id: str) -> EventCursor:
    """The cursor after all events that can be read now."""
    row = await read.fetch_row(GET_NEWEST_CURSOR_SQL, tenant_id)
    return FIRST_CURSOR if row is None else (row["transaction"], row["event_id"])


GET_NEWEST_ID_SQL = f"""
SELECT {OWN_ID_SQL} FROM tenant_events
WHERE tenant_id = $1 AND {SETTLED_SQL}
ORDER BY tenant_events.transaction DESC, event_id DESC LIMIT 1
"""


async def get_newest_id(read: ReadTx, tenant_id: str) -> str:
    """The id of the newest event that can be read now; one before all events if there is none."""
    return await read.fetch_value(GET_NEWEST_ID_SQL, tenant_id) or "0-0"


FIND_PLACE_SQL = """
SELECT t.feed_epoch, v.transaction::text::bigint AS transaction, v.event_id
FROM tenants t LEFT JOIN tenant_events v ON v.tenant_id = t.tenant_id AND v.former_id = $2
WHERE t.tenant_id = $1
"""


async def find_place(read: ReadTx, tenant_id: str, event_id: str) -> EventCursor | None:
    """Where the event stands. None: it is no id of this tenant's feed, or of an event from before a move
    that is not kept any more."""
    row, parsed_id = await read.fetch_row(FIND_PLACE_SQL, tenant_id, event_id), parse_event_id(event_id)
    if row is None or parsed_id is None:
        return None
    if row["feed_epoch"] == parsed_id.epoch:
        return parsed_id.transaction, parsed_id.number
    return None if row["event_id"] is None else (row["transaction"], row["event_id"])

"""All rows of one tenant, table by table: read, compared, stored in another database, deleted.

Without superuser, so triggers cannot be switched off: what they write while rows are stored is
removed before the rows that the tenant had are stored in its place. Events, the audit and the history
of statuses get new numbers, which count up in the other database; whatever points to an event is
moved with it. An event keeps the id by which readers know it.
"""

import json
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from app.store import audit
from app.store.connections import loop_time
from app.store.engine import Tx
from app.store.schema import Table

ROWS_A_BATCH = 500
WRITTEN_BY_TRIGGERS = ("tenant_events", "status_changes", "audit_entries")
POINTING_TO_EVENTS = (
    *("figure_cursors", "notice_ways", "webhook_endpoints", "webhook_backlogs", "webhook_queue"),
    "webhook_deliveries",
)
PLACE = ("transaction", "event_id")
NEW_COLUMNS: dict[str, tuple[str, ...]] = {
    "tenants": ("feed_epoch",),
    "tenant_events": (*PLACE, "former_id"),
    "status_changes": ("change_id",),
    "audit_entries": ("audit_id",),
    **dict.fromkeys(POINTING_TO_EVENTS[:-1], PLACE),
}
"""Columns whose values are others in the other database; they are not compared."""


def _order_tables() -> list[str]:
    """Every table after those that it refers to; what triggers write, and what points to it, last."""
    tables = [table.name for table in Table.metadata.sorted_tables if "tenant_id" in table.columns]
    last = [*WRITTEN_BY_TRIGGERS, *POINTING_TO_EVENTS]
    return [name for name in tables if name not in last] + last


TENANT_TABLES = _order_tables()


@dataclass(slots=True)
class TableSum:
    """How many rows, and the sum of their digests, in whatever order."""

    row_count: int = 0
    checksum: int = 0

    def add(self, row: str) -> None:
        self.row_count += 1
        self.checksum = (self.checksum + int.from_bytes(sha256(row.encode()).digest()[:16], "big")) % 2**128


Sums = dict[str, TableSum]


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows of one table, each as JSON."""

    table: str
    rows: list[str]


LONG_SECONDS = 3600.0
ALLOW_LONG_SQL = "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = 0"


async def allow_long(tx: Tx) -> None:
    """A large tenant takes longer than a request may, and while one cell reads, the other one waits with
    its transaction open."""
    await tx.execute(ALLOW_LONG_SQL)
    tx.deadline = loop_time() + LONG_SECONDS


PREPARE_SQL = "SELECT set_config('app.tenant', $1, true), set_config('TimeZone', 'UTC', true)"


async def read_rows(tx: Tx, tenant_id: str, sums: Sums) -> AsyncIterator[RowBatch]:
    """The tenant's rows in the order in which they can be stored; `sums` counts them."""
    await tx.fetch_row(PREPARE_SQL, tenant_id)
    for table in TENANT_TABLES:
        key = ", ".join(column.name for column in Table.metadata.tables[table].primary_key)
        # asyncpg keeps the columns of each text of a FETCH: a name of its own for each table's cursor.
        cursor = f"rows_of_{table}"
        await tx.execute(
            f"DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {_get_forms_sql(table)} FROM {table} t"
            f" WHERE tenant_id = current_setting('app.tenant') ORDER BY {key}"
        )
        table_sum = sums.setdefault(table, TableSum())
        while rows := await tx.fetch_rows(f"FETCH {ROWS_A_BATCH} FROM {cursor}"):
            for *_, compared_row in rows:
                table_sum.add(compared_row)
            yield RowBatch(table, [row for row, *_ in rows])
        await tx.execute(f"CLOSE {cursor}")


def _get_forms_sql(table: str) -> str:
    """The row `t` as it is stored, then as it is compared, where that is not the same."""
    forms = ["to_jsonb(t)::text"]
    if new_columns := NEW_COLUMNS.get(table):
        forms.append(f"(to_jsonb(t) - '{{{','.join(new_columns)}}}'::text[])::text")
    return ", ".join(forms)


async def sum_rows(tx: Tx, tenant_id: str) -> Sums:
    sums: Sums = {}
    async for _ in read_rows(tx, tenant_id, sums):
        pass
    return sums


COUNT_ROWS_SQL = " UNION ALL ".join(
    f"SELECT '{name}' AS name, count(*) FROM {name} WHERE tenant_id = $1" for name in TENANT_TABLES
)


async def count_rows(tx: Tx, tenant_id: str) -> dict[str, int]:
    """How many rows of each table are the tenant's."""
    return {row["name"]: row["count"] for row in await tx.fetch_rows(COUNT_ROWS_SQL, tenant_id)}


def find_differences(sums: Sums, other_sums: Sums) -> list[str]:
    """The tables in which rows or their contents differ."""
    return [name for name in TENANT_TABLES if sums.get(name, TableSum()) != other_sums.get(name, TableSum())]


@dataclass(slots=True)
class EventPlaces:
    """Where the tenant's events stood, in order, and their new numbers."""

    transaction: int = 0
    old: list[tuple[int, int]] = field(default_factory=list)
    new: list[int] = field(default_factory=list)

    def move(self, place: tuple[int, int]) -> dict[str, Any]:
        """The place of the newest event at or before `place`; the beginning where none is known."""
        number = bisect_right(self.old, place)
        transaction, event_id = (self.transaction, self.new[number - 1]) if number else (0, 0)
        return {"transaction": str(transaction), "event_id": event_id}


class RowWriter:
    """Stores the rows of one tenant in the order of `read_rows`, in one transaction. `finish` ends it."""

    def __init__(self, tx: Tx, tenant_id: str) -> None:
        self._tx, self._tenant_id = tx, tenant_id
        self._places = EventPlaces()
        self._is_at_end = False
        self._former_epoch = 0

    async def prepare(self) -> None:
        await audit.switch_off(self._tx)
        await self._tx.fetch_row(PREPARE_SQL, self._tenant_id)
        self._places.transaction = await self._tx.fetch_value("SELECT pg_current_xact_id()::text::bigint")

    async def write(self, batch: RowBatch) -> None:
        if batch.table in WRITTEN_BY_TRIGGERS and not self._is_at_end:
            await self._forget_written_by_triggers()
        if batch.table == "tenants":
            await self._write_tenant(batch)
        elif batch.table == "tenant_events":
            await self._write_events(batch)
        elif NEW_COLUMNS.get(batch.table) == PLACE:
            places = [self._places.move(_read_place(row)) for row in batch.rows]
            await self._insert(batch, places)
        else:
            await self._insert(batch, [{} for _ in batch.rows])

    async def finish(self) -> None:
        """A tenant that has no rows of what triggers write (they were pruned) does not get new ones."""
        if not self._is_at_end:
            await self._forget_written_by_triggers()

    async def _forget_written_by_triggers(self) -> None:
        """Removes what storing the other rows made the triggers write."""
        self._is_at_end = True
        await self._tx.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in WRITTEN_BY_TRIGGERS:
            await self._tx.fetch_rows(f"DELETE FROM {table} WHERE tenant_id = $1", self._tenant_id)

    async def _write_tenant(self, batch: RowBatch) -> None:
        [tenant] = map(json.loads, batch.rows)
        self._former_epoch = tenant["feed_epoch"]
        await self._insert(batch, [{"feed_epoch": max(int(time.time()), self._former_epoch + 1)}])

    async def _write_events(self, batch: RowBatch) -> None:
        self._places.old += [_read_place(row) for row in batch.rows]
        transaction = str(self._places.transaction)
        changes = [{"transaction": transaction, "former_id": self._name_event(row)} for row in batch.rows]
        new_rows = await self._insert(batch, changes)
        self._places.new += sorted(row["event_id"] for row in new_rows)

    def _name_event(self, row: str) -> str:
        """The id that the event has and keeps."""
        values = json.loads(row)
        epoch = f"{self._former_epoch}." if self._former_epoch else ""
        return values["former_id"] or f"{epoch}{values['transaction']}-{values['event_id']}"

    async def _insert(self, batch: RowBatch, changes: Sequence[dict[str, Any]]) -> Sequence[Any]:
        table = Table.metadata.tables[batch.table]
        columns = [c.name for c in table.columns if c.identity is None and c.computed is None]
        return await self._tx.fetch_rows(
            f"INSERT INTO {table.name} ({', '.join(columns)})"
            f" SELECT {', '.join(f'r.{name}' for name in columns)}"
            " FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS o(stored, place)"
            " JOIN jsonb_array_elements($2::text::jsonb) WITH ORDINALITY AS c(changed, place) USING (place),"
            f" LATERAL jsonb_populate_record(NULL::{table.name}, o.stored || c.changed) AS r"
            f" ORDER BY place RETURNING {'event_id' if table.name == 'tenant_events' else '1'}",
            f"[{','.join(batch.rows)}]",
            json.dumps(list(changes)),
        )


def _read_place(row: str) -> tuple[int, int]:
    values = json.loads(row)
    return int(values["transaction"] or 0), int(values["event_id"] or 0)


LOCK_TENANT_SQL = "SELECT tenant_id FROM tenants WHERE tenant_id = $1 FOR UPDATE"


async def lock_out(tx: Tx, tenant_id: str) -> bool:
    """Holds up whatever is new for the tenant until the transaction ends. False: there is no such tenant."""
    return bool(await tx.fetch_rows(LOCK_TENANT_SQL, tenant_id))


async def delete_rows(tx: Tx, tenant_id: str, tables: Iterable[str] = TENANT_TABLES) -> dict[str, int]:
    """Deletes the tenant's rows; how many of each table."""
    await audit.switch_off(tx)
    counts = {}
    for table in reversed(list(tables)):
        [row] = await tx.fetch_rows(
            f"WITH gone AS (DELETE FROM {table} WHERE tenant_id = $1 RETURNING 1) SELECT count(*) FROM gone", tenant_id
        )
        counts[table] = row["count"]
    return counts

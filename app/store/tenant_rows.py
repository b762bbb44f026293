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
from contextlib import asynccontextmanager
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
FIGURES = ("figure_hours", "figures", "figure_cursors")
"""Counted from the other rows, of which events tell. Figures of an earlier moment, with their cursor, become those of
now by themselves."""
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


async def prepare(tx: Tx, tenant_id: str) -> None:
    """Rows are written the same way as JSON whichever time zone the server has."""
    await tx.fetch_row(PREPARE_SQL, tenant_id)


async def read_rows(tx: Tx, tenant_id: str, sums: Sums, events_before: int | None = None) -> AsyncIterator[RowBatch]:
    """The tenant's rows in the order in which they can be stored; `sums` counts them. `events_before`: no events of
    this transaction and later ones."""
    await prepare(tx, tenant_id)
    for table in TENANT_TABLES:
        key = ", ".join(key_columns(table))
        # asyncpg keeps the columns of each text of a FETCH: a name of its own for each table's cursor.
        cursor = f"rows_of_{table}"
        is_limited = table == "tenant_events" and events_before is not None
        limit = f"AND transaction < '{events_before}'" if is_limited else ""
        await tx.execute(
            f"DECLARE {cursor} NO SCROLL CURSOR FOR SELECT {forms_sql(table)} FROM {table} t"
            f" WHERE tenant_id = current_setting('app.tenant') {limit} ORDER BY {key}"
        )
        table_sum = sums.setdefault(table, TableSum())
        while rows := await tx.fetch_rows(f"FETCH {ROWS_A_BATCH} FROM {cursor}"):
            for *_, compared_row in rows:
                table_sum.add(compared_row)
            yield RowBatch(table, [row for row, *_ in rows])
        await tx.execute(f"CLOSE {cursor}")


def key_columns(table: str) -> list[str]:
    return [column.name for column in Table.metadata.tables[table].primary_key]


def compared_sql(table: str, row: str) -> str:
    """The row, which is jsonb, as it is compared."""
    new_columns = NEW_COLUMNS.get(table)
    return f"({row} - '{{{','.join(new_columns)}}}'::text[])" if new_columns else row


def forms_sql(table: str) -> str:
    """The row `t` as it is stored, then as it is compared, where that is not the same."""
    forms = dict.fromkeys(["to_jsonb(t)", compared_sql(table, "to_jsonb(t)")])
    return ", ".join(f"{form}::text" for form in forms)


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


def find_different_sums(sums: Sums, other_sums: Sums) -> list[str]:
    """The tables in which rows or their contents differ."""
    return [name for name in TENANT_TABLES if sums.get(name, TableSum()) != other_sums.get(name, TableSum())]


@dataclass(slots=True)
class EventPlaces:
    """Where the tenant's events stood, and their new numbers; both count up."""

    transaction: int = 0
    old: list[tuple[int, int]] = field(default_factory=list)
    new: list[int] = field(default_factory=list)

    def add(self, old: Sequence[tuple[int, int]], new: Sequence[int]) -> None:
        assert not (self.old and old) or self.old[-1] < old[0]
        self.old += old
        self.new += new

    def move(self, place: tuple[int, int]) -> dict[str, Any]:
        """The place of the newest event at or before `place`; the beginning where none is known."""
        number = bisect_right(self.old, place)
        transaction, event_id = (self.transaction, self.new[number - 1]) if number else (0, 0)
        return {"transaction": str(transaction), "event_id": event_id}


SET_ROLE_SQL = "SELECT set_config('role', $1, true)"


@asynccontextmanager
async def act_as_login(tx: Tx) -> AsyncIterator[None]:
    """As who opened the connection: who may do what the roles of the service may not."""
    role = await tx.fetch_value("SELECT current_setting('role')")
    await tx.fetch_value(SET_ROLE_SQL, "none")
    yield
    await tx.fetch_value(SET_ROLE_SQL, role)


SEEMS_EMPTY_SQL = "SELECT reltuples <= 0 FROM pg_class WHERE oid = $1::text::regclass"


class RowWriter:
    """Stores the rows of one tenant in the order of `read_rows`, in one transaction. `finish` ends it."""

    def __init__(self, tx: Tx, tenant_id: str) -> None:
        self._tx, self._tenant_id = tx, tenant_id
        self._places = EventPlaces()
        self._is_at_end = False
        self._former_epoch, self._epoch = 0, 0

    async def prepare(self) -> None:
        await audit.switch_off(self._tx)
        await prepare(self._tx, self._tenant_id)
        self._places.transaction = await self._tx.fetch_value("SELECT pg_current_xact_id()::text::bigint")

    async def write(self, batch: RowBatch) -> None:
        if batch.table in WRITTEN_BY_TRIGGERS and not self._is_at_end:
            await self._forget_written_by_triggers()
        if batch.table == "tenants":
            self._begin_epoch(json.loads(batch.rows[0])["feed_epoch"])
        new_rows = await self._insert(batch)
        if len(batch.rows) == ROWS_A_BATCH:
            await self._analyze(batch.table)
        if batch.table == "tenant_events":
            self._places.add([_read_place(row) for row in batch.rows], sorted(row["event_id"] for row in new_rows))

    async def write_again(self, batch: RowBatch) -> None:
        """Stores rows that were perhaps written already, and have changed since."""
        key = key_columns(batch.table)
        others = [
            c.name for c in Table.metadata.tables[batch.table].columns if c.name not in key and c.computed is None
        ]
        change = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}" if others else "NOTHING"
        await self._insert(batch, f"ON CONFLICT ({', '.join(key)}) DO {change}")

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

    async def _analyze(self, table: str) -> None:
        """A table that was empty when autovacuum last looked is taken for empty until the commit: then each check of a
        foreign key reads all rows of the tenant. Who does not own the table cannot help it."""
        if await self._tx.fetch_value(SEEMS_EMPTY_SQL, table):
            async with act_as_login(self._tx):
                await self._tx.execute(f"ANALYZE {table}")

    def _begin_epoch(self, former_epoch: int) -> None:
        self._former_epoch, self._epoch = former_epoch, max(int(time.time()), former_epoch + 1)

    def _change_row(self, table: str, row: str) -> dict[str, Any]:
        """The values that are others in this database."""
        if table == "tenants":
            return {"feed_epoch": self._epoch}
        if table == "tenant_events":
            return {"transaction": str(self._places.transaction), "former_id": self._name_event(row)}
        return self._places.move(_read_place(row)) if NEW_COLUMNS.get(table) == PLACE else {}

    def _name_event(self, row: str) -> str:
        """The id that the event has and keeps."""
        values = json.loads(row)
        epoch = f"{self._former_epoch}." if self._former_epoch else ""
        return values["former_id"] or f"{epoch}{values['transaction']}-{values['event_id']}"

    async def _insert(self, batch: RowBatch, or_else: str = "") -> Sequence[Any]:
        table = Table.metadata.tables[batch.table]
        columns = [c.name for c in table.columns if c.identity is None and c.computed is None]
        return await self._tx.fetch_rows(
            f"INSERT INTO {table.name} ({', '.join(columns)})"
            f" SELECT {', '.join(f'r.{name}' for name in columns)}"
            " FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS o(stored, place)"
            " JOIN jsonb_array_elements($2::text::jsonb) WITH ORDINALITY AS c(changed, place) USING (place),"
            f" LATERAL jsonb_populate_record(NULL::{table.name}, o.stored || c.changed) AS r"
            f" ORDER BY place {or_else} RETURNING {'event_id' if table.name == 'tenant_events' else '1'}",
            f"[{','.join(batch.rows)}]",
            json.dumps([self._change_row(batch.table, row) for row in batch.rows]),
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

"""What changed of a tenant's rows after most of them were copied: found, and stored in the copy.

A row is late if its transaction is not older than all that were open when the copy began. The copy may have seen
it: then it is stored once more, which changes nothing. So are frozen rows of a server whose transaction numbers began
again, which look late. Two kinds of rows get new numbers, and cannot be stored twice. The history of statuses and the
audit: what the copy has is skipped. Events: the copy leaves all late ones out, because an open transaction may add
one before those of newer transactions, and the order in which readers get them must stay.

Figures are neither locked nor copied again: a worker may count them all the time, and that would hold up a move for
ever. What they lack is told by the late events, and by the hours that were marked or counted meanwhile.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from app.store.connections import loop_time
from app.store.counting import TenantHour, mark_due
from app.store.engine import Tx
from app.store.schema import Table
from app.store.tenant_rows import (
    FIGURES,
    PLACE,
    POINTING_TO_EVENTS,
    TENANT_TABLES,
    WRITTEN_BY_TRIGGERS,
    RowBatch,
    RowWriter,
    Sums,
    act_as_login,
    allow_long,
    compared_sql,
    count_rows,
    key_columns,
    prepare,
)

LOCK_ROWS_SQL = "SELECT count(*) FROM (SELECT FROM {table} WHERE tenant_id = $1 {order} FOR UPDATE) locked"
LOCKED_FIRST = {"tenants": "", "interactions": "ORDER BY our_number, lead_phone", "turns": "", "outbox": ""}
LAST_MOMENT_TABLES = [name for name in TENANT_TABLES if name not in FIGURES]
"""Those of which the copy must have the rows of the last moment."""
NUMBERED_ANEW = [table for table in WRITTEN_BY_TRIGGERS if table != "tenant_events"]
LOCK_TRIES = 30
BEGIN_TRY_SQL = "SAVEPOINT unlocked; SET LOCAL lock_timeout = '200ms'"
END_TRY_SQL = "ROLLBACK TO SAVEPOINT unlocked"
MAY_LOCK_SQL = """
SELECT a.name FROM unnest($1::text[]) WITH ORDINALITY AS a(name, place)
WHERE has_table_privilege(a.name, 'UPDATE') ORDER BY a.place
"""
START_SQL = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
# A row knows the lower half of its transaction's number.
WITH_START_SQL = "WITH start AS MATERIALIZED (SELECT age(($2::bigint % 4294967296)::text::xid) AS age)"
IS_LATE_SQL = "age(t.xmin) <= start.age"
IS_LATE_EVENT_SQL = "t.transaction >= $2::bigint::text::xid8"
LIST_VISIBLE_SQL = f"""{WITH_START_SQL}
SELECT {{number}} AS number FROM {{table}} t, start WHERE t.tenant_id = $1 AND {IS_LATE_SQL}
"""
READ_LATE_SQL = f"""{WITH_START_SQL}
SELECT count(*) AS row_count, array_agg(to_jsonb(t)::text ORDER BY {{key}}) FILTER (WHERE {{is_late}}) AS late_rows
FROM {{table}} t, start WHERE t.tenant_id = $1
"""
LATE_HOURS_SQL = f"""{WITH_START_SQL}
SELECT t.tenant_id, t.hour FROM figure_hours t, start WHERE t.tenant_id = $1 AND {IS_LATE_SQL}
"""
KEYS_SQL = "SELECT jsonb_build_object({pairs})::text AS key FROM {table} t WHERE tenant_id = $1"
DELETE_KEYS_SQL = """
DELETE FROM {table} t
USING jsonb_array_elements($2::text::jsonb) AS a(key), jsonb_populate_record(NULL::{table}, a.key) AS k
WHERE t.tenant_id = $1 AND ({key}) = ({other_key})
"""
COUNT_STORED_SQL = """
SELECT count(*)
FROM jsonb_array_elements($1::text::jsonb) AS a(stored), jsonb_populate_record(NULL::{table}, a.stored) AS k
JOIN {table} t ON ({key}) = ({other_key})
"""
COUNT_EQUAL_SQL = f"{COUNT_STORED_SQL} WHERE {{form}} = {{other_form}}"


CANCEL_WAITING_SQL = """
SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
"""
CANCEL_TRIES = 20


async def cancel_waiting(tx: Tx) -> None:
    """Ends what waits for the rows that `tx` has locked. It would find no rows when they are deleted, and take a
    receipt for one of nobody's text; so it fails and is tried again where the rows are now."""
    async with act_as_login(tx):  # only who opened a connection may cancel what runs on it
        for _ in range(CANCEL_TRIES):
            if not await tx.fetch_value(CANCEL_WAITING_SQL):
                break
            await asyncio.sleep(0.1)


HAS_CLAIMED_SQL = "SELECT EXISTS (SELECT FROM outbox WHERE tenant_id = $1 AND lease IS NOT NULL)"


async def has_claimed_texts(tx: Tx, tenant_id: str) -> bool:
    """Whether a worker is handing texts to a carrier."""
    return bool(await tx.fetch_value(HAS_CLAIMED_SQL, tenant_id))


@dataclass(frozen=True, slots=True)
class Start:
    """When the copy began. Transactions from `transaction` on are late. `visible`: by table, the numbers of late rows
    that the copy saw and has."""

    transaction: int
    visible: dict[str, set[int]]


async def find_start(tx: Tx, tenant_id: str) -> Start:
    """For who reads with the snapshot of `tx`."""
    transaction = int(await tx.fetch_value(START_SQL))
    visible = {}
    for table in NUMBERED_ANEW:
        sql = LIST_VISIBLE_SQL.format(table=table, number=_number_of(table))
        visible[table] = {row["number"] for row in await tx.fetch_rows(sql, tenant_id, transaction)}
    return Start(transaction, visible)


async def lock_rows(tx: Tx, tenant_id: str) -> float:
    """Holds up every change of the tenant's rows, and new ones, until the transaction ends; since when (loop time).
    Figures may still be counted. Raises `LockNotAvailableError`."""
    others = [name for name in LAST_MOMENT_TABLES if name not in (*WRITTEN_BY_TRIGGERS, *LOCKED_FIRST)]
    return await _lock_tables(tx, tenant_id, [*LOCKED_FIRST, *others])


async def lock_figures(tx: Tx, tenant_id: str) -> None:
    """Also holds up every count of the tenant's figures. Who counts them already waits for the tenant, which `tx` has
    locked: that is ended. Raises `LockNotAvailableError`."""
    await _lock_tables(tx, tenant_id, FIGURES, ends_waiting=True)


async def _lock_tables(tx: Tx, tenant_id: str, tables: Sequence[str], ends_waiting: bool = False) -> float:
    """Who has locked a row and adds another one waits for us, and we for the row: so we give up first, long before
    PostgreSQL ends one of both, and try again. That frees what was locked here; `ends_waiting`: who waits for what
    `tx` has locked before is ended."""
    for tries_left in reversed(range(LOCK_TRIES)):
        await tx.execute(BEGIN_TRY_SQL)
        begun_at = loop_time()
        try:
            await _lock_once(tx, tenant_id, tables)
        except asyncpg.LockNotAvailableError:
            await tx.execute(END_TRY_SQL)
            if not tries_left:
                raise
            if ends_waiting:
                await cancel_waiting(tx)
            await asyncio.sleep(0.1)
        else:
            break
    await allow_long(tx)
    return begun_at


async def _lock_once(tx: Tx, tenant_id: str, tables: Sequence[str]) -> None:
    for row in await tx.fetch_rows(MAY_LOCK_SQL, tables):
        table = row["name"]
        await tx.fetch_value(LOCK_ROWS_SQL.format(table=table, order=LOCKED_FIRST.get(table, "")), tenant_id)


@dataclass(frozen=True, slots=True)
class LateRows:
    """What the source has now, but for figures: how many rows of each table; the late ones, and all rows of tables
    that are stored anew, in the order of the tables. `hours`: those whose figures are late."""

    counts: dict[str, int]
    batches: list[RowBatch]
    hours: list[TenantHour]


async def read_late_rows(tx: Tx, tenant_id: str, start: Start) -> LateRows:
    await prepare(tx, tenant_id)
    hours = await tx.fetch(TenantHour, LATE_HOURS_SQL, tenant_id, start.transaction)
    late_rows = LateRows({}, [], hours)
    for table in LAST_MOMENT_TABLES:
        is_late = IS_LATE_EVENT_SQL if table == "tenant_events" else IS_LATE_SQL
        sql = READ_LATE_SQL.format(table=table, key=_key_sql(table, "t"), is_late=is_late)
        [row] = await tx.fetch_rows(sql, tenant_id, 0 if is_stored_anew(table) else start.transaction)
        late_rows.counts[table] = row["row_count"]
        rows = _skip_visible(table, row["late_rows"] or [], start)
        if rows or is_stored_anew(table):
            late_rows.batches.append(RowBatch(table, rows))
    return late_rows


def _skip_visible(table: str, rows: list[str], start: Start) -> list[str]:
    """A second copy of a row that gets a new number would be a second row."""
    if visible := start.visible.get(table):
        return [row for row in rows if json.loads(row)[_number_of(table)] not in visible]
    return rows


def is_stored_anew(table: str) -> bool:
    """Whether its keys are places of events: nobody can say then which row of the copy is which."""
    return table in POINTING_TO_EVENTS and set(PLACE) <= set(key_columns(table))


async def find_marks(tx: Tx, tenant_id: str) -> dict[str, int]:
    """The highest numbers of the copied rows that triggers write; theirs have higher ones from now on."""
    return {
        table: await tx.fetch_value(f"SELECT max({_number_of(table)}) FROM {table} WHERE tenant_id = $1", tenant_id)
        or 0
        for table in WRITTEN_BY_TRIGGERS
    }


async def store_late_rows(
    source: Tx, target: Tx, writer: RowWriter, tenant_id: str, sums: Sums, late_rows: LateRows, marks: Mapping[str, int]
) -> None:
    """Makes the copy, of which `sums` are known, equal to what the source has now; `find_different_rows` compares
    them."""
    counts = {table: table_sum.row_count for table, table_sum in sums.items()}
    for batch in late_rows.batches:
        if batch.table not in (*WRITTEN_BY_TRIGGERS, *POINTING_TO_EVENTS):
            counts[batch.table] += len(batch.rows) - await _count_stored(target, batch, COUNT_STORED_SQL)
            await writer.write_again(batch)
    await _delete_gone(source, target, tenant_id, late_rows.counts, counts)
    for table, mark in marks.items():
        own = "transaction = pg_current_xact_id() AND " if "transaction" in key_columns(table) else ""
        sql = f"DELETE FROM {table} WHERE tenant_id = $1 AND {own}{_number_of(table)} > $2"
        await target.fetch_rows(sql, tenant_id, mark)
    for batch in late_rows.batches:
        if batch.table in WRITTEN_BY_TRIGGERS:
            await writer.write(batch)
    for batch in late_rows.batches:
        if is_stored_anew(batch.table):
            await target.fetch_rows(f"DELETE FROM {batch.table} WHERE tenant_id = $1", tenant_id)
        if batch.table in POINTING_TO_EVENTS and batch.rows:
            await writer.write_again(batch)
    await mark_due(target, late_rows.hours)


def _number_of(table: str) -> str:
    """The column by which the rows of a table that triggers write are numbered."""
    [column] = [column.name for column in Table.metadata.tables[table].columns if column.identity is not None]
    return column


async def _delete_gone(
    source: Tx, target: Tx, tenant_id: str, counts: Mapping[str, int], copied_counts: Mapping[str, int]
) -> None:
    """Deletes the rows of the copy that the source has no more. The copy has all that the source has."""
    for table in reversed(LAST_MOMENT_TABLES):
        is_kept = table not in WRITTEN_BY_TRIGGERS and not is_stored_anew(table)
        if is_kept and copied_counts[table] > counts[table]:
            keys, copied_keys = [await _list_keys(tx, table, tenant_id) for tx in (source, target)]
            sql = DELETE_KEYS_SQL.format(table=table, key=_key_sql(table, "t"), other_key=_key_sql(table, "k"))
            await target.fetch_rows(sql, tenant_id, f"[{','.join(sorted(copied_keys - keys))}]")


async def _list_keys(tx: Tx, table: str, tenant_id: str) -> set[str]:
    pairs = ", ".join(f"'{name}', t.{name}" for name in key_columns(table))
    return {row["key"] for row in await tx.fetch_rows(KEYS_SQL.format(pairs=pairs, table=table), tenant_id)}


def _key_sql(table: str, alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in key_columns(table))


async def find_different_rows(tx: Tx, tenant_id: str, late_rows: LateRows) -> list[str]:
    """The tables of which the copy has other rows: the number of all is compared, and each late row."""
    counts = await count_rows(tx, tenant_id)
    different = {table for table in LAST_MOMENT_TABLES if counts[table] != late_rows.counts[table]}
    return sorted(different | {batch.table for batch in late_rows.batches if not await _is_stored(tx, batch)})


async def _is_stored(tx: Tx, batch: RowBatch) -> bool:
    if not batch.rows or is_stored_anew(batch.table) or batch.table in WRITTEN_BY_TRIGGERS:
        return True  # they were inserted just now, and their keys are others here
    return await _count_stored(tx, batch, COUNT_EQUAL_SQL) == len(batch.rows)


async def _count_stored(tx: Tx, batch: RowBatch, sql: str) -> int:
    """How many of the rows are stored, whatever is in them, or as they are in the batch."""
    table = batch.table
    sql = sql.format(
        table=table,
        key=_key_sql(table, "t"),
        other_key=_key_sql(table, "k"),
        form=compared_sql(table, "to_jsonb(t)"),
        other_form=compared_sql(table, "a.stored"),
    )
    count: int = await tx.fetch_value(sql, f"[{','.join(batch.rows)}]")
    return count

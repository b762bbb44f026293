"""A tenant leaves, comes, or is deleted; `tenant_moves` moves one to another cell.

The file of an export: a header, a line for each row (its table, a tab, JSON), and a trailer with counts and
checksums; compressed. Secrets in it stay sealed; everything else can be read by who has it.
"""

import gzip
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import asyncpg

from app.access.sealing import Seal
from app.store import readiness, tenant_rows
from app.store import tenants as tenants_store
from app.store.engine import Database, Tx
from app.store.tenant_rows import RowBatch, RowWriter, Sums, TableSum

FORMAT = 1
HEADER, TRAILER = "#tenant", "#sums"
PROBE = b"one installation"
"""Sealed by the one cell and opened by the other: do they share `SECRET_KEYS`?"""
NO_TENANT = "there is no tenant with this id"
SNAPSHOT_SQL = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


class TenantStays(Exception):
    """Nothing was changed. The message says why."""


async def export_tenant(database: Database, seal: Seal, tenant_id: str, path: Path) -> Sums:
    """Writes the tenant's rows as they are at this moment. Raises `TenantStays`, `OSError`."""
    sums: Sums = {}
    async with database.system_tx() as tx:
        await tx.execute(SNAPSHOT_SQL)
        await tenant_rows.allow_long(tx)
        if await tenants_store.get(tx, tenant_id) is None:
            raise TenantStays(NO_TENANT)
        header = await build_header(tx, seal, tenant_id)
        with _create_private(path) as file:
            file.write(f"{HEADER}\t{json.dumps(header)}\n")
            async for batch in tenant_rows.read_rows(tx, tenant_id, sums):
                file.writelines(f"{batch.table}\t{row}\n" for row in batch.rows)
            file.write(f"{TRAILER}\t{json.dumps({name: asdict(table_sum) for name, table_sum in sums.items()})}\n")
    return sums


async def import_tenant(database: Database, seal: Seal, path: Path) -> tuple[str, Sums]:
    """Stores the rows of a file, all or none. Raises `TenantStays`, `OSError`."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        try:
            header = _read_marked(file.readline(), HEADER)
        except (OSError, EOFError, ValueError) as error:
            raise TenantStays(f"{path} is no export of a tenant ({error})") from None
        async with store_tenant(database, seal, header) as (tx, writer):
            told_sums: Sums | None = None
            for batch in _read_batches(file):
                if batch.table == TRAILER:
                    told_sums = {name: TableSum(**values) for name, values in json.loads(batch.rows[0]).items()}
                else:
                    await writer.write(batch)
            if told_sums is None:
                raise TenantStays(f"{path} is cut off")
            await writer.finish()
            await require_equal(tx, header["tenantId"], told_sums)
    return header["tenantId"], told_sums


@contextmanager
def stay_when_busy() -> Iterator[None]:
    try:
        yield
    except (
        asyncpg.SerializationError,
        asyncpg.LockNotAvailableError,
        asyncpg.DeadlockDetectedError,
        asyncpg.IntegrityConstraintViolationError,
    ):
        raise TenantStays("a process of this cell changed a row of the tenant meanwhile; try again") from None


async def delete_tenant(database: Database, tenant_id: str) -> dict[str, int]:
    """Deletes everything of the tenant; how many rows of each table. Raises `TenantStays`."""
    with stay_when_busy():
        async with database.system_tx() as tx:
            await tenant_rows.allow_long(tx)
            await lock_out(tx, tenant_id)
            return await tenant_rows.delete_rows(tx, tenant_id)


async def lock_out(tx: Tx, tenant_id: str) -> None:
    if not await tenant_rows.lock_out(tx, tenant_id):
        raise TenantStays(NO_TENANT)


async def count_tenant(database: Database, tenant_id: str) -> dict[str, int]:
    """How many rows of each table `delete_tenant` would delete. Raises `TenantStays`."""
    async with database.system_tx() as tx:
        await tenant_rows.allow_long(tx)
        counts = await tenant_rows.count_rows(tx, tenant_id)
    if not counts["tenants"]:
        raise TenantStays(NO_TENANT)
    return counts


async def build_header(tx: Tx, seal: Seal, tenant_id: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "revision": readiness.head(),
        "tenantId": tenant_id,
        "phoneKey": _name_phone_key(tx),
        "sealed": seal.close(PROBE).hex(),
    }


def _name_phone_key(tx: Tx) -> str:
    """Tells two keys of phones' hashes apart, and not what they are."""
    return tx.hash_phone("").hex()[:16]


@asynccontextmanager
async def store_tenant(database: Database, seal: Seal, header: dict[str, Any]) -> AsyncIterator[tuple[Tx, RowWriter]]:
    """A transaction into which the tenant's rows are written. Raises `TenantStays`, `Unsealable`."""
    seal.open(bytes.fromhex(header["sealed"]))
    if header["format"] != FORMAT or header["revision"] != readiness.head():
        revisions = f"{header['revision']}, and this build is at {readiness.head()}"
        raise TenantStays(f"the rows are of schema {revisions}: both cells must run the same build")
    async with database.system_tx() as tx:
        if _name_phone_key(tx) != header["phoneKey"]:
            raise TenantStays("the two cells do not share the row of `installation`: see the page Scaling")
        await tenant_rows.allow_long(tx)
        if await tenant_rows.lock_out(tx, header["tenantId"]):
            raise TenantStays("the tenant is here already")
        writer = RowWriter(tx, header["tenantId"])
        await writer.prepare()
        yield tx, writer


async def require_equal(tx: Tx, tenant_id: str, sums: Sums) -> None:
    if different := tenant_rows.find_different_sums(sums, await tenant_rows.sum_rows(tx, tenant_id)):
        raise TenantStays(f"what was stored differs in {', '.join(different)}")


@contextmanager
def _create_private(path: Path) -> Iterator[TextIO]:
    """A new compressed file that nobody else can read. Raises `FileExistsError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as raw, gzip.open(raw, "wt", encoding="utf-8", newline="\n") as file:
        yield file


def _read_marked(line: str, mark: str) -> dict[str, Any]:
    word, _, text = line.partition("\t")
    if word != mark:
        raise ValueError("its first line says so")
    values: dict[str, Any] = json.loads(text)
    return values


def _read_batches(file: TextIO) -> Iterator[RowBatch]:
    """The rows of a file, those of one table together."""
    table = ""
    rows: list[str] = []
    for line in file:
        name, _, row = line.rstrip("\n").partition("\t")
        if rows and (name != table or len(rows) == tenant_rows.ROWS_A_BATCH):
            yield RowBatch(table, rows)
            rows = []
        table = name
        if table not in tenant_rows.TENANT_TABLES and table != TRAILER:
            raise TenantStays(f"the file has rows of a table {table[:40]!r}, which there is not")
        rows.append(row)
    if rows:
        yield RowBatch(table, rows)

"""Files that people import on the page: their parts, their progress, and what was refused.

A worker claims an import and counts each batch in the transaction that writes its rows: an import that
is interrupted goes on where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.domain.words import ImportKind, ImportState
from app.store.engine import ReadTx, Tx
from app.store.rows import columns_of, unnest_sql

ADD_PART_SQL = "INSERT INTO import_parts (tenant_id, import_id, number, content) VALUES ($1, $2, $3, $4)"


async def add_part(tx: Tx, tenant_id: str, import_id: str, number: int, content: bytes) -> None:
    await tx.execute(ADD_PART_SQL, tenant_id, import_id, number, content)


GET_PART_SQL = "SELECT content FROM import_parts WHERE tenant_id = $1 AND import_id = $2 AND number = $3"


async def get_part(read: ReadTx, tenant_id: str, import_id: str, number: int) -> bytes | None:
    """The part of the file; None: the file is shorter, or was deleted."""
    content: bytes | None = await read.fetch_value(GET_PART_SQL, tenant_id, import_id, number)
    return content


DELETE_PARTS_SQL = "DELETE FROM import_parts WHERE tenant_id = $1 AND import_id = $2"


async def delete_parts(tx: Tx, tenant_id: str, import_id: str) -> None:
    await tx.execute(DELETE_PARTS_SQL, tenant_id, import_id)


START_SQL = """
WITH forgotten AS (
    DELETE FROM import_refusals WHERE tenant_id = $1 AND import_id = $2
)
UPDATE imports SET state = $3, actor = $4, up_to_line = 0, read_bytes = 0, added = 0, changed = 0, unchanged = 0,
    refused = 0, blank = 0, fault = NULL, lease = NULL, leased_until = clock_timestamp(),
    started_at = clock_timestamp(), finished_at = NULL
WHERE tenant_id = $1 AND import_id = $2
"""


async def start(tx: Tx, tenant_id: str, import_id: str, state: ImportState, actor: str) -> None:
    """Makes the import due, from the first line. The report of an earlier check is forgotten."""
    await tx.execute(START_SQL, tenant_id, import_id, state, actor)


@dataclass(frozen=True, slots=True)
class ClaimedImport:
    tenant_id: str
    import_id: str
    kind: ImportKind
    state: ImportState
    columns: list[Any]
    campaign_id: str | None
    reason: str | None
    actor: str
    up_to_line: int


CLAIM_IMPORT_SQL = """
UPDATE imports i SET lease = $1, leased_until = clock_timestamp() + $2::interval
FROM (
    SELECT tenant_id, import_id FROM imports
    WHERE state IN ('checking', 'importing') AND leased_until < clock_timestamp()
    ORDER BY leased_until LIMIT 1 FOR UPDATE SKIP LOCKED
) due
WHERE i.tenant_id = due.tenant_id AND i.import_id = due.import_id
RETURNING i.tenant_id, i.import_id, i.kind, i.state, i.columns, i.campaign_id, i.reason, i.actor, i.up_to_line
"""


async def claim_next(tx: Tx, lease: str, lasts: timedelta) -> ClaimedImport | None:
    """Takes the import that has been due longest, for a while."""
    return await tx.fetch_one(ClaimedImport, CLAIM_IMPORT_SQL, lease, lasts)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a batch adds to the counts, and how far the file was read."""

    up_to_line: int
    read_bytes: int
    added: int
    changed: int
    unchanged: int
    refused: int
    blank: int


RECORD_PROGRESS_SQL = """
UPDATE imports SET leased_until = clock_timestamp() + $4::interval, up_to_line = $5, read_bytes = $6,
    added = added + $7, changed = changed + $8, unchanged = unchanged + $9, refused = refused + $10,
    blank = blank + $11
WHERE tenant_id = $1 AND import_id = $2 AND lease = $3 AND state IN ('checking', 'importing')
RETURNING true
"""


async def record_progress(
    tx: Tx, claimed_import: ClaimedImport, lease: str, lasts: timedelta, progress: Progress
) -> bool:
    """Whether the import still belongs to this worker. If not, nothing may be written for it."""
    key = (claimed_import.tenant_id, claimed_import.import_id)
    counts = [column[0] for column in columns_of([progress])]
    return bool(await tx.fetch_value(RECORD_PROGRESS_SQL, *key, lease, lasts, *counts))


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is wrong with a row. `field`: its name in the API; None: it belongs to no field."""

    line: int
    number: int
    field: str | None
    reason: str


ADD_REFUSALS_SQL = f"""
INSERT INTO import_refusals (tenant_id, import_id, line, number, field, reason)
SELECT $1, $2, line, number, field, reason FROM {unnest_sql(Refusal, 3)}
"""


async def add_refusals(tx: Tx, tenant_id: str, import_id: str, refusals: Sequence[Refusal]) -> None:
    if refusals:
        await tx.execute(ADD_REFUSALS_SQL, tenant_id, import_id, *columns_of(refusals))


LIST_REFUSALS_SQL = """
SELECT line, number, field, reason FROM import_refusals
WHERE tenant_id = $1 AND import_id = $2 AND (line, number) > ($3, $4) ORDER BY line, number LIMIT $5
"""


async def list_refusals(
    read: ReadTx, tenant_id: str, import_id: str, after: Refusal | None, limit: int
) -> list[Refusal]:
    """In the order of the file."""
    place = (after.line, after.number) if after else (0, 0)
    return await read.fetch(Refusal, LIST_REFUSALS_SQL, tenant_id, import_id, *place, limit)


SETTLE_SQL = """
UPDATE imports SET state = $4, fault = $5, lease = NULL, finished_at = clock_timestamp()
WHERE tenant_id = $1 AND import_id = $2 AND lease = $3 AND state IN ('checking', 'importing')
RETURNING true
"""


async def settle(tx: Tx, claimed_import: ClaimedImport, lease: str, state: ImportState, fault: str | None) -> None:
    """Records the end, if the import still belongs to this worker. After a check the file stays for the
    import."""
    key = (claimed_import.tenant_id, claimed_import.import_id)
    if await tx.fetch_value(SETTLE_SQL, *key, lease, state, fault) and state != "checked":
        await delete_parts(tx, claimed_import.tenant_id, claimed_import.import_id)


RELEASE_SQL = """
UPDATE imports SET lease = NULL, leased_until = clock_timestamp()
WHERE tenant_id = $1 AND import_id = $2 AND lease = $3
"""


async def release(tx: Tx, claimed_import: ClaimedImport, lease: str) -> None:
    """Gives the import back: another worker may go on with it."""
    await tx.execute(RELEASE_SQL, claimed_import.tenant_id, claimed_import.import_id, lease)


STOP_SQL = """
UPDATE imports SET state = 'stopped', lease = NULL, finished_at = clock_timestamp()
WHERE tenant_id = $1 AND import_id = $2
"""


async def stop(tx: Tx, tenant_id: str, import_id: str) -> None:
    """Ends a running import after the batch that is being written."""
    await tx.execute(STOP_SQL, tenant_id, import_id)
    await delete_parts(tx, tenant_id, import_id)

"""Files that people import on the page: upload, choose the columns, check, import, stop, remove."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import structlog

from app.commands.directory import require_found
from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import Conflict, Invalid
from app.domain.words import ImportKind, ImportState
from app.store import directory, imports
from app.store.engine import Tx
from app.store.schema import Import

OPEN_STATES: frozenset[ImportState] = frozenset({"new", "checked"})
"""The file is there, and waits for a person."""
RUNNING_STATES: frozenset[ImportState] = frozenset({"checking", "importing"})
log = structlog.get_logger("imports")


class ImportMoved(Conflict):
    code, default = "MOVED", "This file is being read, or was imported already."


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What a person chose: for each column its field or "", and what is set for all rows."""

    columns: Sequence[str]
    campaign_id: str | None = None
    reason: str | None = None


async def upload(
    tx: Tx, caller: Caller, kind: ImportKind, file_name: str, size: int, parts: AsyncIterator[bytes], plan: ImportPlan
) -> Import:
    """Stores a file."""
    values = {
        "kind": kind,
        "file_name": file_name,
        "size": size,
        "columns": list(plan.columns),
        "actor": caller.actor,
    }
    row = await directory.add(tx, Import, caller.tenant_id, ids.make("import"), values)
    assert row is not None
    number = 0
    async for part in parts:
        await imports.add_part(tx, caller.tenant_id, row.import_id, number, part)
        number += 1
    return row


async def change(tx: Tx, caller: Caller, import_id: str, plan: ImportPlan) -> None:
    """Sets what the columns mean. Raises `NotFound`; `ImportMoved`."""
    row = await _lock_open(tx, caller, import_id)
    if len(plan.columns) != len(row.columns):
        raise Invalid(details=["columns: must be as many as the file has"])
    values = {"columns": list(plan.columns), "campaign_id": plan.campaign_id, "reason": plan.reason}
    await directory.change(tx, Import, caller.tenant_id, import_id, values)


async def start(tx: Tx, caller: Caller, import_id: str, is_check: bool) -> None:
    """Lets a worker read the whole file: to check it, or to write its rows. Raises `NotFound`; `Invalid`;
    `ImportMoved`."""
    row = await _lock_open(tx, caller, import_id)
    if row.columns.count("phone") != 1:
        raise Invalid(details=["columns: choose the one column with the phones"])
    doubled = next((field for field in row.columns if field and row.columns.count(field) > 1), None)
    if doubled:
        raise Invalid(details=[f"columns: {doubled} is chosen more than once"])
    await imports.start(tx, caller.tenant_id, import_id, "checking" if is_check else "importing", caller.actor)
    log.info("import started", import_id=import_id, kind=row.kind, is_check=is_check, actor=caller.actor)


async def stop(tx: Tx, caller: Caller, import_id: str) -> None:
    """Stops a running import after the rows that are being written. A check can be begun again. Raises
    `NotFound`."""
    row = require_found(await directory.lock(tx, Import, caller.tenant_id, import_id))
    if row.state == "checking":
        await directory.change(tx, Import, caller.tenant_id, import_id, {"state": "new", "lease": None})
    elif row.state == "importing":
        await imports.stop(tx, caller.tenant_id, import_id)
        log.info("import stopped", import_id=import_id, actor=caller.actor)


async def remove(tx: Tx, caller: Caller, import_id: str) -> None:
    """Removes the file and its report; what was imported stays. Raises `NotFound`; `ImportMoved`."""
    row = require_found(await directory.lock(tx, Import, caller.tenant_id, import_id))
    if row.state in RUNNING_STATES:
        raise ImportMoved
    await directory.remove(tx, Import, caller.tenant_id, import_id)


async def _lock_open(tx: Tx, caller: Caller, import_id: str) -> Import:
    row = require_found(await directory.lock(tx, Import, caller.tenant_id, import_id))
    if row.state not in OPEN_STATES or await imports.get_part(tx, caller.tenant_id, import_id, 0) is None:
        raise ImportMoved
    return row

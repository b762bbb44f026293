"""Files from the page: read, judged and written by a worker, in small batches.

Each batch is counted in the transaction that writes its rows. A worker that dies loses nothing: another
one goes on after the last line that was counted.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import dropwhile, islice
from tempfile import TemporaryFile
from typing import IO, Any

import structlog

from app.domain import ids
from app.domain.callers import Caller
from app.domain.problems import Problem
from app.domain.words import ROW_OUTCOMES, ImportState
from app.imports.columns import read_any_header
from app.imports.csv_files import ParsedRow, UnreadableFile, read_rows, read_text
from app.imports.rows import BatchResult, FileKind, ParseLead, lead_rows, suppression_rows, take_rows
from app.jobs.leases import LeaseLost, end_if_broken
from app.store import imports
from app.store.engine import Database, Tx
from app.store.imports import ClaimedImport, Progress, Refusal

ROWS_PER_BATCH = 200
"""A batch holds up the worker's other loops for as long as its rows are judged: some 30 ms."""
LEASE = timedelta(seconds=60)
log = structlog.get_logger("imports")


class _EndOfCheck(Exception):
    """Rolls a batch back that was only tried."""


class Importer:
    """Runs imports, one at a time."""

    def __init__(self, database: Database, parse_lead: ParseLead) -> None:
        self._database = database
        self._parse_lead = parse_lead

    async def run_next(self, must_stop: Callable[[], bool]) -> bool:
        """Runs the import that has been due longest; whether there was one. Once `must_stop` says so, it
        ends after a batch, and the rest is left for another worker."""
        lease = ids.make_lease()
        async with self._database.system_tx() as tx:
            claimed_import = await imports.claim_next(tx, lease, LEASE)
        if claimed_import is None:
            return False
        settle_failed = partial(self._settle, claimed_import, lease, "failed")
        async with end_if_broken(log.bind(import_id=claimed_import.import_id), settle_failed):
            try:
                await self._run(claimed_import, lease, must_stop)
            except UnreadableFile as error:
                await settle_failed(f"The file cannot be read: {error}.")
        return True

    async def _run(self, claimed_import: ClaimedImport, lease: str, must_stop: Callable[[], bool]) -> None:
        caller = Caller(claimed_import.tenant_id, claimed_import.actor, "person", "admin")
        kind: FileKind[Any] = (
            lead_rows(caller, claimed_import.campaign_id, self._parse_lead)
            if claimed_import.kind == "leads"
            else suppression_rows(caller, claimed_import.reason)
        )
        with TemporaryFile() as file:
            await self._copy_file(claimed_import, file)
            text_file, encoding = read_text(file)  # closes the file when nothing holds it any more
            lines, header = read_any_header(text_file, encoding)
            all_rows = read_rows(lines, replace(header, names=claimed_import.columns))
            rows = dropwhile(lambda row: row[0] <= claimed_import.up_to_line, all_rows)
            while batch := list(islice(rows, ROWS_PER_BATCH)):
                await self._take_batch(claimed_import, lease, kind, batch, file.tell())
                if must_stop():
                    return await self._release(claimed_import, lease)
        await self._settle(claimed_import, lease, "checked" if claimed_import.state == "checking" else "done", None)

    async def _copy_file(self, claimed_import: ClaimedImport, file: IO[bytes]) -> None:
        number = 0
        async with self._database.read_tx(claimed_import.tenant_id) as read:
            while part := await imports.get_part(read, claimed_import.tenant_id, claimed_import.import_id, number):
                file.write(part)
                number += 1
        file.seek(0)

    async def _take_batch(
        self,
        claimed_import: ClaimedImport,
        lease: str,
        kind: FileKind[Any],
        batch: list[ParsedRow],
        read_bytes: int,
    ) -> None:
        """Writes a batch and counts it. Raises `LeaseLost`."""
        try:
            async with self._database.tenant_tx(claimed_import.tenant_id, plan_now=True) as tx:
                result = await take_rows(tx, kind, batch)
                if claimed_import.state == "checking":
                    raise _EndOfCheck
                await _record(tx, claimed_import, lease, result, batch[-1][0], read_bytes)
        except _EndOfCheck:
            async with self._database.tenant_tx(claimed_import.tenant_id) as tx:
                await _record(tx, claimed_import, lease, result, batch[-1][0], read_bytes)

    async def _release(self, claimed_import: ClaimedImport, lease: str) -> None:
        async with self._database.tenant_tx(claimed_import.tenant_id) as tx:
            await imports.release(tx, claimed_import, lease)

    async def _settle(self, claimed_import: ClaimedImport, lease: str, state: ImportState, fault: str | None) -> None:
        async with self._database.tenant_tx(claimed_import.tenant_id) as tx:
            await imports.settle(tx, claimed_import, lease, state, fault)
        log.info("import ended", import_id=claimed_import.import_id, state=state)


async def _record(
    tx: Tx, claimed_import: ClaimedImport, lease: str, result: BatchResult, up_to_line: int, read_bytes: int
) -> None:
    """Counts a batch. Raises `LeaseLost`."""
    counts = {outcome: result.outcomes[outcome] for outcome in ROW_OUTCOMES}
    progress = Progress(
        up_to_line=up_to_line,
        read_bytes=read_bytes,
        **counts,
        refused=len(result.refused_rows),
        blank=result.blank_count,
    )
    if not await imports.record_progress(tx, claimed_import, lease, LEASE, progress):
        raise LeaseLost
    refusals = [refusal for line, problem in result.refused_rows for refusal in _split_problem(line, problem)]
    await imports.add_refusals(tx, claimed_import.tenant_id, claimed_import.import_id, refusals)


def _split_problem(line: int, problem: Problem) -> Iterator[Refusal]:
    """One refusal for each thing that is wrong."""
    for number, detail in enumerate(problem.details or [problem.message]):
        field, colon, words = detail.partition(": ")
        yield Refusal(line, number, field if colon else None, words if colon else detail)

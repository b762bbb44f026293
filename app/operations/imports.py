"""Imports of CSV files into a tenant: leads, and phones that opted out elsewhere.

Rows are checked as the API checks them, the good ones are written, and each refused row is reported
with its line. A refused row does not stop the others. The same file again changes nothing.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import ValidationError

from app.commands import dnc, leads
from app.commands.directory import Fields
from app.domain.callers import Caller
from app.domain.problems import Invalid, OutcomeUnknown, Problem, Unavailable
from app.domain.words import RowOutcome
from app.operations.csv_files import CsvRow, ParsedRow, open_text, read_header, read_lines, read_rows
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database, Tx
from app.web.directory.leads import NewLead
from app.web.problems import list_error_details

ROWS_PER_BATCH = 2000
BAR_WIDTH = 40
LEAD_COLUMNS = frozenset({"leadId", "firstName", "lastName", "email", "phone", "status", "timezone", "campaignId"})
T = TypeVar("T")


class _EndOfDryRun(Exception):
    """Rolls a batch back that was only tried."""


@dataclass(slots=True)
class ImportReport:
    """The result of an import, also of one that was interrupted. Each row is taken, blank or
    refused; a row that is taken adds a lead or an opt-out, changes it, or leaves it as it is."""

    is_dry_run: bool = False
    outcomes: Counter[RowOutcome] = field(default_factory=Counter)
    """Of the rows that were taken."""
    blank_count: int = 0
    refused_rows: list[tuple[int, str]] = field(default_factory=list)
    """Line and reason."""
    up_to_line: int = 0
    """The last line whose row was taken or refused; 0 if not even the header was read."""
    begun_up_to_line: int = 0
    """The last line of a batch whose COMMIT was lost: it may have been taken, up to this line."""
    is_complete: bool = False

    @property
    def taken_count(self) -> int:
        return self.outcomes.total()


@dataclass(frozen=True, slots=True)
class FileKind(Generic[T]):
    """What the rows of a file are, and how they are checked and written."""

    columns: frozenset[str]
    judge: Callable[[Tx, Sequence[CsvRow]], Awaitable[Sequence[T | Problem]]]
    """For each row the value to write, or what is wrong with the row."""
    write: Callable[[Tx, Sequence[T]], Awaitable[Sequence[RowOutcome]]]
    """Returns for each value what became of it."""


async def import_leads(
    database: Database, caller: Caller, file: Path, campaign_id: str | None, report: ImportReport
) -> None:
    """Imports a CSV file whose header names fields of a lead; `phone` is required. Of a known lead
    only these fields are changed, and an empty cell changes nothing. `campaign_id` is set for all.
    `report` says what was done, also if this raises."""

    async def judge(tx: Tx, rows: Sequence[CsvRow]) -> list[Fields | Problem]:
        return await leads.judge_many(tx, caller, [_parse_lead(row, campaign_id) for row in rows])

    async def write(tx: Tx, good_rows: Sequence[Fields]) -> list[RowOutcome]:
        return await leads.merge_many(tx, caller, good_rows)

    await _import_file(database, caller, file, FileKind(LEAD_COLUMNS, judge, write), report)


async def import_suppressions(
    database: Database, caller: Caller, file: Path, reason: str | None, report: ImportReport
) -> None:
    """Imports a CSV file with the column `phone`. `report` says what was done, also if this
    raises."""

    async def judge(tx: Tx, lines: Sequence[CsvRow]) -> list[str | Problem]:
        return await dnc.judge_many(tx, caller, [line["phone"] for line in lines])

    async def write(tx: Tx, phones: Sequence[str]) -> list[RowOutcome]:
        return await dnc.suppress_new(tx, caller, phones, reason)

    await _import_file(database, caller, file, FileKind(frozenset({"phone"}), judge, write), report)


def _parse_lead(row: CsvRow, campaign_id: str | None) -> Fields | Problem:
    """The fields with a value, checked by the API's model."""
    body = {name: value.strip() for name, value in row.items() if value.strip()}
    if campaign_id is not None:
        body["campaignId"] = campaign_id
    try:
        return NewLead.model_validate(body).get_named_fields()
    except ValidationError as error:
        return Invalid(details=list_error_details(list(error.errors())))


async def _import_file(database: Database, caller: Caller, file: Path, kind: FileKind[T], report: ImportReport) -> None:
    with open_text(file) as (text_file, encoding), _catch_stop_signals() as stop_event:
        size = max(1, os.fstat(text_file.fileno()).st_size)
        lines = read_lines(text_file)
        rows = read_rows(lines, read_header(lines, encoding, kind.columns))
        report.up_to_line = 1
        while batch := list(islice(rows, ROWS_PER_BATCH)):
            report.begun_up_to_line = batch[-1][0]
            try:
                await _take_batch(database, caller, kind, batch, report)
            except OutcomeUnknown:
                raise
            except Exception:
                report.begun_up_to_line = report.up_to_line  # the batch was rolled back
                raise
            report.up_to_line = batch[-1][0]
            _show_progress(cast(Any, text_file).buffer.tell() / size)
            if stop_event.is_set():
                return
    report.is_complete = True
    _show_progress(1)


async def _take_batch(
    database: Database, caller: Caller, kind: FileKind[T], batch: Sequence[ParsedRow], report: ImportReport
) -> None:
    """Checks and writes a batch in one transaction, and counts its rows in `report`."""
    good_rows = [row for _, row in batch if isinstance(row, dict)]
    outcomes: Sequence[RowOutcome] = []
    try:
        async with database.tenant_tx(caller.tenant_id, plan_now=True) as tx:
            verdicts = await kind.judge(tx, good_rows)
            outcomes = await kind.write(tx, [value for value in verdicts if not isinstance(value, Problem)])
            if report.is_dry_run:
                raise _EndOfDryRun
    except _EndOfDryRun:
        pass
    except DATABASE_AWAY_ERRORS as error:
        raise Unavailable from error
    report.outcomes.update(outcomes)
    report.blank_count += sum(row is None for _, row in batch)
    later_verdicts = iter(verdicts)
    for line, row in batch:
        verdict = next(later_verdicts) if isinstance(row, dict) else row
        if isinstance(verdict, Problem):
            report.refused_rows.append((line, "; ".join(verdict.details) or verdict.message))


@contextmanager
def _catch_stop_signals() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C or SIGTERM sets. The batch that is being written is finished first, so the
    report is exact. A second signal ends the command at once."""
    loop, stop_event = asyncio.get_running_loop(), asyncio.Event()

    def stop(number: int) -> None:
        stop_event.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        yield stop_event
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _show_progress(share: float) -> None:
    """Draws a bar on stderr if that is a terminal."""
    if sys.stderr.isatty():
        done_width = min(BAR_WIDTH, round(share * BAR_WIDTH))
        end = "\n" if share >= 1 else ""
        bar = "#" * done_width + " " * (BAR_WIDTH - done_width)
        print(f"\r[{bar}] {share:4.0%}", end=end, file=sys.stderr, flush=True)

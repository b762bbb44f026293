"""Imports of CSV files by an operator: leads, and phones that opted out elsewhere."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TypeVar

from app.domain.callers import Caller
from app.domain.problems import OutcomeUnknown, Unavailable
from app.domain.words import RowOutcome
from app.imports.columns import get_field
from app.imports.csv_files import ParsedRow, UnreadableFile, read_header, read_lines, read_rows, read_text
from app.imports.rows import BatchResult, FileKind, lead_rows, suppression_rows, take_rows
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database
from app.web.directory.leads import parse_row

ROWS_PER_BATCH = 2000
BAR_WIDTH = 40
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

    def add_batch(self, result: BatchResult) -> None:
        self.outcomes.update(result.outcomes)
        self.blank_count += result.blank_count
        self.refused_rows += [(line, problem.reason) for line, problem in result.refused_rows]


async def import_leads(
    database: Database, caller: Caller, file: Path, campaign_id: str | None, report: ImportReport
) -> None:
    """Imports a CSV file whose header names fields of a lead; `phone` is required. Of a known lead
    only these fields are changed, and an empty value changes nothing. `campaign_id` is set for all.
    `report` says what was done, also if this raises."""
    await _import_file(database, caller, file, lead_rows(caller, campaign_id, parse_row), report)


async def import_suppressions(
    database: Database, caller: Caller, file: Path, reason: str | None, report: ImportReport
) -> None:
    """Imports a CSV file with the column `phone`. `report` says what was done, also if this
    raises."""
    await _import_file(database, caller, file, suppression_rows(caller, reason), report)


async def _import_file(database: Database, caller: Caller, file: Path, kind: FileKind[T], report: ImportReport) -> None:
    with _open_file(file) as binary_file, _catch_stop_signals() as stop_event:
        size = max(1, os.fstat(binary_file.fileno()).st_size)
        text_file, encoding = read_text(binary_file)
        lines = read_lines(text_file)
        header = read_header(lines, encoding, kind.fields, get_field)
        rows = read_rows(lines, header)
        report.up_to_line = header.header_line
        while batch := list(islice(rows, ROWS_PER_BATCH)):
            report.begun_up_to_line = batch[-1][0]
            try:
                report.add_batch(await _take_batch(database, caller, kind, batch, report.is_dry_run))
            except OutcomeUnknown:
                raise
            except Exception:
                report.begun_up_to_line = report.up_to_line  # the batch was rolled back
                raise
            report.up_to_line = batch[-1][0]
            _show_progress(binary_file.tell() / size)
            if stop_event.is_set():
                return
    report.is_complete = True
    _show_progress(1)


@contextmanager
def _open_file(file: Path) -> Iterator[IO[bytes]]:
    """Raises `UnreadableFile`."""
    try:
        with open(file, "rb") as binary_file:
            yield binary_file
    except OSError as error:
        raise UnreadableFile(f"it cannot be read: {error.strerror}") from error


async def _take_batch(
    database: Database, caller: Caller, kind: FileKind[T], batch: Sequence[ParsedRow], is_dry_run: bool
) -> BatchResult:
    """Judges and writes a batch in one transaction."""
    try:
        async with database.tenant_tx(caller.tenant_id, plan_now=True) as tx:
            result = await take_rows(tx, kind, batch)
            if is_dry_run:
                raise _EndOfDryRun
    except _EndOfDryRun:
        pass
    except DATABASE_AWAY_ERRORS as error:
        raise Unavailable from error
    return result


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

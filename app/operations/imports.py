"""Imports of CSV files into a tenant: leads, and phones that opted out elsewhere.

A file is parsed, its rows are checked, the good ones are written, and each refused row is reported
with its line. A refused row does not stop the others.
"""

import asyncio
import csv
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar, cast

from app.commands import dnc, leads
from app.commands.directory import Fields
from app.domain.callers import Caller
from app.domain.problems import Invalid, OutcomeUnknown, Problem, Unavailable
from app.store.connections import DATABASE_AWAY_ERRORS
from app.store.engine import Database, Tx

ROWS_PER_BATCH = 2000
BAR_WIDTH = 40
COLUMN_NAMES = {
    "leadId": "lead_id",
    "firstName": "first_name",
    "lastName": "last_name",
    "email": "email",
    "phone": "phone",
    "status": "status",
    "timezone": "timezone",
    "campaignId": "campaign_id",
}
MAX_LINE_LENGTH = 1 << 20
"""In characters."""
MAX_LINES_PER_ROW = 100
"""How many lines a quoted cell may have. If its quote is not closed, this many are read."""
UNCLOSED_QUOTE = "a quote is opened and not closed"
UNREADABLE_CHARACTER = re.compile("[\x00\ud800-\udfff]")
"""NUL, and the lone surrogates that stand for bytes that are not UTF-8."""
T = TypeVar("T")
CsvRow = dict[str, str]
ParsedRow = tuple[int, CsvRow | Problem]
"""The line where a row begins, and the row, or what is wrong with it."""


class UnreadableFile(Exception):
    """The file cannot be read, or its header is wrong. The message says why."""


@dataclass(slots=True)
class ImportReport:
    """The result of an import, also of one that was interrupted."""

    taken_count: int = 0
    refused_rows: list[tuple[int, str]] = field(default_factory=list)
    """Line and reason."""
    up_to_line: int = 0
    """The last line whose row was taken or refused; 0 if not even the header was read."""
    begun_up_to_line: int = 0
    """The last line of a batch whose COMMIT was lost: it may have been taken, up to this line."""
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class FileKind(Generic[T]):
    """What the rows of a file are, and how they are checked and written."""

    columns: frozenset[str]
    judge: Callable[[Tx, Sequence[CsvRow]], Awaitable[Sequence[T | Problem]]]
    """For each row the value to write, or what is wrong with the row."""
    write: Callable[[Tx, Sequence[T]], Awaitable[None]]


async def import_leads(
    database: Database, caller: Caller, file: Path, campaign_id: str | None, report: ImportReport
) -> None:
    """Imports a CSV file whose header names fields of a lead; `phone` is required. Of a known lead
    only these fields are changed, and an empty cell changes nothing. `campaign_id` is set for all.
    `report` says what was done, also if this raises."""

    async def judge(tx: Tx, rows: Sequence[CsvRow]) -> list[Fields | Problem]:
        return await leads.judge_many(tx, caller, [_build_lead(row, campaign_id) for row in rows])

    async def write(tx: Tx, good_rows: Sequence[Fields]) -> None:
        await leads.merge_many(tx, caller, good_rows)

    await _import_file(database, caller, file, FileKind(frozenset(COLUMN_NAMES), judge, write), report)


async def import_suppressions(
    database: Database, caller: Caller, file: Path, reason: str | None, report: ImportReport
) -> None:
    """Imports a CSV file with the column `phone`. `report` says what was done, also if this
    raises."""

    async def judge(tx: Tx, lines: Sequence[CsvRow]) -> list[str | Problem]:
        return await dnc.judge_many(tx, caller, [line["phone"] for line in lines])

    async def write(tx: Tx, phones: Sequence[str]) -> None:
        await dnc.suppress(tx, caller, phones, reason)

    await _import_file(database, caller, file, FileKind(frozenset({"phone"}), judge, write), report)


def _build_lead(row: CsvRow, campaign_id: str | None) -> dict[str, object]:
    fields: dict[str, object] = {COLUMN_NAMES[name]: value.strip() for name, value in row.items() if value.strip()}
    return fields if campaign_id is None else {**fields, "campaign_id": campaign_id}


async def _import_file(database: Database, caller: Caller, file: Path, kind: FileKind[T], report: ImportReport) -> None:
    with _open_text(file) as text_file, _catch_stop_signals() as stop_event:
        size = max(1, os.fstat(text_file.fileno()).st_size)
        rows = _read_rows(_read_lines(text_file), kind.columns, report)
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
    try:
        async with database.tenant_tx(caller.tenant_id, plan_now=True) as tx:
            good_rows = [row for _, row in batch if not isinstance(row, Problem)]
            verdicts = iter(await kind.judge(tx, good_rows))
            outcomes = [row if isinstance(row, Problem) else next(verdicts) for _, row in batch]
            await kind.write(tx, [outcome for outcome in outcomes if not isinstance(outcome, Problem)])
    except DATABASE_AWAY_ERRORS as error:
        raise Unavailable from error
    for (line, _), outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, Problem):
            report.refused_rows.append((line, "; ".join(outcome.details) or outcome.message))
        else:
            report.taken_count += 1


@contextmanager
def _open_text(file: Path) -> Iterator[TextIO]:
    """The file as text. Bytes that are not UTF-8 become lone surrogates. Raises `UnreadableFile`."""
    try:
        with open(file, newline="", encoding="utf-8-sig", errors="surrogateescape") as text_file:
            yield text_file
    except OSError as error:
        raise UnreadableFile(f"it cannot be read: {error.strerror}") from error


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


# Parsing.


def _read_lines(text_file: TextIO) -> Iterator[str]:
    """The lines of a file. A line longer than `MAX_LINE_LENGTH` is cut after one more character."""
    while line := text_file.readline(MAX_LINE_LENGTH + 1):
        yield line
        while len(line) > MAX_LINE_LENGTH and line[-1] not in "\r\n":
            line = text_file.readline(MAX_LINE_LENGTH + 1)


def _read_rows(lines: Iterator[str], known_columns: frozenset[str], report: ImportReport) -> Iterator[ParsedRow]:
    """The rows below the header, without blank ones. A broken row is taken to be one line long:
    reading continues with the line after it."""
    names = _parse_header(next(lines, ""), known_columns)
    report.up_to_line = 1
    number, ahead = 2, deque(islice(lines, MAX_LINES_PER_ROW))
    while ahead:
        try:
            cells, count = _parse_cells(ahead, len(names))
            if any(cell.strip() for cell in cells):
                yield number, _build_row(names, cells)
        except Invalid as problem:
            count = 1
            yield number, problem
        for _ in range(count):
            ahead.popleft()
        ahead.extend(islice(lines, count))
        number += count


def _parse_header(line: str, known_columns: frozenset[str]) -> list[str]:
    try:
        names, _ = _parse_cells([line], 0) if line else ([], 0)
    except Invalid as problem:
        raise UnreadableFile(f"line 1: {problem.details[0]}") from None
    if "phone" not in names or set(names) - known_columns:
        allowed_names = ", ".join(sorted(known_columns))
        raise UnreadableFile(f"the header must name phone, and may name only: {allowed_names}")
    return names


def _parse_cells(lines: Sequence[str], width: int) -> tuple[list[str], int]:
    """The cells of the row that begins with the first line, and how many lines the row has. `width`
    is the number of columns. Raises `Invalid`.

    A quote that is not closed would swallow the rows below it, up to the next quote. So a row of
    several lines is refused if one of its later lines is a row of `width` cells by itself."""
    if len(lines[0]) > MAX_LINE_LENGTH:
        raise Invalid(details=[f"the line is longer than {MAX_LINE_LENGTH} characters"])
    reader = csv.reader(lines, strict=True)
    try:
        cells = next(reader)
    except csv.Error as error:
        raise Invalid(details=[_describe_fault(error, reader.line_num)]) from None
    if any(_count_cells(line) == width for line in islice(lines, 1, reader.line_num)):
        raise Invalid(details=[UNCLOSED_QUOTE])
    if match := UNREADABLE_CHARACTER.search("".join(cells)):
        character = "a NUL character" if match[0] == "\x00" else "a byte that is not UTF-8"
        raise Invalid(details=[f"the row holds {character}"])
    return cells, reader.line_num


def _describe_fault(error: csv.Error, lines: int) -> str:
    """What the csv module found wrong after it had read `lines` lines."""
    if lines > 1 or "end of data" in str(error):
        return UNCLOSED_QUOTE
    if "field limit" in str(error):
        return f"a cell is longer than {csv.field_size_limit()} characters"
    return "text follows the quote that closes a cell"


def _count_cells(line: str) -> int:
    """The number of cells of a line by itself; 0 if it cannot be parsed."""
    try:
        return len(next(csv.reader([line]), ()))
    except csv.Error:
        return 0


def _build_row(names: Sequence[str], cells: Sequence[str]) -> CsvRow:
    if len(cells) != len(names):
        raise Invalid(details=["the row does not have the header's columns"])
    return dict(zip(names, cells, strict=True))


def _show_progress(share: float) -> None:
    """Draws a bar on stderr if that is a terminal."""
    if sys.stderr.isatty():
        done_width = min(BAR_WIDTH, round(share * BAR_WIDTH))
        end = "\n" if share >= 1 else ""
        bar = "#" * done_width + " " * (BAR_WIDTH - done_width)
        print(f"\r[{bar}] {share:4.0%}", end=end, file=sys.stderr, flush=True)

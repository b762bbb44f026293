"""Files into a tenant: leads, and phones that opted out elsewhere.

A file is parsed, its rows are judged, the good ones are written, and what became of each is
reported. A row that cannot be taken is told by its line and spoils no other.
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
from app.domain.callers import Caller
from app.domain.problems import Invalid, OutcomeUnknown, Problem, Unavailable
from app.store.engine import DATABASE_AWAY_ERRORS, Database, Tx

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
LONGEST_LINE = 1 << 20
"""Characters."""
LONGEST_ROW = 100
"""Lines that a quoted cell may go over: where the quote is not closed, all of them are read."""
UNCLOSED = "a quote is opened and not closed"
UNREADABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, and what stands for a byte that is no UTF-8."""
T = TypeVar("T")
CsvRow = dict[str, str]
Parsed = tuple[int, CsvRow | Problem]
"""The line where a row begins; the row, or why it is none."""


class UnreadableFile(Exception):
    """The file cannot be imported, or not to its end; the text says why."""


@dataclass(slots=True)
class ImportReport:
    """What became of the rows, as far as the import came."""

    taken_count: int = 0
    refused_rows: list[tuple[int, str]] = field(default_factory=list)
    """Line and reason."""
    up_to: int = 0
    """The last line whose row was taken or refused; 0: not even the header was read."""
    begun_up_to: int = 0
    """Of the lines after `up_to` it is not known whether those up to this one were taken."""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What the rows of a file are."""

    columns: frozenset[str]
    judge: Callable[[Tx, Sequence[CsvRow]], Awaitable[Sequence[T | Problem]]]
    """Each row as it is written, or what is wrong with it."""
    write: Callable[[Tx, Sequence[T]], Awaitable[None]]


async def import_leads(
    database: Database, caller: Caller, file: Path, campaign_id: str | None, report: ImportReport
) -> None:
    """A CSV file with a header of the lead's fields; `phone` is needed. Of known ids only the
    header's fields are changed, and an empty cell leaves what is there. `campaign_id` is set for
    all of them. What is done stands in `report`, also when this raises."""

    async def judge(tx: Tx, rows: Sequence[CsvRow]) -> list[dict[str, Any] | Problem]:
        return await leads.judge_many(tx, caller, [_build_lead(row, campaign_id) for row in rows])

    async def write(tx: Tx, judged: Sequence[dict[str, Any]]) -> None:
        await leads.merge_many(tx, caller, judged)

    await _import(database, caller, file, Kind(frozenset(COLUMN_NAMES), judge, write), report)


async def import_suppressions(
    database: Database, caller: Caller, file: Path, reason: str | None, report: ImportReport
) -> None:
    """A CSV file with the column `phone`. What is done stands in `report`, also when this
    raises."""

    async def judge(tx: Tx, rows: Sequence[CsvRow]) -> list[str | Problem]:
        return await dnc.judge_many(tx, caller, [row["phone"] for row in rows])

    async def write(tx: Tx, phones: Sequence[str]) -> None:
        await dnc.suppress(tx, caller, phones, reason)

    await _import(database, caller, file, Kind(frozenset({"phone"}), judge, write), report)


def _build_lead(row: CsvRow, campaign_id: str | None) -> dict[str, object]:
    fields: dict[str, object] = {COLUMN_NAMES[name]: value.strip() for name, value in row.items() if value.strip()}
    return fields if campaign_id is None else {**fields, "campaign_id": campaign_id}


async def _import(database: Database, caller: Caller, file: Path, kind: Kind[T], report: ImportReport) -> None:
    with _opened(file) as opened, _stoppable() as stopped:
        size = max(1, os.fstat(opened.fileno()).st_size)
        rows = _read_rows(_lines(opened), kind.columns, report)
        while batch := list(islice(rows, ROWS_PER_BATCH)):
            report.begun_up_to = batch[-1][0]
            try:
                await _take(database, caller, kind, batch, report)
            except OutcomeUnknown:
                raise
            except Exception:
                report.begun_up_to = report.up_to  # it was rolled back
                raise
            report.up_to = batch[-1][0]
            _show_progress(cast(Any, opened).buffer.tell() / size)
            if stopped.is_set():
                return
    report.whole = True
    _show_progress(1)


async def _take(
    database: Database, caller: Caller, kind: Kind[T], batch: Sequence[Parsed], report: ImportReport
) -> None:
    """Judges, writes and counts rows."""
    try:
        async with database.tenant_tx(caller.tenant_id) as tx:
            await tx.plan_for_many()
            good = [row for _, row in batch if not isinstance(row, Problem)]
            judged = iter(await kind.judge(tx, good))
            outcomes = [row if isinstance(row, Problem) else next(judged) for _, row in batch]
            await kind.write(tx, [one for one in outcomes if not isinstance(one, Problem)])
    except DATABASE_AWAY_ERRORS as error:
        raise Unavailable from error
    for (line, _), outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, Problem):
            report.refused_rows.append((line, "; ".join(outcome.details) or outcome.message))
        else:
            report.taken_count += 1


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    """The file as text; bytes that are no UTF-8 stand as lone surrogates in their lines."""
    try:
        with open(file, newline="", encoding="utf-8-sig", errors="surrogateescape") as opened:
            yield opened
    except OSError as error:
        raise UnreadableFile(f"it cannot be read: {error.strerror}") from error


@contextmanager
def _stoppable() -> Iterator[asyncio.Event]:
    """Set by Ctrl-C or SIGTERM: the rows that are being written are finished first, so that the
    report is exact. A second one ends the command at once."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop(number: int) -> None:
        stopped.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


# Parsing.


def _lines(opened: TextIO) -> Iterator[str]:
    """The lines of a file; of one that is longer than `LONGEST_LINE` its beginning."""
    while line := opened.readline(LONGEST_LINE + 1):
        yield line
        while len(line) > LONGEST_LINE and line[-1] not in "\r\n":
            line = opened.readline(LONGEST_LINE + 1)


def _read_rows(lines: Iterator[str], known: frozenset[str], report: ImportReport) -> Iterator[Parsed]:
    """The rows below the header, without blank ones. A row that is broken takes its first line
    only: the next one is read as if it had not been."""
    names = _header(next(lines, ""), known)
    report.up_to = 1
    number, ahead = 2, deque(islice(lines, LONGEST_ROW))
    while ahead:
        try:
            cells, count = _cells(ahead, len(names))
            if any(cell.strip() for cell in cells):
                yield number, _row(names, cells)
        except Invalid as problem:
            count = 1
            yield number, problem
        for _ in range(count):
            ahead.popleft()
        ahead.extend(islice(lines, count))
        number += count


def _header(line: str, known: frozenset[str]) -> list[str]:
    try:
        names, _ = _cells([line], 0) if line else ([], 0)
    except Invalid as problem:
        raise UnreadableFile(f"line 1: {problem.details[0]}") from None
    if "phone" not in names or set(names) - known:
        wanted = ", ".join(sorted(known))
        raise UnreadableFile(f"the header must name phone, and none but: {wanted}")
    return names


def _cells(lines: Sequence[str], width: int) -> tuple[list[str], int]:
    """The cells of the row that begins with the first of the lines, and how many lines it takes.
    Raises `Invalid`.

    A quote that is left open would swallow the rows below it, up to the next quote. So a quoted
    cell may go over several lines only where none of them has the cells of a row by itself."""
    if len(lines[0]) > LONGEST_LINE:
        raise Invalid(details=[f"the line is longer than {LONGEST_LINE} characters"])
    reader = csv.reader(lines, strict=True)
    try:
        cells = next(reader)
    except csv.Error as error:
        raise Invalid(details=[_fault(error, reader.line_num)]) from None
    if any(_count_row(line) == width for line in islice(lines, 1, reader.line_num)):
        raise Invalid(details=[UNCLOSED])
    if bad := UNREADABLE.search("".join(cells)):
        what = "a NUL character" if bad[0] == "\x00" else "a byte that is not UTF-8"
        raise Invalid(details=[f"the row holds {what}"])
    return cells, reader.line_num


def _fault(error: csv.Error, lines: int) -> str:
    """What was wrong when so many lines had been read."""
    if lines > 1 or "end of data" in str(error):
        return UNCLOSED
    if "field limit" in str(error):
        return f"a cell is longer than {csv.field_size_limit()} characters"
    return "something stands behind the quote that closes a cell"


def _count_row(line: str) -> int:
    """The cells of a line by itself; 0 where it has none that can be read."""
    try:
        return len(next(csv.reader([line]), ()))
    except csv.Error:
        return 0


def _row(names: Sequence[str], cells: Sequence[str]) -> CsvRow:
    if len(cells) != len(names):
        raise Invalid(details=["the row does not have the header's columns"])
    return dict(zip(names, cells, strict=True))


def _show_progress(share: float) -> None:
    """A bar on stderr, where somebody looks."""
    if sys.stderr.isatty():
        done_width = min(BAR_WIDTH, round(share * BAR_WIDTH))
        end = "\n" if share >= 1 else ""
        bar = "#" * done_width + " " * (BAR_WIDTH - done_width)
        print(f"\r[{bar}] {share:4.0%}", end=end, file=sys.stderr, flush=True)

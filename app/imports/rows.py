"""The rows of a file: judged as the API judges them, written in batches.

A refused row does not stop the others. The same file again changes nothing.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.commands import dnc, leads
from app.commands.directory import Fields
from app.domain.callers import Caller
from app.domain.problems import Problem
from app.domain.words import RowOutcome
from app.imports.columns import CUSTOM_FIELD, LEAD_FIELDS, SUPPRESSION_FIELDS, build_lead_body
from app.imports.consents import add_consent, record_new
from app.imports.csv_files import CsvRow, ParsedRow
from app.store.engine import ReadTx, Tx

T = TypeVar("T")
ParseLead = Callable[[Mapping[str, Any]], Fields | Problem]
"""Checks the fields of a lead by the API's own model."""


@dataclass(frozen=True, slots=True)
class FileKind(Generic[T]):
    """What the rows of a file are, and how they are checked and written."""

    fields: frozenset[str]
    """What a column may be."""
    judge: Callable[[ReadTx, Sequence[CsvRow]], Awaitable[Sequence[T | Problem]]]
    """For each row the value to write, or what is wrong with the row."""
    write: Callable[[Tx, Sequence[T]], Awaitable[Sequence[RowOutcome]]]
    """Returns for each value what became of it."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of some rows. Each is taken, blank or refused; a row that is taken adds a lead or an
    opt-out, changes it, or leaves it as it is."""

    outcomes: Counter[RowOutcome]
    """Of the rows that were taken."""
    blank_count: int = 0
    refused_rows: Sequence[tuple[int, Problem]] = field(default=())
    """With their lines."""


def lead_rows(caller: Caller, campaign_id: str | None, parse_lead: ParseLead) -> FileKind[Fields]:
    """Rows with the fields of a lead. Of a known lead only these are changed, and an empty value changes
    nothing. `campaign_id` is set for all."""

    def parse(row: CsvRow) -> Fields | Problem:
        body = build_lead_body(row)
        return add_consent(row, parse_lead(body if campaign_id is None else {**body, "campaignId": campaign_id}))

    async def judge(read: ReadTx, rows: Sequence[CsvRow]) -> list[Fields | Problem]:
        return await leads.judge_many(read, caller, [parse(row) for row in rows])

    async def write(tx: Tx, good_rows: Sequence[Fields]) -> list[RowOutcome]:
        return await leads.merge_many(tx, caller, await record_new(tx, caller, good_rows))

    return FileKind(frozenset({*LEAD_FIELDS, CUSTOM_FIELD}), judge, write)


def suppression_rows(caller: Caller, reason: str | None) -> FileKind[str]:
    """Rows with a phone that opted out elsewhere."""

    async def judge(read: ReadTx, lines: Sequence[CsvRow]) -> list[str | Problem]:
        return await dnc.judge_many(read, caller, [line["phone"] for line in lines])

    async def write(tx: Tx, phones: Sequence[str]) -> list[RowOutcome]:
        return await dnc.suppress_new(tx, caller, phones, reason)

    return FileKind(frozenset(SUPPRESSION_FIELDS), judge, write)


async def take_rows(tx: Tx, kind: FileKind[T], batch: Sequence[ParsedRow]) -> BatchResult:
    """Judges the rows and writes the good ones."""
    verdicts = await kind.judge(tx, [row for _, row in batch if isinstance(row, dict)])
    outcomes = await kind.write(tx, [value for value in verdicts if not isinstance(value, Problem)])
    later_verdicts = iter(verdicts)
    results = [(line, next(later_verdicts) if isinstance(row, dict) else row) for line, row in batch]
    return BatchResult(
        Counter(outcomes),
        sum(row is None for _, row in batch),
        [(line, result) for line, result in results if isinstance(result, Problem)],
    )

"""How a file would be read: its columns, and its first rows as they would be stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from typing import Any

from app.commands.directory import get_field_name
from app.domain.problems import Problem
from app.domain.words import ImportKind
from app.imports.columns import LEAD_FIELDS, SUPPRESSION_FIELDS, guess_columns, read_any_header
from app.imports.csv_files import CsvRow, ParsedRow, UnreadableFile, read_rows, read_text
from app.imports.rows import FileKind
from app.store.engine import ReadTx

MAX_PREVIEW_ROWS = 10
SAMPLES_PER_COLUMN = 3
MAX_SAMPLE_LENGTH = 40
DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
FIELDS_BY_KIND: dict[ImportKind, dict[str, str]] = {"leads": LEAD_FIELDS, "suppressions": SUPPRESSION_FIELDS}


@dataclass(frozen=True, slots=True)
class FileHead:
    """The beginning of a file: its columns, and its first rows, each with the number of a column as the
    name of a value."""

    names: Sequence[str]
    encoding: str
    delimiter: str
    rows: Sequence[ParsedRow]

    def list_samples(self, column: int) -> list[str]:
        """The first few values of a column."""
        values = [row[str(column)].strip() for _, row in self.rows if isinstance(row, dict)]
        samples = dict.fromkeys(value for value in values if value)
        return [_shorten(sample) for sample in islice(samples, SAMPLES_PER_COLUMN)]

    def list_fields(self, kind: ImportKind) -> dict[str, str]:
        """What a column may be, by field, with names for people."""
        fields = FIELDS_BY_KIND[kind]
        return fields | {field: field for field in guess_columns(self.names, fields) if field not in {"", *fields}}

    def guess_columns(self, kind: ImportKind) -> list[str]:
        return guess_columns(self.names, FIELDS_BY_KIND[kind])


def _shorten(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= MAX_SAMPLE_LENGTH else f"{line[: MAX_SAMPLE_LENGTH - 1]}…"


def read_head(content: bytes, is_whole: bool) -> FileHead:
    """`content` is the beginning of a file; `is_whole`: it is all of it. Raises `UnreadableFile`."""
    lines, header = read_any_header(*read_text(BytesIO(content)))
    numbers = [str(i) for i in range(len(header.names))]
    rows = list(islice(read_rows(lines, replace(header, names=numbers)), MAX_PREVIEW_ROWS + 1))
    if not is_whole and len(rows) <= MAX_PREVIEW_ROWS:
        rows = rows[:-1]  # it may be cut off
    if not rows:
        raise UnreadableFile("it has no rows below the header")
    delimiter = DELIMITER_NAMES.get(header.delimiter, f"“{header.delimiter}”")
    return FileHead(header.names, header.encoding.name, delimiter, rows[:MAX_PREVIEW_ROWS])


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """A row as it would be stored, or what is wrong with it."""

    line: int
    values: Mapping[str, Any]
    """By field."""
    fault: str | None = None
    is_blank: bool = False


async def judge_head(read: ReadTx, head: FileHead, kind: FileKind[Any], columns: Sequence[str]) -> list[PreviewRow]:
    """The first rows under these columns."""
    rows = {line: _rename(row, columns) for line, row in head.rows if isinstance(row, dict)}
    verdicts = dict(zip(rows, await kind.judge(read, list(rows.values())), strict=True))
    return [
        PreviewRow(line, {}, _describe(row))
        if isinstance(row, Problem)
        else PreviewRow(line, {}, is_blank=True)
        if row is None
        else _build_row(line, rows[line], verdicts[line])
        for line, row in head.rows
    ]


def _rename(row: CsvRow, columns: Sequence[str]) -> CsvRow:
    return {field: row[str(i)] for i, field in enumerate(columns) if field}


def _build_row(line: int, row: CsvRow, verdict: Any) -> PreviewRow:
    if isinstance(verdict, Problem):
        return PreviewRow(line, row, _describe(verdict))
    stored: Mapping[str, Any] = {"phone": verdict} if isinstance(verdict, str) else verdict
    values = {get_field_name(name): value for name, value in stored.items()}
    values |= {f"customFields.{key}": value for key, value in values.get("customFields", {}).items()}
    values["tags"] = "; ".join(values.get("tags", ()))
    return PreviewRow(line, {field: values.get(field, "") for field in row})


def _describe(problem: Problem) -> str:
    """What is wrong, with the names of fields as the page has them."""
    faults = [detail.partition(": ") for detail in problem.details]
    return (
        "; ".join(f"{LEAD_FIELDS.get(field, field)} {words}".strip() for field, _, words in faults) or problem.message
    )

"""The rows of a CSV file, as spreadsheets write it: encoding and delimiter are recognised, and each
row is parsed strictly and by itself."""

import csv
import re
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import TextIOWrapper
from itertools import islice
from typing import IO, TextIO

from app.domain.problems import Invalid, Problem

MAX_LINE_LENGTH = 1 << 20
"""In characters."""
MAX_LINES_PER_ROW = 100
"""How many lines a quoted value may have. If its quote is not closed, this many are read."""
HEAD_BYTES = 1 << 16
"""How much of a file is looked at to recognise its encoding."""
MAX_COLUMNS = 200
DELIMITERS = (",", ";", "\t")
DELIMITER_LINE = re.compile(r'"?sep=(\\t|[\t,;:|^~])"?[\s,;]*', re.I)
"""A line by which programs tell a spreadsheet how the lines below are separated."""
BLANK_LINE = re.compile(r'(?:[\s,;]|"")*')
UNCLOSED_QUOTE = "a quote is opened and not closed"
NO_WINDOWS_BYTES = re.compile(rb"[\x00\x81\x8d\x8f\x90\x9d\xff]")
"""Windows-1252 does not have these, but for ÿ, which hardly any word has."""
CsvRow = dict[str, str]
ParsedRow = tuple[int, CsvRow | Problem | None]
"""The line where a row begins, and the row, or what is wrong with it, or None for a blank row."""


class UnreadableFile(Exception):
    """The file cannot be read, or its header is wrong. The message says why."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """`codec` and `errors` as for open(). `unreadable` are the characters that stand for bytes
    without a meaning, and NUL."""

    name: str
    codec: str
    errors: str = "surrogateescape"
    unreadable: re.Pattern[str] = re.compile("[\x00\ud800-\udfff]")


UTF_8 = Encoding("UTF-8", "utf-8-sig")
WINDOWS_1252 = Encoding("Windows-1252", "cp1252")


def _make_utf_16(codec: str) -> Encoding:
    return Encoding("UTF-16", codec, "replace", re.compile("[\x00\ufffd\ud800-\udfff]"))


def recognise_encoding(head: bytes) -> Encoding:
    """The encoding of a file that begins with `head`. A file is taken for Windows-1252 only if it
    could be nothing else; else bytes that are not UTF-8 are refused row by row. Raises
    `UnreadableFile`."""
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise UnreadableFile("it is UTF-32; save it as CSV UTF-8")
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UnreadableFile("it is a workbook of a spreadsheet; save it as CSV UTF-8")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _make_utf_16("utf-16")
    if head.startswith(BOM_UTF8):
        return UTF_8
    for codec, zeros, letters in (("utf-16-le", head[1:16:2], head[:16:2]), ("utf-16-be", head[:16:2], head[1:16:2])):
        if zeros and not any(zeros) and all(letters):
            return _make_utf_16(codec)
    return WINDOWS_1252 if _is_windows_1252(head) else UTF_8


def _is_windows_1252(head: bytes) -> bool:
    """Whether most bytes that are not ASCII are not UTF-8, and all are characters of Windows-1252."""
    text = head.decode("utf-8", "surrogateescape")
    foreign_characters = [c for c in text if not c.isascii()]
    escaped_count = sum("\ud800" <= c <= "\udfff" for c in foreign_characters)
    return escaped_count > len(foreign_characters) / 2 and not NO_WINDOWS_BYTES.search(head)


def read_text(binary_file: IO[bytes]) -> tuple[TextIO, Encoding]:
    """The file as text, and its encoding. Raises `UnreadableFile`."""
    head = binary_file.read(HEAD_BYTES)
    encoding = recognise_encoding(head + binary_file.readline(HEAD_BYTES))
    binary_file.seek(0)
    return TextIOWrapper(binary_file, encoding.codec, encoding.errors, newline=""), encoding


def read_lines(text_file: TextIO) -> Iterator[str]:
    """The lines of a file. A line longer than `MAX_LINE_LENGTH` is cut after one more character."""
    while line := text_file.readline(MAX_LINE_LENGTH + 1):
        yield line
        while len(line) > MAX_LINE_LENGTH and line[-1] not in "\r\n":
            line = text_file.readline(MAX_LINE_LENGTH + 1)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the rows of a file are written."""

    encoding: Encoding
    delimiter: str
    names: Sequence[str] = ()
    """The columns. One without a name is not read."""
    header_line: int = 1
    """The line that names them."""


def read_header(
    lines: Iterator[str], encoding: Encoding, known_columns: frozenset[str], get_field: Callable[[str], str]
) -> Dialect:
    """The delimiter is the one with which the fields of all columns are known. Raises `UnreadableFile`."""
    headers = _parse_headers(lines, encoding)
    good_headers = (
        dialect for dialect in headers if "phone" in dialect.names and known_columns >= {*map(get_field, dialect.names)}
    )
    header = next(good_headers, None)
    if header is None:
        allowed_names = ", ".join(sorted(known_columns))
        raise UnreadableFile(
            f"the header must name phone, and may name only: {allowed_names}; with commas, semicolons or tabs between"
        )
    if doubled_name := next((name for name in header.names if header.names.count(name) > 1), None):
        raise UnreadableFile(f"the header names {doubled_name} more than once; remove or rename one of these columns")
    return header


def read_names(lines: Iterator[str], encoding: Encoding, count_known: Callable[[Sequence[str]], int]) -> Dialect:
    """The columns as the header names them. The delimiter is the one with which most are known; if none
    is, the one that makes most columns. Raises `UnreadableFile`."""
    headers = _parse_headers(lines, encoding)
    header = max(headers, key=lambda dialect: (count_known(dialect.names), len(dialect.names)))
    if not any(header.names):
        raise UnreadableFile("its first line must name the columns")
    if len(header.names) > MAX_COLUMNS:
        raise UnreadableFile(f"it has more than {MAX_COLUMNS} columns")
    return header


def _parse_headers(lines: Iterator[str], encoding: Encoding) -> list[Dialect]:
    """The columns with each delimiter, but for those with which the line cannot be parsed: a quoted name
    ends where another delimiter is expected. Raises `UnreadableFile`."""
    line, number, delimiters = _find_header(lines)
    headers, faults = [], []
    for delimiter in delimiters:
        dialect = Dialect(encoding, delimiter, header_line=number)
        try:
            values = _parse_values([line], dialect)[0] if line else []
            _require_readable(values, encoding)
            headers.append(replace(dialect, names=[value.strip() for value in values]))
        except Invalid as problem:
            faults.append(problem.reason)
    if not headers:
        raise UnreadableFile(f"line {number}: {faults[0]}")
    return headers


def _find_header(lines: Iterator[str]) -> tuple[str, int, Sequence[str]]:
    """The header, its line, and the delimiters that it may have. Before it, programs write blank lines, a
    second byte order mark, and the delimiter."""
    delimiters: Sequence[str] = DELIMITERS
    for number, line in enumerate(lines, 1):
        line = line.lstrip("\ufeff")
        if match := DELIMITER_LINE.fullmatch(line):
            delimiters = ["\t" if match[1].startswith("\\") else match[1]]
        elif not BLANK_LINE.fullmatch(line):
            return line, number, delimiters
    return "", 1, delimiters


def read_rows(lines: Iterator[str], dialect: Dialect) -> Iterator[ParsedRow]:
    """The rows below the header. A row that does not have the header's columns is taken to be one line long:
    reading continues with the line after it."""
    number, ahead = dialect.header_line + 1, deque(islice(lines, MAX_LINES_PER_ROW))
    while ahead:
        count = 1
        try:
            values, line_count = _parse_values(ahead, dialect)
            row = _build_row(dialect.names, values) if any(value.strip() for value in values) else None
            count = line_count
            _require_readable(values, dialect.encoding)
            yield number, row
        except Invalid as problem:
            yield number, problem
        for _ in range(count):
            ahead.popleft()
        ahead.extend(islice(lines, count))
        number += count


def _parse_values(lines: Sequence[str], dialect: Dialect) -> tuple[list[str], int]:
    """The values of the row that begins with the first line, and how many lines the row has. Raises
    `Invalid`.

    A quote that is not closed would swallow the rows below it, up to the next quote. So a row of
    several lines is refused if one of its later lines is a whole row by itself."""
    if len(lines[0]) > MAX_LINE_LENGTH:
        raise Invalid(details=[f"the line is longer than {MAX_LINE_LENGTH} characters"])
    reader = csv.reader(lines, strict=True, delimiter=dialect.delimiter)
    try:
        values = next(reader)
    except csv.Error as error:
        raise Invalid(details=[_describe_fault(error, reader.line_num)]) from None
    count_values = partial(_count_values, dialect.delimiter)
    if any(count_values(line) == len(dialect.names) for line in islice(lines, 1, reader.line_num)):
        raise Invalid(details=[UNCLOSED_QUOTE])
    return values, reader.line_num


def _require_readable(values: Sequence[str], encoding: Encoding) -> None:
    """Raises `Invalid`."""
    if match := encoding.unreadable.search("".join(values)):
        character = "a NUL character" if match[0] == "\x00" else f"a byte that is not {encoding.name}"
        raise Invalid(details=[f"the row holds {character}"])


def _describe_fault(error: csv.Error, lines: int) -> str:
    """What the csv module found wrong after it had read `lines` lines."""
    if lines > 1 or "end of data" in str(error):
        return UNCLOSED_QUOTE
    if "field limit" in str(error):
        return f"a cell is longer than {csv.field_size_limit()} characters"
    return "text follows the quote that closes a cell"


def _count_values(delimiter: str, line: str) -> int:
    """The number of values of a line by itself; 0 if it cannot be parsed."""
    try:
        return len(next(csv.reader([line], delimiter=delimiter), ()))
    except csv.Error:
        return 0


def _build_row(names: Sequence[str], values: Sequence[str]) -> CsvRow:
    if len(values) != len(names):
        raise Invalid(details=["the row does not have the header's columns"])
    return {name: value for name, value in zip(names, values, strict=True) if name}

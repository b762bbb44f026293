"""CSV files, as any program writes them, are read as they were meant."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app.domain.problems import Problem
from app.imports.columns import LEAD_FIELDS, SPELLINGS, guess_columns, read_any_header
from app.imports.csv_files import ParsedRow, UnreadableFile, read_rows, read_text

HEADER = ["Phone", "First Name", "Notes"]
CODECS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]
PLAIN_CELL = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)
WESTERN_CELL = st.text("abcXYZ 0129,;\t'\"äöüßéèñçÀŒ„“–…€", max_size=12)
LONG_CELL = st.lists(PLAIN_CELL, min_size=1, max_size=4).map("\n".join)
DIALECT = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",;\t"),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "lineterminator": st.sampled_from(["\n", "\r\n", "\r"]),
    }
)


def write(rows: Sequence[Sequence[str]], codec: str, dialect: dict[str, object]) -> bytes:
    output = io.StringIO(newline="")
    csv.writer(output, **dialect).writerows([HEADER, *rows])  # type: ignore[arg-type]
    return output.getvalue().encode(codec)


def read(content: bytes) -> list[ParsedRow]:
    lines, header = read_any_header(*read_text(io.BytesIO(content)))
    assert header.names == HEADER
    return list(read_rows(lines, replace(header, names=list("abc"))))


@given(rows=st.lists(st.tuples(PLAIN_CELL, PLAIN_CELL, PLAIN_CELL), max_size=8), codec=st.sampled_from(CODECS),
       dialect=DIALECT)  # fmt: skip
@example(rows=[("", "", ""), (" ", "\ufeff", "=1")], codec="utf-16-le", dialect={"delimiter": ";"})
def test_each_cell_is_read_as_it_was_written(
    rows: list[tuple[str, ...]], codec: str, dialect: dict[str, object]
) -> None:
    found = [tuple(row.values()) if isinstance(row, dict) else row for _, row in read(write(rows, codec, dialect))]
    assert found == [row if any(cell.strip() for cell in row) else None for row in rows]


def test_a_row_of_several_lines_that_holds_nul_is_refused_once() -> None:
    [(line, problem), (next_line, row)] = read(b'Phone,First Name,Notes\n1,\x00,"two\nlines"\n2,Ann,\n')
    assert isinstance(problem, Problem)
    assert (line, problem.details) == (2, ["the row holds a NUL character"])
    assert (next_line, row) == (4, {"a": "2", "b": "Ann", "c": ""})


@pytest.mark.parametrize("stray_byte", [b"\x00", b"\xff"])
def test_a_header_with_a_stray_byte_is_refused(stray_byte: bytes) -> None:
    with pytest.raises(UnreadableFile):
        read(b"Phone,First" + stray_byte + b" Name,Notes\n1,Ann,\n")


@given(rows=st.lists(st.tuples(WESTERN_CELL, WESTERN_CELL, WESTERN_CELL), max_size=8), dialect=DIALECT)
def test_the_spreadsheets_of_western_europe_are_read(rows: list[tuple[str, ...]], dialect: dict[str, object]) -> None:
    content = write(rows, "cp1252", dialect)
    foreign_characters = [c for c in content.decode("utf-8", "surrogateescape") if not c.isascii()]
    assume(all("\ud800" <= c <= "\udfff" for c in foreign_characters))  # a few pairs, as ßŒ, are UTF-8 as well
    found = [tuple(row.values()) if isinstance(row, dict) else row for _, row in read(content)]
    assert found == [row if any(cell.strip() for cell in row) else None for row in rows]


@given(rows=st.lists(st.tuples(LONG_CELL, LONG_CELL, LONG_CELL), max_size=6), codec=st.sampled_from(CODECS),
       dialect=DIALECT)  # fmt: skip
@example(rows=[("\n0", "", "")], codec="utf-8", dialect={"quoting": csv.QUOTE_MINIMAL, "lineterminator": "\r"})
def test_a_row_of_several_lines_is_read_whole_or_refused_and_its_line_is_told(
    rows: list[tuple[str, ...]], codec: str, dialect: dict[str, object]
) -> None:
    if dialect["lineterminator"] == "\r":
        dialect = dialect | {"quoting": csv.QUOTE_ALL}  # else the csv module leaves the \n of a cell unquoted
    written = {row for row in rows if any(cell.strip() for cell in row)}
    found = read(write(rows, codec, dialect))
    lines = [line for line, _ in found]
    assert lines == sorted(set(lines))
    taken = {tuple(row.values()) for _, row in found if isinstance(row, dict)}
    if not any(isinstance(row, Problem) for _, row in found):
        assert taken == written


@given(content=st.binary(max_size=200))
@example(content=b"\xff\xfe")
@example(content=b"\xff\xfe\n")
@example(content=b'"\n')
@example(content=b"\x00p\x00h\x00o\x00n\x00e\x00\n\xd8")
def test_whatever_the_bytes_are_the_file_is_read_or_refused_in_words(content: bytes) -> None:
    try:
        lines, header = read_any_header(*read_text(io.BytesIO(content)))
    except UnreadableFile:
        return
    for line, row in read_rows(lines, header):
        assert line > 1
        assert not isinstance(row, Problem) or row.details


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["phone", "Mobile Phone"], {"phone": "phone"}),
        (["Phone", "Mobile Phone"], {"Mobile Phone": "phone"}),
        (["First Name", "Last Name", "Phone Number", "Email", "Record ID - Contact", "Lifecycle Stage"],
         {"First Name": "firstName", "Last Name": "lastName", "Phone Number": "phone", "Email": "email"}),
        (["External ID", "First", "Last", "Cell", "E-mail Address", "Lead Status"],
         {"External ID": "leadId", "First": "firstName", "Last": "lastName", "Cell": "phone",
          "E-mail Address": "email", "Lead Status": "status"}),
        (["FIRST_NAME", "last-name", "MobilePhone", "Email1", "TimeZone"],
         {"FIRST_NAME": "firstName", "last-name": "lastName", "MobilePhone": "phone", "Email1": "email",
          "TimeZone": "timezone"}),
        (["Vorname", "Nachname", "Handynummer", "E-Mail-Adresse"],
         {"Vorname": "firstName", "Nachname": "lastName", "Handynummer": "phone", "E-Mail-Adresse": "email"}),
        (["Nombre", "Apellidos", "Teléfono", "Correo electrónico"],
         {"Nombre": "firstName", "Apellidos": "lastName", "Teléfono": "phone", "Correo electrónico": "email"}),
        (["", "Name", "Company", "phone2"], {}),
    ],
)  # fmt: skip
def test_the_names_of_other_systems_are_recognised(names: list[str], meant: dict[str, str]) -> None:
    columns = guess_columns(names, LEAD_FIELDS)
    assert {name: column for name, column in zip(names, columns, strict=True) if column} == meant


def test_a_spelling_means_one_field() -> None:
    spellings = [spelling for words in SPELLINGS.values() for spelling in words.split()]
    assert len(spellings) == len(set(spellings))
    for field, words in SPELLINGS.items():
        for spelling in words.split():
            assert guess_columns([spelling], LEAD_FIELDS) == [field]

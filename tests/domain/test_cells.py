"""Cells of a CSV file do nothing in a spreadsheet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cells import guard_cell


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u00a0 =1"],
)
def test_what_begins_like_a_formula_begins_with_an_apostrophe(cell: str) -> None:
    assert guard_cell(cell).lstrip("\n").startswith("'")
    assert guard_cell(f"Hello\n{cell}").split("\n", 1)[1].lstrip("\n").startswith("'")


@pytest.mark.parametrize("cell", ["Hello", "5 - 3 = 2", "a@example.com", "", "+12125550123"])
def test_what_does_not_is_left_alone(cell: str) -> None:
    assert guard_cell(cell) == cell


@given(st.text(alphabet=" =+-@\t\r\n\u00a0'a1"))
def test_no_line_of_any_cell_begins_like_a_formula(cell: str) -> None:
    said = guard_cell(cell)
    if not (said.startswith("+") and said[1:].isdigit()):
        for line in said.split("\n"):
            assert line.lstrip(" \u00a0")[:1] not in tuple("=+-@\t\r")

"""Values of a CSV file do nothing in a spreadsheet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.spreadsheets import guard_value


@pytest.mark.parametrize(
    "value",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u00a0 =1"],
)
def test_what_begins_like_a_formula_begins_with_an_apostrophe(value: str) -> None:
    assert guard_value(value).lstrip("\n").startswith("'")
    assert guard_value(f"Hello\n{value}").split("\n", 1)[1].lstrip("\n").startswith("'")


@pytest.mark.parametrize("value", ["Hello", "5 - 3 = 2", "a@example.com", "", "+12125550123"])
def test_what_does_not_is_left_alone(value: str) -> None:
    assert guard_value(value) == value


@given(st.text(alphabet=" =+-@\t\r\n\u00a0'a1"))
def test_no_line_of_any_value_begins_like_a_formula(value: str) -> None:
    said = guard_value(value)
    if not (said.startswith("+") and said[1:].isdigit()):
        for line in said.split("\n"):
            assert line.lstrip(" \u00a0")[:1] not in tuple("=+-@\t\r")

"""Retry-After is read in all forms that RFC 9110 allows."""

from datetime import UTC, datetime

import pytest

from app.domain.retry_after import MAX_SECONDS, read_retry_after

NOW = datetime(1994, 11, 6, 8, 49, 7, tzinfo=UTC)
DATES = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994")
"""The same time in the three forms of RFC 9110, 5.6.7."""


@pytest.mark.parametrize("date", DATES)
def test_a_date_counts_from_now(date: str) -> None:
    assert read_retry_after({"retry-after": date}, NOW) == 30.0


@pytest.mark.parametrize("date", DATES)
def test_a_date_counts_from_the_servers_own_clock(date: str) -> None:
    headers = {"retry-after": date, "date": "Sun, 06 Nov 1994 08:49:32 GMT"}
    assert read_retry_after(headers, NOW) == 5.0
    assert read_retry_after(headers) == 5.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("9" * 5000, MAX_SECONDS),
        ("Sat, 05 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 9999 08:49:37 GMT", MAX_SECONDS),
    ],
)
def test_a_wait_is_within_bounds(value: str, seconds: float) -> None:
    assert read_retry_after({"retry-after": value}, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "-1", "1.5", "1e3", "٣", "²", "Sun, 06", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994", "\x00"],
)
def test_what_is_neither_is_ignored(value: str) -> None:
    assert read_retry_after({"retry-after": value}, NOW) is None


def test_without_the_header_there_is_no_wait() -> None:
    assert read_retry_after({}, NOW) is None
    assert read_retry_after({"retry-after": DATES[0]}) is None

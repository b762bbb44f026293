"""The header `Retry-After` (RFC 9110, 10.2.3): when a server wants to be asked again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SECONDS = 366 * 86_400.0
"""A longer wait is cut to this. Each caller has its own, shorter limit."""


def read_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds to wait; 0 for a date in the past. None: there is no such header, or it cannot be
    read. `headers` ignore the case of names.

    A date counts from the server's own `Date`, so a wrong clock does no harm; without one from
    `now`, and without both it cannot be read."""
    value = headers.get("retry-after", "").strip()
    if (seconds := read_seconds(value)) is not None:
        return seconds
    until, asked_at = _read_date(value), _read_date(headers.get("date", "")) or now
    if until is None or asked_at is None:
        return None
    return min(max((until - asked_at).total_seconds(), 0.0), MAX_SECONDS)


def read_seconds(value: str) -> float | None:
    """A whole number of seconds; None: it is none."""
    return min(float(value), MAX_SECONDS) if value.isascii() and value.isdecimal() else None


def _read_date(value: str) -> datetime | None:
    """A date in one of the three forms of RFC 9110, 5.6.7; None: it is none."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)

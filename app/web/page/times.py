"""Times in words, in the person's zone, as the clocks of their country show them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from zoneinfo import ZoneInfo

from fastapi import Request

from app.domain.problems import Invalid

SNOOZE_END = re.compile(r"(?<= snoozed this until )\d{4}-\d\d-\d\d \d\d:\d\d UTC(?=\.$)")
"""As the record of a thread says when a snooze ends. Times in the words of people and agents stay as they are."""
UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
"""Of durations, in seconds."""
ZONE_COOKIE = "zone"
"""The person's time zone (IANA name), set by the script in the browser."""
TWELVE_HOUR_LANGUAGES = frozenset(
    {"en", "en-us", "en-ca", "en-au", "en-nz", "en-in", "en-ph", "en-pk", "es-us", "es-co", "es-mx", "hi", "hi-in"}
)
"""Of those who set their browser to one of them, most read "2:05 PM" faster than "14:05"."""


class TwelveHourZone(ZoneInfo):
    """A zone in which a person reads the clock in twice twelve hours."""


def get_zone(request: Request) -> tzinfo:
    """Returns the zone of the person's browser; UTC if it has not told it yet."""
    language = request.headers.get("accept-language", "").split(",")[0].split(";")[0].strip().lower()
    kind = TwelveHourZone if language in TWELVE_HOUR_LANGUAGES else ZoneInfo
    try:
        return kind(request.cookies.get(ZONE_COOKIE) or "UTC")
    except (KeyError, ValueError, OSError):  # unknown, or not the name of a zone
        return kind("UTC")


def parse_local(name: str, raw_time: str, zone: tzinfo) -> datetime:
    """Parses what a browser's field for a local time holds. Raises `Invalid`, which calls the field `name`."""
    try:
        return datetime.fromisoformat(raw_time).replace(tzinfo=zone)
    except ValueError:
        raise Invalid(details=[f"{name}: is not a time"]) from None


def _format_time(local: datetime, *, has_seconds: bool = False) -> str:
    seconds = ":%S" if has_seconds else ""
    if isinstance(local.tzinfo, TwelveHourZone):
        return f"{local.hour % 12 or 12}{local:{f':%M{seconds} %p'}}"
    return f"{local:{f'%H:%M{seconds}'}}"


def format_clock(at: datetime, zone: tzinfo) -> str:
    return _format_time(at.astimezone(zone))


def format_local_input(at: datetime, zone: tzinfo) -> str:
    """Returns the time as a browser's field for a local time holds it."""
    return f"{at.astimezone(zone):%Y-%m-%dT%H:%M}"


def format_day(at: datetime, zone: tzinfo) -> str:
    """Returns "Today", "Yesterday" or the date."""
    local = at.astimezone(zone).date()
    age = (datetime.now(zone).date() - local).days
    return {0: "Today", 1: "Yesterday"}.get(age) or f"{local:%A}, {local.day} {local:%B %Y}"


def format_ago(at: datetime, zone: tzinfo) -> str:
    """Returns how long ago `at` was, in a few characters for a list."""
    now = datetime.now(zone)
    minutes = int((now - at).total_seconds() // 60)
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{minutes} min"
    local = at.astimezone(zone)
    if local.date() == now.date():
        return _format_time(local)
    days = (now.date() - local.date()).days
    if days == 1:
        return "yesterday"
    if days < 7:
        return f"{local:%a}"
    return f"{local.day} {local:%b}" if local.year == now.year else f"{local.day} {local:%b %Y}"


def format_when(at: datetime, zone: tzinfo) -> str:
    """Returns when it was or will be, within a sentence: "tomorrow, 9:00 AM"."""
    local, today = at.astimezone(zone), datetime.now(zone).date()
    days_ahead = (local.date() - today).days
    date_words = f"{local.day} {local:%B}" + ("" if local.year == today.year else f" {local.year}")
    day = {0: "today", 1: "tomorrow", -1: "yesterday"}.get(days_ahead) or f"{local:%A}, {date_words}"
    return f"{day}, {_format_time(local)}"


def show_local_times(text: str, zone: tzinfo) -> str:
    """Returns an entry of a thread's record with the end of a snooze by the person's clock."""
    return SNOOZE_END.sub(partial(_show_local_time, zone=zone), text)


def _show_local_time(match: re.Match[str], zone: tzinfo) -> str:
    try:
        return format_when(datetime.strptime(match[0], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC), zone)
    except (ValueError, OverflowError):  # somebody wrote what looks like the record, of a time that is none
        return match[0]


def format_exact(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    return f"{local.day} {local:%B %Y}, {_format_time(local, has_seconds=True)} {local.tzname()}"


def format_mark(at: datetime, zone: tzinfo, span: str) -> str:
    """Returns a label of a chart's time axis: the day, in UTC as the chart counts days, if it shows a month; else
    the time."""
    if span == "month":
        day = at.astimezone(UTC)
        return f"{day.day} {day:%b}"
    return format_clock(at, zone)


def format_month(at: datetime) -> str:
    return f"{at.astimezone(UTC):%B %Y}"


def choose_unit(seconds: float, units: Sequence[tuple[str, int]] = UNITS) -> tuple[str, int]:
    """Returns the largest unit of which there is at least one, or the smallest; and how many seconds it has."""
    return next(((name, size) for name, size in units if seconds >= size), units[-1])


def format_duration(seconds: float) -> str:
    unit, size = choose_unit(seconds)
    return f"{seconds / size:.0f} {unit}"

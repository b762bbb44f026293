"""Quiet hours: when a text may be sent, by the recipient's clock.

If the lead's time zone is not known, all zones of the number must allow it (47 CFR 64.1200(c)(1):
not before 8 a.m. or after 9 p.m. local time at the called party's location).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import timezone as carrier_zones

REPLY_GRACE = timedelta(minutes=15)
"""Within this time after a lead's text, replies may be sent at any hour."""
MAX_MORNINGS = 100
"""Mornings to try: several days of a number with many zones."""
MAX_DAYS_CLOSED = 9
Span = tuple[time, time]
"""From the first time until before the second."""
Week = tuple[Span | None, ...]
"""By weekday from Monday on; None: not on this day."""
WHOLE_DAY: Span = (time.min, time.max)


@dataclass(frozen=True, slots=True)
class Hours:
    """When texts may leave, by the clock of a zone. Outside of the days from `starts` to `ends` they do
    not count."""

    zone: ZoneInfo
    week: Week
    starts: date = date.min
    ends: date = date.max
    is_closed: Callable[[date], bool] | None = None
    """Whether no text may leave on a day, whatever weekday it is."""

    def get_span(self, day: date) -> Span | None:
        if not self.starts <= day <= self.ends:
            return WHOLE_DAY
        return None if self.is_closed and self.is_closed(day) else self.week[day.weekday()]


def build_daily_hours(zones: Sequence[ZoneInfo], settings: Mapping[str, Any]) -> list[Hours]:
    """The same hours on each day. `settings`: `{start, end}`, with start before end."""
    span = (time.fromisoformat(settings["start"]), time.fromisoformat(settings["end"]))
    return [Hours(zone, (span,) * 7) for zone in zones]


def find_zones(phone: str, known_zone: str | None) -> tuple[ZoneInfo, ...]:
    """The lead's own zone if it is known, else the zones of the number; may be empty."""
    names = [known_zone] if known_zone else _zone_names_of(phone)
    zones = []
    for name in names:
        try:
            zones.append(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return tuple(zones)


def find_earliest(now: datetime, all_hours: Sequence[Hours]) -> datetime | None:
    """The first time from `now` on that all hours allow; None: now is such a time. If there is none (one
    toll-free prefix has Guam and Hawaii), the first time that the most of them allow."""
    at, best, fewest = now, now, len(all_hours) + 1
    for _ in range(MAX_MORNINGS):
        openings = [opens_at for hours in all_hours if (opens_at := find_opening(at, hours))]
        if len(openings) < fewest:
            best, fewest = at, len(openings)
        if not openings:
            break
        at = min(openings) if len(openings) < len(all_hours) else max(openings)
    return None if best == now else best


def find_opening(at: datetime, hours: Hours) -> datetime | None:
    """When the hours begin next; None: they are on. Hours that never begin again do not count."""
    local = at.astimezone(hours.zone)
    span = hours.get_span(local.date())
    if span and (span == WHOLE_DAY or span[0] <= local.time() < span[1]):
        return None
    for days_ahead in range(MAX_DAYS_CLOSED):
        day = local.date() + timedelta(days=days_ahead)
        if span := hours.get_span(day):
            # Converted by UTC: a local time that daylight saving skips becomes the time after the gap.
            opens_at = datetime.combine(day, span[0], hours.zone).astimezone(at.tzinfo)
            if opens_at > at:
                return opens_at
    return None


def _zone_names_of(phone: str) -> Sequence[str]:
    try:
        names = carrier_zones.time_zones_for_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return ()
    return [name for name in names if name != carrier_zones.UNKNOWN_TIMEZONE]

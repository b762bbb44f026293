"""Quiet hours: when a text may be sent, by the recipient's clock.

If the lead's time zone is not known, all zones of the number must allow it (47 CFR 64.1200(c)(1):
not before 8 a.m. or after 9 p.m. local time at the called party's location).
"""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import timezone as carrier_zones

REPLY_GRACE = timedelta(minutes=15)
"""Within this time after a lead's text, replies may be sent at any hour."""
MAX_MORNINGS = 100
"""Mornings to try: several days of a number with many zones."""


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


def find_earliest(now: datetime, zones: Sequence[ZoneInfo], start: time, end: time) -> datetime | None:
    """The first time from `now` on at which all zones are in [start, end); None: now is such a time.
    If there is none (one toll-free prefix has Guam and Hawaii), the first time with the fewest zones
    outside. `start` must be before `end`."""
    at, best, fewest = now, now, len(zones) + 1
    for _ in range(MAX_MORNINGS):
        next_starts = [next_start for zone in zones if (next_start := _find_next_start(at, zone, start, end))]
        if len(next_starts) < fewest:
            best, fewest = at, len(next_starts)
        if not next_starts:
            break
        at = min(next_starts) if len(next_starts) < len(zones) else max(next_starts)
    return None if best == now else best


def _find_next_start(at: datetime, zone: ZoneInfo, start: time, end: time) -> datetime | None:
    """When quiet hours end in the zone; None: they are not on there."""
    local = at.astimezone(zone)
    if start <= local.time() < end:
        return None
    day = local.date() + timedelta(days=int(local.time() >= end))
    # Converted by UTC: a local time that daylight saving skips becomes the time after the gap.
    return datetime.combine(day, start, zone).astimezone(at.tzinfo)


def _zone_names_of(phone: str) -> Sequence[str]:
    try:
        names = carrier_zones.time_zones_for_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return ()
    return [name for name in names if name != carrier_zones.UNKNOWN_TIMEZONE]

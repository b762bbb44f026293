"""Quiet hours: when a text that starts contact may leave, by the recipient's clock.

Where the lead's zone is not known, all zones of the number must agree (47 CFR 64.1200(c)(1):
not before 8 a.m. or after 9 p.m. local time at the called party's location).
"""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import timezone as carrier_zones

REPLY_GRACE = timedelta(minutes=15)
"""An answer to a text that young may leave at any hour."""
MAX_MORNINGS = 100
"""Mornings tried: some days of a number in many zones."""


def find_zones(phone: str, known_zone: str | None) -> tuple[ZoneInfo, ...]:
    """The lead's own zone, else those of the number; none where nothing is known."""
    names = [known_zone] if known_zone else _zone_names_of(phone)
    zones = []
    for name in names:
        try:
            zones.append(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return tuple(zones)


def find_earliest(now: datetime, zones: Sequence[ZoneInfo], start: time, end: time) -> datetime | None:
    """The first instant, `now` or later, at which every zone's clock is in [start, end); None:
    at once. Zones that share no such hour (Guam and Hawaii of one toll-free prefix): the
    instant at which the fewest of them sleep. `start` is before `end`."""
    at, best, fewest = now, now, len(zones) + 1
    for _ in range(MAX_MORNINGS):
        mornings = [_next_start(at, zone, start, end) for zone in zones]
        waits = [morning for morning in mornings if morning is not None]
        if len(waits) < fewest:
            best, fewest = at, len(waits)
        if not waits:
            break
        at = min(waits) if len(waits) < len(zones) else max(waits)
    return None if best == now else best


def _next_start(at: datetime, zone: ZoneInfo, start: time, end: time) -> datetime | None:
    """When the zone's next morning begins; None while it is day there."""
    local = at.astimezone(zone)
    if start <= local.time() < end:
        return None
    day = local.date() + timedelta(days=int(local.time() >= end))
    # Through UTC: a wall time that the spring skips becomes the instant after the gap.
    return datetime.combine(day, start, zone).astimezone(at.tzinfo)


def _zone_names_of(phone: str) -> Sequence[str]:
    try:
        names = carrier_zones.time_zones_for_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return ()
    return [name for name in names if name != carrier_zones.UNKNOWN_TIMEZONE]

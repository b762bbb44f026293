"""When a text may leave later: times by the lead's own clock, shown also by the person's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from app.domain.law.places import find_place
from app.domain.problems import Invalid
from app.web.page import times

MORNING_TIME, AFTERNOON_TIME, EVENING_TIME = time(9), time(14), time(18)
SOON = timedelta(hours=1)
ROUNDED_TO = 5
"""Minutes; nobody means 10:07."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A time that is offered. `lead_words`: as the lead's clock shows it; `own_words`: as the person's does, if
    it shows another time, without the day if that is the same."""

    at: datetime
    lead_words: str
    own_words: str

    @property
    def value(self) -> str:
        return self.at.astimezone(UTC).isoformat()


@dataclass(frozen=True, slots=True)
class LeadClock:
    """The lead's clock. `zone_name` "": nothing tells where the lead is, so it is the person's own."""

    zone_name: str
    now: str
    presets: Sequence[Preset]


def read_clock(
    phone: str,
    state: str | None,
    postal_code: str | None,
    timezone: str | None,
    zone: tzinfo,
    now: datetime,
    chosen: str = "",
) -> LeadClock:
    """`zone`: the person's, with the person's way to read a clock. `chosen`: the value of a preset of an earlier
    page. While it is still ahead it is offered too, so that a text that comes back keeps its time."""
    zones = find_place(phone, state, postal_code, timezone).zones if phone.startswith("+") else ()
    # Of several possible zones the last in which it is nine: by then it is nine in all.
    lead_zone = (
        min(zones, key=lambda possible_zone: now.astimezone(possible_zone).utcoffset() or timedelta())
        if zones
        else None
    )
    own_zone = zone if lead_zone is None else _read_as(lead_zone, zone)
    local = now.astimezone(own_zone)
    return LeadClock(
        zone_name=lead_zone.key if lead_zone else "",
        now=f"{times.format_clock(now, own_zone)} {local.tzname()}",
        presets=[_build_preset(at, own_zone, zone, now) for at in _with_chosen(_list_times(local), chosen, local)],
    )


def _with_chosen(offered: list[datetime], chosen: str, local: datetime) -> list[datetime]:
    try:
        at = parse_moment(chosen, "", "", UTC)
    except Invalid:
        return offered
    if at is None or at <= local or at in offered:
        return offered
    return sorted([*offered, at.astimezone(local.tzinfo)])


def _read_as(lead_zone: ZoneInfo, zone: tzinfo) -> ZoneInfo:
    """The lead's zone, with the clock as the person reads it."""
    return times.TwelveHourZone(lead_zone.key) if isinstance(zone, times.TwelveHourZone) else lead_zone


def _list_times(local: datetime) -> list[datetime]:
    """The times that are offered at this local time: up to six, in order."""
    today, tomorrow = local.date(), local.date() + timedelta(days=1)
    monday = today + timedelta(days=7 - today.weekday())
    soon = _round_up(local + SOON)
    fixed_times = [
        (today, AFTERNOON_TIME),
        (today, EVENING_TIME),
        (tomorrow, MORNING_TIME),
        (tomorrow, AFTERNOON_TIME),
        (monday, MORNING_TIME),
    ]
    later = [at for day, hour in fixed_times if (at := _combine(day, hour, local.tzinfo)) > soon]
    return [soon, *sorted(dict.fromkeys(later))]


def _combine(day: date, hour: time, zone: tzinfo | None) -> datetime:
    return datetime.combine(day, hour, zone)


def _round_up(at: datetime) -> datetime:
    minutes = -at.minute % ROUNDED_TO
    return at.replace(second=0, microsecond=0) + timedelta(minutes=minutes)


def _build_preset(at: datetime, lead_zone: tzinfo, zone: tzinfo, now: datetime) -> Preset:
    lead_day, own_day = _name_day(at, lead_zone, now), _name_day(at, zone, now)
    lead_words, own_clock = f"{lead_day}, {times.format_clock(at, lead_zone)}", times.format_clock(at, zone)
    if at.utcoffset() == at.astimezone(zone).utcoffset():
        own_words = ""
    elif lead_day == own_day and at.astimezone(lead_zone).date() == at.astimezone(zone).date():
        own_words = own_clock
    else:
        own_words = f"{own_day}, {own_clock}"
    return Preset(at, lead_words, own_words)


def _name_day(at: datetime, zone: tzinfo, now: datetime) -> str:
    day = at.astimezone(zone).date()
    days_ahead = (day - now.astimezone(zone).date()).days
    return {0: "Today", 1: "Tomorrow"}.get(days_ahead) or f"{day:%A}"


def parse_moment(when: str, at: str, clock: str, zone: tzinfo) -> datetime | None:
    """Returns when a text is to leave; None: at once. `when`: a preset's value. `at`: a local time of the zone
    named `clock` or, if that is empty, of the person's `zone`. Raises `Invalid`."""
    try:
        if when:
            moment = datetime.fromisoformat(when)
            if moment.tzinfo is None:
                raise ValueError(when)
            return moment
        return times.parse_local("Send at", at, ZoneInfo(clock) if clock else zone) if at else None
    except (ValueError, KeyError, OSError):  # the latter two: no zone has this name
        raise Invalid(details=["Send at: is not a time"]) from None

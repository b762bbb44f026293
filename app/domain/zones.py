"""The time zones in which days of figures may begin."""

from functools import cache
from zoneinfo import available_timezones


@cache
def list_zones() -> frozenset[str]:
    """The database computes with them, and does not know each name that Python reads from files: the ones without
    a region, such as `localtime`, are left out."""
    return frozenset(name for name in available_timezones() if "/" in name or name == "UTC")

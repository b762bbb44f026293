"""Clocks of a turn: when it is due, when a hand-over is repeated, when it expires. And how long
a claimed text may still leave."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

WINDOW_MS = 7_000
WINDOW_BOUNDS_MS = (1_000, 60_000)
MAX_WAIT_LIMIT_MS = 600_000
MAX_WAIT_WINDOWS = 5
TEXTS_PER_TURN = 50
HAND_OVER_DEADLINE = timedelta(seconds=20)
HAND_OVER_LEASE = timedelta(seconds=30)
"""How long a hand-over may stay unsettled before another worker repeats it: the deadline of
the exchange and room to record it, within the 45 s in which a killed one must come back."""
RETRY_AFTER_BOUNDS = (timedelta(seconds=1), timedelta(minutes=10))
HAND_OVER_RETRIES = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
)
"""Waits after the end of attempt 1, 2, 3 and 4; after the fifth the turn has failed."""
REPLY_WITHIN = timedelta(minutes=10)
BEGIN_WITHIN = timedelta(seconds=1)
"""How long after its claim a request to a carrier may begin. The webhook that stored a STOP waits
as long, and then knows that nothing begins any more: STOP wins by this one figure."""


def next_hand_over(attempt: int, retry_after: float | None) -> timedelta | None:
    """The wait after a failed `attempt` (1-based), or None when it was the last.

    `retry_after` is the endpoint's own wish in seconds, respected within bounds.
    """
    if attempt > len(HAND_OVER_RETRIES):
        return None
    if retry_after is None:
        return HAND_OVER_RETRIES[attempt - 1]
    low, high = RETRY_AFTER_BOUNDS
    return min(max(timedelta(seconds=retry_after), low), high)


def find_opening(now: datetime, hours: Mapping[str, Any]) -> datetime:
    """`now` within business hours `{start, end, timezone, days}` (ISO weekdays), else the next
    time they begin."""
    zone = ZoneInfo(hours["timezone"])
    start, end = time.fromisoformat(hours["start"]), time.fromisoformat(hours["end"])
    local = now.astimezone(zone)
    if local.isoweekday() in hours["days"] and start <= local.time() < end:
        return now
    for ahead in range(9):
        day = local.date() + timedelta(days=ahead)
        opens = datetime.combine(day, start, zone)
        if opens > local and day.isoweekday() in hours["days"]:
            return opens.astimezone(now.tzinfo)
    return now

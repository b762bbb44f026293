"""Times of a turn: its window, the deadline and retries of a hand-over, its expiry. Also how long
after its claim a text may be sent."""

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
"""After this time without a settlement another worker repeats the hand-over: the deadline of the
POST plus time to record it. A killed worker's hand-over must be repeated within 45 s."""
RETRY_AFTER_BOUNDS = (timedelta(seconds=1), timedelta(minutes=10))
HAND_OVER_RETRIES = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10))
"""Waits after attempts 1, 2, 3 and 4; after the fifth the turn has failed."""
REPLY_WITHIN = timedelta(minutes=10)
BEGIN_WITHIN = timedelta(seconds=1)
"""How long after its claim a request to a carrier may begin. The webhook of a STOP waits as long
before it answers, so no request begins after its answer."""


def next_hand_over(attempt: int, retry_after: float | None) -> timedelta | None:
    """The wait after a failed `attempt` (1-based); None: it was the last one.

    `retry_after` is what the endpoint asked for, in seconds; it is kept within bounds.
    """
    if attempt > len(HAND_OVER_RETRIES):
        return None
    if retry_after is None:
        return HAND_OVER_RETRIES[attempt - 1]
    low, high = RETRY_AFTER_BOUNDS
    return min(max(timedelta(seconds=retry_after), low), high)


def find_opening(now: datetime, hours: Mapping[str, Any]) -> datetime:
    """`now` if it is in the business hours, else when they begin next. `hours` is `{start, end,
    timezone, days}` with ISO weekdays."""
    zone = ZoneInfo(hours["timezone"])
    start, end = time.fromisoformat(hours["start"]), time.fromisoformat(hours["end"])
    local = now.astimezone(zone)
    if local.isoweekday() in hours["days"] and start <= local.time() < end:
        return now
    for days_ahead in range(9):
        day = local.date() + timedelta(days=days_ahead)
        opens = datetime.combine(day, start, zone)
        if opens > local and day.isoweekday() in hours["days"]:
            return opens.astimezone(now.tzinfo)
    return now

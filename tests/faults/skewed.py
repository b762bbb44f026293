"""A process on a host whose clock is wrong: `python -m tests.faults.skewed SECONDS COMMAND…`

The clock of the world is moved before the service is loaded; the monotonic one is as it is, as on
a real host. The service itself knows nothing of this.
"""

import datetime
import sys
import time
from typing import Any

import asyncpg  # compiled for the real datetime type; it would warn about ours

assert asyncpg
REAL = datetime.datetime


def move(seconds: float) -> None:
    """From now on the process believes that it is `seconds` later."""
    clock, clock_ns, ahead = time.time, time.time_ns, datetime.timedelta(seconds=seconds)

    class Meta(type):
        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, REAL)

    class Moved(REAL, metaclass=Meta):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return REAL.now(tz) + ahead

    time.time = lambda: clock() + seconds
    time.time_ns = lambda: clock_ns() + int(seconds * 1e9)
    datetime.datetime = Moved  # type: ignore[misc]


if __name__ == "__main__":
    move(float(sys.argv[1]))
    from app.cli import run_command

    sys.exit(run_command(sys.argv[2:]))

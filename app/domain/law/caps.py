"""How many texts a phone may get in 24 hours, and when one more may go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

CAP_TIME = timedelta(hours=24)
CountedTexts = Literal["matter", "marketing", "first_contact", "without_reply"]
"""What a cap counts: marketing texts of one campaign; all marketing texts; first contacts; texts since the lead last
wrote."""


@dataclass(frozen=True, slots=True)
class Cap:
    rule: str
    words: str
    limit: int
    counts: CountedTexts
    citation: str | None = None


@dataclass(frozen=True, slots=True)
class CountedText:
    """A text to a phone that counts: it left, or will leave, at this time."""

    at: datetime
    purpose: str | None
    matter: str | None
    """The campaign."""
    is_first_contact: bool


def is_counted(text: CountedText, cap: Cap, matter: str | None, last_inbound_at: datetime | None) -> bool:
    """Whether the text counts against the cap of another text, which has the matter."""
    match cap.counts:
        case "matter":
            return text.purpose == "marketing" and text.matter == matter
        case "marketing":
            return text.purpose == "marketing"
        case "first_contact":
            return text.is_first_contact
        case "without_reply":
            return last_inbound_at is None or text.at > last_inbound_at


def is_free(at: datetime, times: Sequence[datetime], limit: int) -> bool:
    """Whether one more text at this time leaves each 24 hours with at most `limit` texts."""
    starts = [at, *(time for time in times if at - CAP_TIME < time < at)]
    return all(sum(start <= time < start + CAP_TIME for time in times) < limit for start in starts)


def find_free_time(at: datetime, times: Sequence[datetime], limit: int) -> datetime | None:
    """The first time from `at` on at which one more text may go; None: never."""
    later_times = sorted(time + CAP_TIME for time in times if time + CAP_TIME > at)
    return next((time for time in (at, *later_times) if is_free(time, times, limit)), None) if limit else None

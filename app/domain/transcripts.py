"""The entries of a transcript, in the same shape for the API and for agents."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from typing_extensions import TypedDict

MAX_ENTRIES = 1000
"""The newest entries that a transcript inside another object holds."""


def format_time(at: datetime) -> str:
    """ISO 8601 in UTC, with `Z`."""
    return f"{at.astimezone(UTC).isoformat()[:-6]}Z"


@dataclass(frozen=True, slots=True)
class TranscriptText:
    """A text or note of a thread."""

    message_id: str
    seq: int | None
    """None: not released yet (scheduled, or held for quiet hours)."""
    role: str
    source: str
    text: str
    media: list[dict[str, Any]]
    status: str
    created_at: datetime
    possible_opt_out: bool


class Entry(TypedDict):
    timestamp: datetime
    role: str
    message: str
    source: str
    messageId: str
    seq: int | None
    status: str
    media: list[dict[str, Any]]


def build_entry(text: TranscriptText) -> Entry:
    return {
        "timestamp": text.created_at,
        "role": text.role,
        "message": text.text,
        "source": text.source,
        "messageId": text.message_id,
        "seq": text.seq,
        "status": text.status,
        "media": text.media,
    }

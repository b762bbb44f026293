"""The entries of a transcript, in the same shape for the API and for agents."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MAX_ENTRIES = 1000
"""The newest entries that a transcript inside another object holds."""


def format_time(at: datetime) -> str:
    """ISO 8601 in UTC, with `Z`."""
    return f"{at.astimezone(UTC).isoformat()[:-6]}Z"


def build_entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `messages` as `{timestamp, role, message, source, messageId, seq, status, media}`.
    The timestamp is a datetime."""
    return {
        "timestamp": row["created_at"],
        "role": row["role"],
        "message": row["text"],
        "source": row["source"],
        "messageId": row["message_id"],
        "seq": row["seq"],
        "status": row["status"],
        "media": row["media"],
    }

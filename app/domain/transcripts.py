"""The shape of a transcript's entry, the same for the API and for the agent (contract 4)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MAX_ENTRIES = 1000
"""Entries that a transcript inside another object holds: the newest ones."""


def format_time(at: datetime) -> str:
    """ISO 8601 in UTC, with `Z`."""
    return f"{at.astimezone(UTC).isoformat()[:-6]}Z"


def build_entry(row: Mapping[str, Any]) -> dict[str, Any]:
    """A message row as `{timestamp, role, message, source, messageId, seq, status, media}`; the
    timestamp a datetime still."""
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

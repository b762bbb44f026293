"""The entries of a transcript, in the same shape for the API and for agents."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NotRequired

from typing_extensions import TypedDict

MAX_ENTRIES = 1000
"""The newest entries that a transcript inside another object holds."""


def format_time(at: datetime) -> str:
    """ISO 8601 in UTC, with `Z`."""
    return f"{at.astimezone(UTC).isoformat()[:-6]}Z"


@dataclass(slots=True)
class TranscriptText:
    """A text or note of a thread. Not frozen, nor are those made of it: a thousand are built for a
    transcript, in a quarter of the time."""

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
    opt_out: bool | None
    """Whether a person decided that the text is an opt-out; None: nobody has decided."""


class EntryNote(TypedDict):
    """What a note has that somebody wrote for colleagues."""

    author: str | None
    """`person:…` or `key:…`."""
    mentions: list[str]
    """The people's ids."""
    forAgent: bool
    """The agent gets it with its next turns."""


class Entry(TypedDict):
    timestamp: datetime
    role: str
    message: str
    source: str
    messageId: str
    seq: int | None
    status: str
    media: list[dict[str, Any]]
    possibleOptOut: NotRequired[bool]
    """Present when the text may be, or might have been, an opt-out that was not clear."""
    optOut: NotRequired[bool | None]
    """Present beside `possibleOptOut`: what a person decided; null while nobody has."""
    note: NotRequired[EntryNote]
    """Present in a note that somebody wrote for colleagues."""


def build_entry(text: TranscriptText) -> Entry:
    entry: Entry = {
        "timestamp": text.created_at,
        "role": text.role,
        "message": text.text,
        "source": text.source,
        "messageId": text.message_id,
        "seq": text.seq,
        "status": text.status,
        "media": text.media,
    }
    if text.possible_opt_out or text.opt_out is not None:
        entry |= {"possibleOptOut": True, "optOut": text.opt_out}
    return entry

"""What is sent and answered, as typed dictionaries. Answers may have more fields than stand here."""

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict


class SendOptions(TypedDict, total=False):
    """What a text may have beside its lead and its words."""

    to: str
    from_: str
    campaign_id: str
    interaction_id: str
    source: Literal["api", "sms_agent"]
    turn_id: str
    agent_mode: bool
    send_at: datetime
    cancel_on_reply: bool
    validity_seconds: int
    media_urls: list[str]


class BulkText(SendOptions):
    lead_id: str
    message: str


class Rung(TypedDict):
    field: str
    rule: str
    value: str | None


Forecast = TypedDict(
    "Forecast",
    {
        "to": str,
        "from": str,
        "campaignId": str | None,
        "provider": str,
        "encoding": str,
        "segments": int,
        "resolution": list[Rung],
        "status": str,
    },
)
"""What a dry run says."""


class Sent(Forecast):
    messageId: str
    interactionId: str


class Fault(TypedDict):
    code: str
    message: str
    details: list[str]


class BulkResult(TypedDict):
    """Both ids, or an error."""

    index: int
    messageId: NotRequired[str]
    interactionId: NotRequired[str]
    error: NotRequired[Fault]


class BulkAccepted(TypedDict):
    bulkId: str
    accepted: int
    refused: int
    results: list[BulkResult]


class Entry(TypedDict):
    """One text of a transcript."""

    timestamp: str
    role: Literal["agent", "user"]
    message: str
    source: str
    messageId: str
    seq: int
    status: str
    media: list[dict[str, Any]]


class Interaction(TypedDict):
    interactionId: str
    leadId: str
    campaignId: str | None
    status: str
    phone: str
    summary: str | None
    lastMessageAt: str
    unreadCount: int
    transcript: NotRequired[list[Entry]]
    """Only of one interaction, not in lists."""


class Event(TypedDict):
    eventId: str
    type: Literal["message", "receipt", "turn", "status", "consent"]
    interactionId: str | None
    data: dict[str, Any]
    at: str

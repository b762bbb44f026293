"""What a caller asks to send, and what became of it."""

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.domain.problems import Invalid, Problem
from app.domain.words import Encoding, MessageStatus, Source

LONGEST_TEXT = 1600
VALIDITY = timedelta(seconds=14_400)
LANE_REPLY, LANE_BULK = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One text to send. Its ids are made by the asker, so that it can be tried again.

    `to` and `sender` are E.164 or None to be resolved; `interaction_id` names a thread to
    append to; `thread_id` is the id of the thread if this opens one.
    """

    tenant_id: str
    message_id: str
    thread_id: str
    lead_id: str
    text: str
    source: Source
    actor: str
    to: str | None = None
    sender: str | None = None
    campaign_id: str | None = None
    interaction_id: str | None = None
    agent_mode: bool | None = None
    turn_id: str | None = None
    media: tuple[str, ...] = ()
    validity: timedelta = VALIDITY
    lane: int = LANE_REPLY


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rule decided a field, and its value."""

    field: str
    rule: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """An order with everything found: where from, where to, through whom."""

    order: Order
    to: str
    sender: str
    account_id: str
    provider: str
    lead_id: str
    campaign_id: str | None
    encoding: Encoding
    segments: int
    agent_mode: bool
    """Of the thread, if this order opens it."""
    resolution: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """A text that is safely owed to the carrier."""

    message_id: str
    interaction_id: str
    status: MessageStatus
    resolved: Resolved
    seq: int | None = None
    send_at: datetime | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Refused:
    """One order of a list that may not be sent, and why."""

    problem: Problem


def readable(text: str, field_name: str = "message") -> str:
    """`text` if it may be sent as it is; raises `Invalid` naming the field."""
    if not text.strip():
        raise Invalid(details=[f"{field_name}: must not be blank"])
    if len(text) > LONGEST_TEXT:
        raise Invalid(details=[f"{field_name}: is longer than {LONGEST_TEXT} characters"])
    return text


def answer(sent: Sent) -> dict[str, Any]:
    """The `data` of a send's answer (contract 3)."""
    found = sent.resolved
    return {
        "messageId": sent.message_id,
        "interactionId": sent.interaction_id,
        "status": sent.status,
        "to": found.to,
        "from": found.sender,
        "campaignId": found.campaign_id,
        "provider": found.provider,
        "encoding": found.encoding,
        "segments": found.segments,
        "resolution": [asdict(rule) for rule in found.resolution],
    }

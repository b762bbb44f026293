"""Orders to send a text, and their results: resolved, accepted or refused."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.idempotency import IdempotencyKey
from app.domain.law.gates import Gate, build_verdict
from app.domain.problems import Invalid, Problem
from app.domain.segments import REMOVED_CHARACTERS
from app.domain.transcripts import format_time
from app.domain.words import Encoding, MessageStatus, Purpose, Source

MAX_TEXT_LENGTH = 1600
INVISIBLE_PATTERN = re.compile(
    r"[\s\x00-\x1F\x7F-\x9F"  # white space of any width, control characters
    # Default_Ignorable_Code_Point of Unicode: joiners, direction marks, fillers, variation
    # selectors, tags
    r"\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E"
    r"\u2060-\u206F\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3"
    r"\U0001D173-\U0001D17A\U000E0000-\U000E0FFF"
    # Blanks, fillers and anchors that Unicode classifies as letters, marks or symbols
    r"\u2800\uFFF9-\uFFFC\U0001107F\U00013430-\U0001343F\U00013441\U00013442\U00016FE4"
    r"\U0001D159]*"
)
"""A text with no visible character. Emoji contain joiners and selectors, but never only those."""
REPLY_VALIDITY = timedelta(seconds=14_400)
BULK_VALIDITY = timedelta(seconds=86_400)
SEND_AT_TOLERANCE = timedelta(seconds=60)
"""A `sendAt` up to this far in the past means now."""
MAX_SEND_AHEAD = timedelta(days=35)
LANE_REPLY, LANE_BULK = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to send one text. The caller makes its ids, so that it can be tried again.

    `to` and `sender` are E.164, or None to be resolved. `interaction_id` names an existing thread;
    `thread_id` is the new thread's id, in case the text opens one.
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
    validity: timedelta = REPLY_VALIDITY
    """Counted from the time at which the text may first be sent."""
    lane: int = LANE_REPLY
    send_at: datetime | None = None
    cancel_on_reply: bool = False
    bulk_id: str | None = None
    agent_id: str | None = None
    """For an agent's text: the agent, whose brake applies."""
    delay: timedelta = timedelta()
    """For an agent's text: the agent's reply delay."""
    is_guarded: bool = False
    """For an agent's text: it is not sent if the lead wrote again after its turn."""
    purpose: Purpose | None = None
    """None: what the campaign is for, or conversational for an answer."""
    idempotency_key: IdempotencyKey | None = None
    """The key under which `send.accept_texts` stores the answer; None: no key, or the caller stores
    the answer."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule that decided a field, and the value."""

    field: str
    rule: str
    value: str | None


@dataclass(frozen=True, slots=True)
class ResolvedOrder:
    """An order with its recipient, sender and account resolved."""

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
    """The agent mode of the thread, if this order opens it."""
    text: str
    """The text as it is stored and sent; with GSM replacements if the tenant wants them."""
    culprit: str | None = None
    """The first character that forces UCS-2."""
    now: datetime | None = None
    """The database's time when the order was resolved."""
    due: datetime | None = None
    """When the text may first be sent; None: at once."""
    held_until: datetime | None = None
    """When the rules let the text go; None: they do not hold it."""
    gate: Gate | None = None
    """What the rules say about the text; None: there are none."""
    per_day: int | None = None
    """The tenant's daily limit of texts; None: no limit."""
    has_agent_mode: bool = False
    """The order wants agent mode, and its thread had it when the order was resolved: there is nothing to switch."""
    is_exempt: bool = False
    """Sent even to a suppressed phone: the answer to STOP or HELP."""
    resolution: tuple[Rule, ...] = ()

    @property
    def status(self) -> MessageStatus:
        """The status with which the text is stored."""
        waits = self.due is not None and self.order.send_at is not None
        return "scheduled" if waits else "queued"


@dataclass(frozen=True, slots=True)
class AcceptedText:
    """A text that was stored and is owed to the carrier."""

    message_id: str
    interaction_id: str
    resolved_order: ResolvedOrder
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedOrder:
    """An order that may not be sent, and why."""

    problem: Problem


def is_blank(text: str) -> bool:
    """Whether nothing of the text can be seen."""
    return INVISIBLE_PATTERN.fullmatch(text) is not None


def find_fault(text: str) -> str | None:
    """Why this exact text may not be sent; None: it may."""
    if is_blank(text):
        return "must not be blank"
    if len(text) > MAX_TEXT_LENGTH:
        return f"is longer than {MAX_TEXT_LENGTH} characters"
    return None


def find_permanent_fault(text: str) -> str | None:
    """Why the text may not be sent under any settings of the tenant; None: it may. A text that is
    too long may get shorter by GSM replacements."""
    return find_fault(text.translate(REMOVED_CHARACTERS) if len(text) > MAX_TEXT_LENGTH else text)


def require_sendable(text: str, field_name: str = "message") -> str:
    """Returns `text`; raises `Invalid` naming the field if it has a permanent fault. `commands.send` later
    judges the text as it will be sent."""
    if fault := find_permanent_fault(text):
        raise Invalid(details=[f"{field_name}: {fault}"])
    return text


def build_answer(text: AcceptedText) -> dict[str, Any]:
    """The `data` of the answer to a send."""
    return {
        "messageId": text.message_id,
        "interactionId": text.interaction_id,
        **build_order_data(text.resolved_order),
    }


def build_order_data(resolved_order: ResolvedOrder) -> dict[str, Any]:
    """The `data` of the answer to a send without its ids; also for a dry run."""
    held_fields: dict[str, Any] = (
        {"heldUntil": format_time(resolved_order.held_until)} if resolved_order.held_until else {}
    )
    if resolved_order.gate:
        held_fields["verdict"] = build_verdict(resolved_order.gate, resolved_order.due or resolved_order.now)
    return {
        "status": resolved_order.status,
        "to": resolved_order.to,
        "from": resolved_order.sender,
        "campaignId": resolved_order.campaign_id,
        "provider": resolved_order.provider,
        "encoding": resolved_order.encoding,
        "segments": resolved_order.segments,
        "resolution": [
            {"field": rule.field, "rule": rule.rule, "value": rule.value} for rule in resolved_order.resolution
        ],
        **held_fields,
    }

"""What a caller asks to send, and what became of it."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.idempotency import IdempotencyKey
from app.domain.problems import Invalid, Problem
from app.domain.segments import DROPPED
from app.domain.transcripts import format_time
from app.domain.words import Encoding, MessageStatus, Source

MAX_TEXT_LENGTH = 1600
NOTHING_SEEN = re.compile(
    r"[\s\x00-\x1F\x7F-\x9F"  # white space of any width, control characters
    # What Unicode calls Default_Ignorable_Code_Point: joiners, marks of direction, fillers,
    # variation selectors, tags
    r"\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E"
    r"\u2060-\u206F\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3"
    r"\U0001D173-\U0001D17A\U000E0000-\U000E0FFF"
    # Blanks, fillers and anchors that it counts among the letters, marks and symbols
    r"\u2800\uFFF9-\uFFFC\U0001107F\U00013430-\U0001343F\U00013441\U00013442\U00016FE4"
    r"\U0001D159]*"
)
"""A text in which nothing can be seen. Emoji need joiners and selectors, but not those alone."""
REPLY_VALIDITY = timedelta(seconds=14_400)
BULK_VALIDITY = timedelta(seconds=86_400)
SEND_AT_TOLERANCE = timedelta(seconds=60)
"""A `sendAt` that far in the past still means now."""
MAX_SEND_AHEAD = timedelta(days=35)
QUIET_HOURS_REASON = "quiet hours"
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
    validity: timedelta = REPLY_VALIDITY
    """Counted from when it may first leave."""
    lane: int = LANE_REPLY
    send_at: datetime | None = None
    cancel_on_reply: bool = False
    bulk_id: str | None = None
    agent_id: str | None = None
    """For an agent's text: whose brake holds it."""
    delay: timedelta = timedelta()
    """An agent's natural pace."""
    is_guarded: bool = False
    """For an agent's text: it does not leave any more once the lead wrote after its turn."""
    idempotency_key: IdempotencyKey | None = None
    """For `send.accept_texts` to keep with the answer; None also where somebody else does that."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rule decided a field, and its value."""

    field: str
    rule: str
    value: str | None


@dataclass(frozen=True, slots=True)
class ResolvedOrder:
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
    text: str
    """As it is stored and sent: the order's, or with GSM replacements where the tenant wants them."""
    culprit: str | None = None
    """The first character that forces UCS-2."""
    now: datetime | None = None
    """The database's clock when it was judged."""
    due: datetime | None = None
    """When it may first leave; None: at once."""
    held_until: datetime | None = None
    per_day: int | None = None
    """The tenant's limit of texts a day, if it has one."""
    is_exempt: bool = False
    """Goes to a suppressed phone all the same: the answer to STOP or HELP."""
    resolution: tuple[Rule, ...] = ()

    @property
    def status(self) -> MessageStatus:
        """What the text is when it is stored."""
        waits = self.due is not None and self.order.send_at is not None
        return "scheduled" if waits else "queued"


@dataclass(frozen=True, slots=True)
class AcceptedText:
    """A text that is safely owed to the carrier."""

    message_id: str
    interaction_id: str
    resolved_order: ResolvedOrder
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedOrder:
    """One order of a list that may not be sent, and why."""

    problem: Problem


def unfit(text: str) -> str | None:
    """Why the text may not leave as it is; None: it may."""
    if NOTHING_SEEN.fullmatch(text):
        return "must not be blank"
    if len(text) > MAX_TEXT_LENGTH:
        return f"is longer than {MAX_TEXT_LENGTH} characters"
    return None


def hopeless(text: str) -> str | None:
    """Why the text may not leave, whatever the tenant's settings make of it on its way."""
    return unfit(text.translate(DROPPED) if len(text) > MAX_TEXT_LENGTH else text)


def require_sendable(text: str, field_name: str = "message") -> str:
    """`text`, unless it is hopeless; raises `Invalid` naming the field. `commands.send` judges
    what will leave."""
    if why := hopeless(text):
        raise Invalid(details=[f"{field_name}: {why}"])
    return text


def build_answer(text: AcceptedText) -> dict[str, Any]:
    """The `data` of a send's answer (contract 3)."""
    return {
        "messageId": text.message_id,
        "interactionId": text.interaction_id,
        **build_order_data(text.resolved_order),
    }


def build_order_data(resolved_order: ResolvedOrder) -> dict[str, Any]:
    """What a send's answer says besides ids: a dry run's too."""
    held_fields = {"heldUntil": format_time(resolved_order.held_until)} if resolved_order.held_until else {}
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

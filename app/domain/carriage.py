"""Values between the service and a carrier: what goes out, what came of it, what comes in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal
from urllib.parse import parse_qsl

from app.domain.optout import ControlWord
from app.domain.words import Capability, MessageStatus

FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's account with a provider, its credentials open. Never logged."""

    tenant_id: str
    account_id: str
    provider: str
    credentials: Mapping[str, str] = field(repr=False)
    base_url: str | None = None


def build_webhook_url(base_url: str, provider: str, account_id: str, kind: Literal["inbound", "status"]) -> str:
    """The public address where the carrier posts texts (inbound) or receipts (status)."""
    return f"{base_url}/webhooks/{provider}/{account_id}/{kind}"


@dataclass(frozen=True, slots=True)
class OutgoingText:
    """One text to hand to a carrier. `to` and `sender` are E.164; `status_url` is the public
    address for its receipts and names the message; `validity` is what remains of it."""

    message_id: str
    to: str
    sender: str
    text: str
    media: tuple[str, ...]
    status_url: str
    validity: timedelta


Verdict = Literal["accepted", "later", "refused", "opted_out", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt to send came to.

    accepted: the carrier has it, under `provider_message_id`. later: surely not taken, may be
    repeated (after `retry_after` seconds if given). refused, opted_out: surely not taken and
    final, with the vendor's `code`. unknown: it may have been taken; never repeat blindly.
    """

    verdict: Verdict
    provider_message_id: str | None = None
    code: str | None = None
    detail: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """An attachment, kept as its URL."""

    url: str
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class TextPart:
    """Which part of a longer text this is, where the carrier leaves the joining to us."""

    reference: str
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text as a carrier reported it; `sender` and `to` through `phones.from_carrier`."""

    provider_id: str
    sender: str
    to: str
    text: str
    media: tuple[Media, ...] = ()
    sent_at: datetime | None = None
    part: TextPart | None = None
    taken_as: ControlWord | None = None
    """What the carrier itself took the text for, and answered; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What a carrier does about opt-outs by itself."""

    answers: frozenset[str] = frozenset()
    """Whole texts, in lower case, that it answers, so that we must not."""
    yes_restores: bool = False
    """It takes YES for START from a number that is blocked."""

    def answered(self, text: InboundText, word: ControlWord | None) -> bool:
        """Whether the carrier answered the text as this word: it says so, or the text is one of
        its own words and nothing more."""
        if text.taken_as:
            return text.taken_as == word
        return text.text.strip().casefold() in self.answers


@dataclass(frozen=True, slots=True)
class Receipt:
    """A carrier's later word about a text of ours. Found by `message_id` (ours, from the
    callback URL or reference) first, by `provider_message_id` second. `status` is None for a
    word we do not know: nothing changes."""

    provider_message_id: str | None
    status: MessageStatus | None
    message_id: str | None = None
    sender: str | None = None
    to: str | None = None
    code: str | None = None
    meaning: str | None = None
    """The code in plain words, where we know it."""
    has_opted_out: bool = False
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LookupMatch:
    """What a look-up says of a text: the carrier's id and status, if it has it. Not `sure`: an
    entry of the same numbers and time whose words are others, or none. Carriers trim, recode and
    shorten words, so that it may be the text all the same."""

    provider_message_id: str
    status: MessageStatus | None
    created_at: datetime | None = None
    code: str | None = None
    sure: bool = True


@dataclass(frozen=True, slots=True)
class VendorNumber:
    """A number that the vendor says the account has. `inbound_url`: where the vendor posts
    inbound texts of it; "" when nowhere, None when the vendor does not say."""

    phone_number: str
    capabilities: tuple[Capability, ...]
    label: str | None = None
    inbound_url: str | None = None
    inbound_method: str | None = None


@dataclass(frozen=True, slots=True)
class NumberPage:
    """One page of numbers, and the cursor of the next (None: this was the last)."""

    numbers: tuple[VendorNumber, ...]
    next_page: str | None = None


@dataclass(frozen=True, slots=True)
class InboundPage:
    """One page of inbound texts from the vendor's own record, and the cursor of the next."""

    texts: tuple[InboundText, ...]
    next_page: str | None = None


@dataclass(frozen=True)
class WebhookRequest:
    """A webhook request as received: `url` is the public one the vendor was given (with the
    query), `headers` have lower-case names, `body` is raw."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: bytes

    @cached_property
    def form(self) -> list[tuple[str, str]] | None:
        """What the body says as a form, untrimmed, the empty too; None: it is none."""
        if not self.headers.get("content-type", "").lower().startswith(FORM_CONTENT_TYPE):
            return None
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)

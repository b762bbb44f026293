"""Values that are exchanged with carriers: outbound texts, outcomes, inbound texts, receipts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from app.domain import optout
from app.domain.optout import ControlWord, Judgment
from app.domain.quoting import has_quoting_shape
from app.domain.storable import Storable
from app.domain.words import Capability, MessageStatus

FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's account with a provider, with decrypted credentials. Never log it."""

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
    """A text to hand to a carrier. `to` and `sender` are E.164; `status_url` is the public URL for
    its receipts and contains the message id; `validity` is the time left to deliver it."""

    message_id: str
    to: str
    sender: str
    text: str
    media: tuple[str, ...]
    status_url: str
    validity: timedelta


@dataclass(frozen=True, slots=True)
class Price:
    """What a text costs, with the currency by its three letters (ISO 4217)."""

    amount: Decimal
    currency: str


Verdict = Literal["accepted", "later", "refused", "opted_out", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome(Storable):
    """The outcome of an attempt to send.

    accepted: the carrier has the text, under `provider_message_id`. later: it was surely not taken,
    and may be repeated (after `retry_after` seconds, if given). refused, opted_out: surely not taken
    and final, with the vendor's `code`. unknown: it may have been taken; never repeat it blindly."""

    IDS = ("provider_message_id", "code")
    TEXTS = ("detail",)

    verdict: Verdict
    provider_message_id: str | None = None
    code: str | None = None
    detail: str | None = None
    retry_after: float | None = None
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Media(Storable):
    """An attachment, as a URL."""

    TEXTS = ("url", "content_type")

    url: str
    content_type: str | None = None

    @property
    def is_layout(self) -> bool:
        """Whether it is the SMIL file by which handsets arrange an MMS: nothing for people."""
        return self._is_type("application/smil", "application/smil+xml", endings=(".smil", ".smi"))

    @property
    def is_plain_text(self) -> bool:
        """Whether it is a text of the lead: handsets send the words of an MMS as a part like any other."""
        return self._is_type("text/plain", endings=(".txt",))

    def _is_type(self, *types: str, endings: tuple[str, ...]) -> bool:
        """The type decides; the ending of the address only where the carrier gives no type."""
        content_type = (self.content_type or "").partition(";")[0].strip().lower()
        return content_type in types if content_type else urlsplit(self.url).path.lower().endswith(endings)


@dataclass(frozen=True, slots=True)
class TextPart(Storable):
    """The place of a part in a long text that the carrier does not join: `number` 1 to `total`, one `reference`."""

    IDS = ("reference",)

    reference: str
    number: int
    total: int


@dataclass(frozen=True)
class InboundText(Storable):
    """A text as a carrier reported it. `sender` and `to` have passed `phones.from_carrier`."""

    IDS = ("provider_id", "sender", "to")
    TEXTS = ("text",)

    provider_id: str
    sender: str
    to: str
    text: str
    media: tuple[Media, ...] = ()
    sent_at: datetime | None = None
    part: TextPart | None = None
    taken_as: ControlWord | None = None
    """The control word that the carrier saw in the text and answered; None: it named none."""
    pieces: tuple[str, ...] = ()
    """The texts that were joined to `text`, if there were several: a STOP in one of them is a STOP."""

    def with_pieces(self, pieces: Sequence[str]) -> "InboundText":
        """The text followed by these texts, each on lines of its own and only once."""
        all_pieces = tuple(dict.fromkeys(piece for piece in (self.text, *pieces) if piece.strip()))
        if len(all_pieces) < 2:
            return replace(self, text=all_pieces[0] if all_pieces else self.text)
        return replace(self, text="\n".join(all_pieces), pieces=all_pieces)

    @cached_property
    def judgment(self) -> Judgment:
        """What the text is if its phone is suppressed: only then can YES mean START."""
        return self._judge(yes_restores=True, is_suppressed=True)

    @cached_property
    def may_quote(self) -> bool:
        """Whether it may matter what the text quotes from ours, or how we call ourselves: by its shape, or by what it
        seems to be."""
        seems_a_wish = self.judgment.word is not None or self.judgment.is_possible
        return seems_a_wish or has_quoting_shape(self.text) or optout.may_address_us(self.text)

    def judge_known(self, is_suppressed: bool, yes_restores: bool, our_texts: Sequence[str] = ()) -> Judgment:
        """What the text is, now that it is known whether its phone is suppressed, whether its carrier
        takes YES for START, and what the lead may have quoted. Judges again only if that can make a
        difference."""
        if not our_texts and (self.judgment.word != "start" or (is_suppressed and yes_restores)):
            return self.judgment
        return self._judge(yes_restores, is_suppressed, our_texts)

    def _judge(self, yes_restores: bool, is_suppressed: bool, our_texts: Sequence[str] = ()) -> Judgment:
        judgments = (
            optout.judge_text(
                text,
                taken_as=self.taken_as,
                yes_restores=yes_restores,
                is_suppressed=is_suppressed,
                our_texts=our_texts,
            )
            for text in (self.text, *self.pieces)
        )
        whole = next(judgments)
        return whole if whole.word == "stop" else next((j for j in judgments if j.word == "stop"), whole)


@dataclass(frozen=True, slots=True)
class Habits:
    """What a carrier does about opt-outs on its own."""

    answers: frozenset[str] = frozenset()
    """Texts, whole and in lower case, that the carrier answers, so that we must not."""
    yes_restores: bool = False
    """The carrier takes YES for START from a blocked number."""

    def has_answered(self, text: InboundText, word: ControlWord | None) -> bool:
        """Whether the carrier has answered the text as this `word`: it reports so, or the whole text
        is one of `answers`."""
        if text.taken_as:
            return text.taken_as == word
        return text.text.strip().casefold() in self.answers


@dataclass(frozen=True, slots=True)
class Receipt(Storable):
    """A carrier's later report about a text we sent. The text is found by `message_id` first (ours, from the callback
    URL or reference), then by `provider_message_id`. `status` None: one that we do not know; nothing changes."""

    IDS = ("provider_message_id", "message_id", "sender", "to", "code", "part")

    provider_message_id: str | None
    status: MessageStatus | None
    message_id: str | None = None
    sender: str | None = None
    to: str | None = None
    code: str | None = None
    meaning: str | None = None
    """The code in plain words, if we know it."""
    has_opted_out: bool = False
    at: datetime | None = None
    part: str | None = None
    """What names the part of a long text, where the carrier reports the parts one by one."""
    price: Price | None = None
    is_price_of_part: bool = False
    """The price is that of one part; each part costs the same."""


@dataclass(frozen=True, slots=True)
class LookupMatch(Storable):
    """A text that a look-up found at the carrier. Not `sure`: the numbers and the time agree, but the
    words differ or are missing. Carriers trim, recode and shorten texts, so it may still be ours."""

    IDS = ("provider_message_id", "code")

    provider_message_id: str
    status: MessageStatus | None
    created_at: datetime | None = None
    code: str | None = None
    sure: bool = True
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class VendorNumber(Storable):
    """A number of the account, as the vendor lists it. `inbound_url` is the webhook for its inbound
    texts; "": there is none; None: the vendor does not tell."""

    IDS = ("phone_number",)
    TEXTS = ("label", "inbound_url", "inbound_method")

    phone_number: str
    capabilities: tuple[Capability, ...]
    label: str | None = None
    inbound_url: str | None = None
    inbound_method: str | None = None


@dataclass(frozen=True, slots=True)
class NumberPage:
    """A page of numbers, and the cursor of the next page (None: this is the last)."""

    numbers: tuple[VendorNumber, ...]
    next_page: str | None = None


@dataclass(frozen=True, slots=True)
class InboundPage:
    """A page of inbound texts from the vendor's record, and the cursor of the next page (None: this is the last)."""

    texts: tuple[InboundText, ...]
    next_page: str | None = None


@dataclass(frozen=True, slots=True)
class PricedText(Storable):
    """What the vendor's record says that a text of ours costs."""

    IDS = ("provider_message_id",)

    provider_message_id: str
    price: Price


@dataclass(frozen=True, slots=True)
class PricePage(Storable):
    """A page of prices from the vendor's record, and the cursor of the next page (None: this is the last)."""

    TEXTS = ("next_page",)

    texts: tuple[PricedText, ...]
    next_page: str | None = None


@dataclass(frozen=True)
class WebhookRequest:
    """A webhook request as received. `url` is the public URL that the vendor called, with its query;
    `headers` have lower-case names; `body` is raw."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: tuple[tuple[str, str], ...]
    body: bytes

    @cached_property
    def form(self) -> list[tuple[str, str]] | None:
        """The fields of a form body, untrimmed, with empty ones; None: the body is no form."""
        if not self.headers.get("content-type", "").lower().startswith(FORM_CONTENT_TYPE):
            return None
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)

"""How SMS carriers speak: one file each, pure. They build requests, judge answers, check
signatures and read webhooks; httpx's Request and Response are the values, and nothing here
opens a connection. A new carrier is one file with the same anatomy, one line in `REGISTRY`
and one table of cases as its test.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import httpx

from app.domain.carriage import (
    Account,
    InboundPage,
    InboundText,
    LookupMatch,
    NumberPage,
    Outcome,
    OutgoingText,
    Receipt,
    WebhookRequest,
)
from app.domain.phones import NumberKind
from app.providers import bandwidth, plivo, simulator, sinch, telnyx, twilio, vonage


class Provider(Protocol):
    """The anatomy of a carrier's file, in reading order."""

    CREDENTIALS: tuple[str, ...]
    """Names a tenant must give; `OPTIONAL_CREDENTIALS` it may."""
    OPTIONAL_CREDENTIALS: tuple[str, ...]
    WEBHOOK_ANSWER: tuple[str, bytes]
    """Content type and body of the 2xx that the carrier expects on a webhook."""
    TAKES_GET: bool
    """Whether the vendor may also call webhooks by GET."""
    SEGMENTS_PER_SECOND: Mapping[NumberKind, float]
    """Segments a second that a number of each kind may send, unless the tenant says more."""
    ERROR_MEANINGS: Mapping[str, str]
    """What the vendor's codes mean, in plain words with advice, for people."""
    ANSWERS: frozenset[str]
    """The STOP and HELP words, in lower case, that the vendor answers by itself when they are the
    whole text, so that we must not; of those that its pages disagree about, none."""
    YES_RESTORES: bool
    """Whether the vendor takes YES for START from a number that is blocked."""

    def build_send_request(self, account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
        """The HTTP request that sends `text`, our message id in it."""

    def read_outcome(self, response: httpx.Response) -> Outcome:
        """What an answer to `build_send_request` means. A 5xx is unknown: it may have been taken."""

    def is_genuine(self, account: Account, hook: WebhookRequest, now: datetime) -> bool:
        """Whether the webhook bears the account's signature or credentials. Raises
        `Unavailable` where the vendor will then repeat it, properly signed."""

    def read_inbound(self, hook: WebhookRequest) -> list[InboundText]:
        """The texts in an inbound webhook; [] for a novelty."""

    def read_status(self, hook: WebhookRequest) -> list[Receipt]:
        """The receipts in a status webhook; [] for a novelty."""

    def build_lookup_request(self, account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
        """The request that asks for `text`, whose sending began at `since`; None where the
        vendor has no look-up."""

    def read_lookup(
        self, response: httpx.Response, text: OutgoingText, since: datetime
    ) -> Sequence[LookupMatch] | None:
        """Candidates for `text` in the answer, best first; [] when the carrier surely has
        nothing: each entry is surely another's. None when the answer says neither."""

    def build_numbers_request(self, account: Account, page: str | None) -> httpx.Request | None:
        """The request for a page of the account's numbers (`page`: a cursor of `read_numbers`);
        None where the vendor lists none."""

    def read_numbers(self, response: httpx.Response) -> NumberPage | None:
        """The numbers in the answer; None when it is no listing."""

    def build_history_request(self, account: Account, since: datetime, page: str | None) -> httpx.Request | None:
        """The request for inbound texts that came since; None where the vendor keeps none."""

    def read_history(self, response: httpx.Response, since: datetime) -> InboundPage | None:
        """The inbound texts in the answer, received at `since` or later; None when it is no
        such list."""

    def build_media_request(self, account: Account, url: str) -> httpx.Request:
        """The request for an attachment: with the account's credentials only where `url` is
        at the carrier's own host."""

    def list_secrets(self, account: Account) -> tuple[str, ...]:
        """Strings that must never stand in a log or an attempt's record."""


REGISTRY: dict[str, Provider] = {
    "simulator": simulator,
    "twilio": twilio,
    "telnyx": telnyx,
    "plivo": plivo,
    "bandwidth": bandwidth,
    "sinch": sinch,
    "vonage": vonage,
}

LOOKUP_DELAYS = (timedelta(seconds=15), timedelta(seconds=60))
"""When an unknown outcome is asked for, counted from the attempt."""

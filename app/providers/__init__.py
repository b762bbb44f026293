"""How SMS carriers speak, one file for each carrier. Pure: nothing here opens a connection.

A file builds `httpx.Request`s, reads `httpx.Response`s, checks signatures and reads webhooks, with
the help of `requests`, `reading` and `signatures`. A new carrier is one file with the functions of
`Provider`, one line in `REGISTRY`, and one table of cases as its test. A carrier with several APIs
is a package.
"""

from collections.abc import Callable, Mapping, Sequence
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
    PricePage,
    Receipt,
    WebhookRequest,
)
from app.domain.phones import NumberKind
from app.providers import bandwidth, plivo, simulator, sinch, telnyx, twilio, vonage


class Provider(Protocol):
    """What a carrier's file defines, in the order in which the files define it."""

    CREDENTIALS: tuple[str, ...]
    """Names of the credentials that a tenant must give."""
    OPTIONAL_CREDENTIALS: tuple[str, ...]
    """Names of the credentials that a tenant may give."""
    WEBHOOK_ANSWER: tuple[str, bytes]
    """Content type and body of the 2xx that the carrier expects on a webhook."""
    TAKES_GET: bool
    """Whether the vendor can be set to call webhooks by GET."""
    TAKES_NAMES: bool
    """Whether the vendor sends from a name of letters and digits instead of a number, where the
    recipient's country allows it."""
    SEGMENTS_PER_SECOND: Mapping[NumberKind, float]
    """Segments a second that a number of each kind may send, unless the tenant sets another rate."""
    ACCOUNT_CODES: frozenset[str]
    """Codes of a refused send that concern the account and not the text: it is suspended, out of
    credit, or its credentials are wrong. Every other text would be refused, too."""
    ERROR_MEANINGS: Mapping[str, str]
    """The vendor's error codes in plain words, with advice where there is some. People read them."""
    ANSWERED_WORDS: frozenset[str]
    """The STOP and HELP words, in lower case, that the vendor answers by itself when they are the
    whole text. We must not answer these a second time. Words on which the vendor's own pages
    disagree are left out."""
    YES_RESTORES: bool
    """Whether the vendor lifts its own block when the recipient texts YES."""

    def build_send_request(self, account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
        """The request that sends `text`. It carries our message id."""

    def read_outcome(self, response: httpx.Response) -> Outcome:
        """What the answer to a send means. A 5xx is `unknown`: the text may have been taken."""

    def is_genuine(self, account: Account, hook: WebhookRequest, now: datetime) -> bool:
        """Whether the webhook bears the account's signature or credentials. Raises
        `Unavailable` if the vendor is expected to repeat the webhook with a valid signature."""

    def read_inbound(self, hook: WebhookRequest) -> list[InboundText]:
        """The texts in an inbound webhook; [] for content that we do not know."""

    def read_status(self, hook: WebhookRequest) -> list[Receipt]:
        """The receipts in a status webhook; [] for content that we do not know."""

    def build_lookup_request(self, account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
        """The request that looks up `text`, which was first sent at `since`. None where the
        vendor has no look-up."""

    def read_lookup(
        self, response: httpx.Response, text: OutgoingText, since: datetime
    ) -> Sequence[LookupMatch] | None:
        """The entries that may be `text`, best first. [] when the carrier surely never took it.
        None when the answer proves neither."""

    def build_numbers_request(self, account: Account, page: str | None) -> httpx.Request | None:
        """The request for a page of the account's numbers; `page` is a cursor from
        `read_numbers`. None where the vendor has no such list."""

    def read_numbers(self, response: httpx.Response) -> NumberPage | None:
        """The numbers in the answer; None when it is not a list of numbers."""

    def build_history_request(self, account: Account, since: datetime, page: str | None) -> httpx.Request | None:
        """The request for the inbound texts since `since`; `page` is a cursor from
        `read_history`. None where the vendor keeps no such list."""

    def read_history(self, response: httpx.Response, since: datetime) -> InboundPage | None:
        """The inbound texts in the answer that were received at `since` or later; None when it
        is not such a list."""

    def build_media_request(self, account: Account, url: str) -> httpx.Request:
        """The request for an attachment. It carries the account's credentials only if `url` is
        at the carrier's own host."""

    def list_secrets(self, account: Account) -> tuple[str, ...]:
        """The strings that must never appear in a log or in an attempt's record."""


REGISTRY: dict[str, Provider] = {
    "simulator": simulator,
    "twilio": twilio,
    "telnyx": telnyx,
    "plivo": plivo,
    "bandwidth": bandwidth,
    "sinch": sinch,
    "vonage": vonage,
}

PRICE_READERS: Mapping[str, Callable[[httpx.Response], PricePage | None]] = {"twilio": twilio.read_prices}
"""Carriers that tell prices only in their record of texts, which `build_history_request` asks for."""
LOOKUP_DELAYS = (timedelta(seconds=15), timedelta(seconds=60))
"""How long after the attempt a text of unknown outcome is looked up."""

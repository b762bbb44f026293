"""How SMS carriers speak: one file each, pure. They build requests, judge answers, check
signatures and read webhooks; httpx's Request and Response are the values, and nothing here
opens a connection. A new carrier is one file with the same anatomy, one line in `REGISTRY`
and one table of cases as its test.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import httpx

from app.domain.carriage import (
    Account,
    Found,
    Hook,
    InboundText,
    Outcome,
    Outgoing,
    Receipt,
)
from app.providers import simulator, twilio


class Provider(Protocol):
    """The anatomy of a carrier's file, in reading order."""

    CREDENTIALS: tuple[str, ...]
    """Names a tenant must give; `OPTIONAL` ones it may."""
    OPTIONAL: tuple[str, ...]
    ANSWER: tuple[str, bytes]
    """Content type and body of the 2xx that the carrier expects on a webhook."""

    def request(self, account: Account, text: Outgoing, now: datetime) -> httpx.Request:
        """The HTTP request that sends `text`, our message id in it."""

    def outcome(self, response: httpx.Response) -> Outcome:
        """What an answer to `request` means. A 5xx is unknown: it may have been taken."""

    def genuine(self, account: Account, hook: Hook, now: datetime) -> bool:
        """Whether the webhook bears the account's signature or credentials."""

    def read_inbound(self, hook: Hook) -> list[InboundText]:
        """The texts in an inbound webhook; [] for a novelty."""

    def read_status(self, hook: Hook) -> list[Receipt]:
        """The receipts in a status webhook; [] for a novelty."""

    def lookup(self, account: Account, text: Outgoing, since: datetime) -> httpx.Request | None:
        """The request that asks for `text`, whose sending began at `since`; None where the
        vendor has no look-up."""

    def found(
        self, response: httpx.Response, text: Outgoing, since: datetime
    ) -> Sequence[Found] | None:
        """Candidates for `text` in the answer, best first; [] when the carrier surely has
        nothing; None when the answer says neither."""

    def secrets(self, account: Account) -> tuple[str, ...]:
        """Strings that must never stand in a log or an attempt's record."""

    def opting_out(self, code: str) -> bool:
        """Whether the vendor's code means that the recipient opted out."""


REGISTRY: dict[str, Provider] = {"simulator": simulator, "twilio": twilio}

LOOKUPS = (timedelta(seconds=15), timedelta(seconds=60))
"""When an unknown outcome is asked for, counted from the attempt."""

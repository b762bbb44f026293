"""Twilio Programmable Messaging, API 2010-04-01.

https://www.twilio.com/docs/messaging/api/message-resource
https://www.twilio.com/docs/usage/security#validating-requests
https://www.twilio.com/docs/api/errors

Twilio does not deduplicate and returns no reference of ours, so the StatusCallback URL of each
message carries our message id. A request that got a 5xx may have created the message.
"""

from collections.abc import Mapping

from app.domain.phones import NumberKind
from app.providers.twilio.errors import ACCOUNT_CODES, ERROR_MEANINGS
from app.providers.twilio.messages import (
    build_history_request,
    build_lookup_request,
    build_media_request,
    build_numbers_request,
    build_send_request,
    list_secrets,
    read_history,
    read_lookup,
    read_numbers,
    read_outcome,
    read_prices,
)
from app.providers.twilio.webhooks import is_genuine, read_inbound, read_status

__all__ = [
    "ACCOUNT_CODES",
    "ANSWERED_WORDS",
    "CREDENTIALS",
    "ERROR_MEANINGS",
    "OPTIONAL_CREDENTIALS",
    "SEGMENTS_PER_SECOND",
    "TAKES_GET",
    "TAKES_NAMES",
    "WEBHOOK_ANSWER",
    "YES_RESTORES",
    "build_history_request",
    "build_lookup_request",
    "build_media_request",
    "build_numbers_request",
    "build_send_request",
    "is_genuine",
    "list_secrets",
    "read_history",
    "read_inbound",
    "read_lookup",
    "read_numbers",
    "read_outcome",
    "read_prices",
    "read_status",
]

CREDENTIALS: tuple[str, ...] = ("accountSid", "authToken")
OPTIONAL_CREDENTIALS: tuple[str, ...] = ("sharedKeySecret",)
WEBHOOK_ANSWER = ("text/xml", b"<Response/>")
TAKES_GET = True
TAKES_NAMES = True
ANSWERED_WORDS = frozenset(
    {"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "help", "info"}
)
"""https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out. An account may have
other words; then the webhook's `OptOutType` says what Twilio took the text for."""
YES_RESTORES = True
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 3.0, "short": 100.0}
"""Twilio's own figure for local numbers, and its defaults for the others."""

"""Vonage: the Messages API v1, and webhooks of the older SMS API.

https://developer.vonage.com/en/api/messages
https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks
https://developer.vonage.com/en/getting-started/concepts/signing-messages
https://developer.vonage.com/en/api/sms
https://developer.vonage.com/en/api/numbers
https://developer.vonage.com/en/api-errors/messages

We send by the Messages API only. The account's SMS setting decides by which API inbound texts and
receipts come, so both are read. Our message id is the client_ref, which every receipt repeats.
Vonage does not deduplicate. Looking up a text costs money (Reports API), so we do not; the receipt
settles a text of unknown outcome.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx

from app.domain.carriage import Account, InboundPage, InboundText, LookupMatch, OutgoingText, Receipt, WebhookRequest
from app.domain.phones import NumberKind
from app.domain.problems import Unavailable
from app.providers.reading import get_line
from app.providers.vonage import messages, sms_api
from app.providers.vonage.errors import ACCOUNT_CODES, ERROR_MEANINGS
from app.providers.vonage.messages import build_media_request, build_send_request, list_secrets, read_outcome
from app.providers.vonage.numbers import build_numbers_request, read_numbers

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
    "read_status",
]

CREDENTIALS: tuple[str, ...] = ("apiKey", "apiSecret", "signatureSecret")
OPTIONAL_CREDENTIALS: tuple[str, ...] = ("applicationId", "privateKey")
WEBHOOK_ANSWER = ("application/json", b"{}")
MAX_WEBHOOK_AGE = timedelta(hours=25)
"""Vonage repeats a webhook for 24 hours, and does not document whether it signs it anew."""
TAKES_GET = True
TAKES_NAMES = True
ANSWERED_WORDS: frozenset[str] = frozenset()
YES_RESTORES = False
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 3.0, "short": 30.0}
"""Vonage takes 30 requests a second from an API key. Carriers take less from a local or toll-free
number; these are cautious figures."""


def is_genuine(account: Account, hook: WebhookRequest, now: datetime) -> bool:
    bearer = hook.headers.get("authorization")
    if bearer is not None:
        return messages.is_signed(account, bearer, hook, now, MAX_WEBHOOK_AGE)
    parameters = _read_parameters(hook)
    if "sig" in parameters:
        return sms_api.is_signed(account, parameters, now, MAX_WEBHOOK_AGE)
    if hook.method == "GET" or "msisdn" in parameters or "messageId" in parameters:
        return False  # the SMS API with signatures switched off: a repetition is not signed either
    # After an internal fault Vonage sends a webhook unsigned. After a 5xx it repeats it signed;
    # after a 401 it gives up, and the text would be lost.
    raise Unavailable("The webhook is not signed; repeat it signed.")


def read_inbound(hook: WebhookRequest) -> list[InboundText]:
    parameters = _read_parameters(hook)
    if "status" in parameters:
        return []  # a receipt that was posted to the inbound URL
    is_sms_api = "messageId" in parameters
    text = sms_api.read_text(parameters) if is_sms_api else messages.read_text(messages.convert_to_v1(parameters))
    return [text] if text else []


def read_status(hook: WebhookRequest) -> list[Receipt]:
    parameters = _read_parameters(hook)
    # For a receipt without our reference: the signature covers the body, not the URL.
    message_parameter = get_line(dict(hook.query), "message")
    if "messageId" in parameters:
        receipt = sms_api.read_receipt(parameters, message_parameter)
    else:
        receipt = messages.read_receipt(messages.convert_to_v1(parameters), message_parameter)
    return [receipt] if receipt else []


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    return None


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> Sequence[LookupMatch] | None:
    return None


def build_history_request(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None


def read_history(response: httpx.Response, since: datetime) -> InboundPage | None:
    return None


def _read_parameters(hook: WebhookRequest) -> dict[str, Any]:
    """The webhook's parameters: the query of a GET, a form, or a JSON object."""
    if hook.method == "GET":
        return dict(hook.query)
    return sms_api.parse_body(hook.body) if hook.form is None else dict(hook.form)

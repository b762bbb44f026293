"""Bandwidth Messaging, API v2.

https://dev.bandwidth.com/apis/messaging-apis/messaging
https://dev.bandwidth.com/docs/messaging/webhooks
https://dev.bandwidth.com/docs/messaging/errors

Our message id is the tag, which every callback of the message repeats. Callbacks are not signed.
They carry the credentials that the tenant set in the application at Bandwidth.
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.domain.carriage import (
    Account,
    InboundPage,
    InboundText,
    LookupMatch,
    Media,
    NumberPage,
    Outcome,
    OutgoingText,
    Receipt,
    WebhookRequest,
)
from app.domain.phones import NumberKind, from_carrier
from app.domain.words import MessageStatus
from app.providers.reading import (
    filter_objects,
    get_code,
    get_object,
    get_text,
    get_time,
    is_older,
    judge_failure,
    parse_json,
    parse_object,
)
from app.providers.requests import build_attachment_request, build_basic_auth, encode_basic, get_base_url, parse_url

BASIC_CREDENTIALS = ("username", "password")
CALLBACK_CREDENTIALS = ("callbackUsername", "callbackPassword")
CREDENTIALS: tuple[str, ...] = ("accountId", "applicationId", *BASIC_CREDENTIALS, *CALLBACK_CREDENTIALS)
OPTIONAL_CREDENTIALS: tuple[str, ...] = ()
WEBHOOK_ANSWER = ("application/json", b"{}")
BASE_URL = "https://messaging.bandwidth.com"
MIN_VALIDITY = timedelta(seconds=10)
"""The expiration must be in the future when Bandwidth reads it, by Bandwidth's clock."""
MESSAGES_PER_PAGE = 100
LOOKBACK = timedelta(days=13)
"""The list goes back 14 days."""
OPT_OUT_CODES = frozenset({"4775"})
UNCONFIRMED_CODE = "9902"
STATUSES: dict[str, MessageStatus] = {
    "message-sending": "sending",
    "message-sent": "sent",
    "message-delivered": "delivered",
    "message-read": "delivered",
    "message-failed": "failed",
}
RECORD_STATUSES: dict[str, MessageStatus] = {
    "QUEUED": "sending",
    "SENDING": "sending",
    "ACCEPTED": "sending",
    "SENT": "sent",
    "DELIVERED": "delivered",
    "UNDELIVERED": "undelivered",
    "FAILED": "failed",
}
TAKES_GET = False
TAKES_NAMES = True
ANSWERED_WORDS: frozenset[str] = frozenset()
YES_RESTORES = False
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 1.0, "short": 1.0}
"""Bandwidth limits accounts, not numbers, by contract: 60 texts a minute in its own example."""
ACCOUNT_CODES = frozenset({"401", "402", "403", "unauthorized", "forbidden"})
ERROR_MEANINGS: Mapping[str, str] = {
    "request-validation": "Bandwidth could not read the request. Check numbers and attachments.",
    "unauthorized": "Bandwidth refused the credentials. Check user name and password.",
    "forbidden": "The Bandwidth user may not send texts. Allow it in the dashboard.",
    "max-message-queue-size-exceeded": "The account's queue is full; the text is tried again.",
    "401": "Bandwidth refused the credentials. Check user name and password.",
    "402": "The Bandwidth account cannot pay for texts. Ask Bandwidth.",
    "403": "The Bandwidth user may not send texts. Allow it in the dashboard.",
    "404": "Bandwidth does not know the account. Check the account id.",
    "415": "Bandwidth does not take this kind of attachment. Use a picture.",
    "4302": "The sender is not a routable number. Check the number.",
    "4303": "The recipient's number is not routable. Correct the lead's phone.",
    "4360": "The text expired in Bandwidth's queue. Send more slowly.",
    "4403": "The sender may not text: not of this account or not enabled. Check the dashboard.",
    "4404": "The recipient's number cannot take texts. Ask the lead for another one.",
    "4405": "The sender is not an active number. Check it in the dashboard.",
    "4406": "The recipient's number is assigned to nobody. Correct the lead's phone.",
    "4410": "Bandwidth could not fetch an attachment. Check its address.",
    "4411": "The attachments are too large together. Send smaller ones.",
    "4432": "The account may not text this country. Ask Bandwidth to allow it.",
    "4452": "The application id is not of this account. Correct it.",
    "4470": "Bandwidth filtered the text as spam. Change its words; check registration.",
    "4481": "Bandwidth blocked the sender. Ask Bandwidth why; use another number.",
    "4482": "The recipient's number is blocked at Bandwidth. Ask Bandwidth why.",
    "4702": "The handset could not be reached: switched off or out of coverage. Try later.",
    "4720": "The recipient's number is invalid or a landline. Correct the lead's phone.",
    "4721": "The recipient's number is out of service. Correct the lead's phone.",
    "4750": "The recipient's carrier refused the text without a reason.",
    "4770": "The carrier filtered the text as spam. Change its words; check registration.",
    "4773": "The sender's campaign (10DLC) is not active. Check its registration.",
    "4775": "The recipient opted out from this sender. Only the recipient can undo it.",
    "4780": "The brand's daily limit with T-Mobile (10DLC) is used up. Continue tomorrow.",
    "4781": "The campaign's rate with AT&T (10DLC) was exceeded. Send more slowly.",
    "4785": "The carrier's volume limit was exceeded. Send more slowly.",
    "4795": "The toll-free number is not verified yet. Finish its verification.",
    "5600": "The carrier's queue is full. Try later.",
    "9902": "No receipt came within two hours; whether it arrived is not known.",
    "9999": "The carrier failed for a reason Bandwidth does not know. Trying once may help.",
}


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    expires = (now + max(text.validity, MIN_VALIDITY)).astimezone(UTC)
    body: dict[str, Any] = {
        "applicationId": account.credentials["applicationId"],
        "from": text.sender,
        "to": [text.to],
        "text": text.text,
        "tag": text.message_id,
        "expiration": expires.isoformat(timespec="seconds"),
    }
    if text.media:
        body["media"] = list(text.media)
    url = parse_url(_get_messages_url(account))
    return httpx.Request("POST", url, headers=_build_auth_headers(account), json=body)


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    if response.is_success:
        if carrier_id := get_text(answer, "id"):
            return Outcome("accepted", provider_message_id=carrier_id)
        return Outcome("unknown", detail="a success without a message id")
    return judge_failure(response, get_text(answer, "type"), _get_detail(answer))


def is_genuine(account: Account, hook: WebhookRequest, now: datetime) -> bool:
    scheme, _, raw_credentials = hook.headers.get("authorization", "").partition(" ")
    expected_credentials = encode_basic(account, *CALLBACK_CREDENTIALS)
    credentials = raw_credentials.strip().encode("latin-1", "replace")
    return hmac.compare_digest(expected_credentials.encode(), credentials) and scheme.lower() == "basic"


def read_inbound(hook: WebhookRequest) -> list[InboundText]:
    return [
        InboundText(
            provider_id=carrier_id,
            sender=from_carrier(sender),
            to=from_carrier(to),
            text=get_text(message, "text") or "",
            media=_read_media(message.get("media")),
            sent_at=get_time(message, "time"),
        )
        for event in _read_events(hook)
        if event.get("type") == "message-received"
        and (message := get_object(event, "message"))
        and (carrier_id := get_text(message, "id"))
        and (sender := get_text(message, "from"))
        and (to := get_text(message, "owner") or get_text(event, "to"))
    ]


def read_status(hook: WebhookRequest) -> list[Receipt]:
    return [
        Receipt(
            provider_message_id=carrier_id,
            status=_get_status(event_type, code := _get_error_code(event)),
            message_id=get_text(message, "tag"),
            to=from_carrier(get_text(event, "to") or "") or None,
            code=code,
            has_opted_out=code in OPT_OUT_CODES,
            at=get_time(event, "time"),
        )
        for event in _read_events(hook)
        if (event_type := get_text(event, "type")) not in (None, "message-received")
        and (message := get_object(event, "message"))
        and (carrier_id := get_text(message, "id"))
    ]


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    # From long before the attempt: an older entry proves that this account's texts are recorded.
    params = {
        "sourceTn": text.sender,
        "destinationTn": text.to,
        "messageDirection": "OUTBOUND",
        "fromDateTime": (since - LOOKBACK).astimezone(UTC).isoformat(timespec="seconds"),
        "sort": "receiveTime:desc",
        "limit": str(MESSAGES_PER_PAGE),
    }
    return httpx.Request("GET", _get_messages_url(account), params=params, headers=_build_auth_headers(account))


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> list[LookupMatch] | None:
    items = parse_object(response.content).get("messages")
    if not response.is_success or not isinstance(items, list):
        return None
    entries = filter_objects(items)
    newer_items = [item for item in entries if not is_older(get_time(item, "receiveTime"), since)]
    open_items = [item for item in newer_items if not _is_other_text(item, text)]
    # The list holds neither the texts nor our tag, so numbers and time must match.
    matches = [
        LookupMatch(carrier_id, RECORD_STATUSES.get(get_text(item, "messageStatus") or ""), at, _get_error_code(item))
        for item in open_items
        if (at := get_time(item, "receiveTime"))
        and all(get_text(item, name) for name in ("sourceTn", "destinationTn"))
        and (carrier_id := get_text(item, "messageId"))
    ]
    if not matches and (open_items or newer_items == entries or len(items) >= MESSAGES_PER_PAGE):
        # An entry lacks time, id or numbers; or the list may continue; or no entry is older. Some
        # accounts' texts are not recorded, so an empty list proves nothing.
        return None
    return sorted(matches, key=lambda item: item.created_at or since)


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    return None  # another API lists them, with other credentials


def read_numbers(response: httpx.Response) -> NumberPage | None:
    return None


def build_history_request(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None  # the list does not hold the texts


def read_history(response: httpx.Response, since: datetime) -> InboundPage | None:
    return None


def build_media_request(account: Account, url: str) -> httpx.Request:
    return build_attachment_request(url, _build_auth_headers(account), get_base_url(account, BASE_URL), "bandwidth.com")


def list_secrets(account: Account) -> tuple[str, ...]:
    return (
        account.credentials["password"],
        account.credentials["callbackPassword"],
        encode_basic(account, *BASIC_CREDENTIALS),
        encode_basic(account, *CALLBACK_CREDENTIALS),
    )


def _get_messages_url(account: Account) -> str:
    return f"{get_base_url(account, BASE_URL)}/api/v2/users/{account.credentials['accountId']}/messages"


def _build_auth_headers(account: Account) -> dict[str, str]:
    return build_basic_auth(account, *BASIC_CREDENTIALS)


def _get_status(event_type: str | None, code: str | None) -> MessageStatus | None:
    """The status of an event. The code of a failure says where it failed: at Bandwidth (`failed`),
    or at the recipient's carrier (47xx, 56xx and the unclear 99xx: `undelivered`)."""
    status = STATUSES.get(event_type or "")
    if status != "failed" or code is None:
        return status
    if code == UNCONFIRMED_CODE:
        return "sent"
    return "undelivered" if code.startswith(("47", "56", "99")) else "failed"


def _is_other_text(item: Mapping[str, Any], text: OutgoingText) -> bool:
    """Whether the entry names other numbers or is an inbound text."""
    numbers = (("sourceTn", text.sender), ("destinationTn", text.to))
    return item.get("messageDirection") not in ("OUTBOUND", None) or any(
        (theirs := get_text(item, name)) and from_carrier(theirs) != our_number for name, our_number in numbers
    )


def _get_detail(data: Mapping[str, Any]) -> str | None:
    fields = (get_text(field, "description") for field in filter_objects(data.get("fieldErrors")))
    return "; ".join(filter(None, (get_text(data, "description"), *fields))) or None


def _read_events(hook: WebhookRequest) -> list[dict[str, Any]]:
    """The events of a callback: a list in Bandwidth's guides, a single object in its API
    reference."""
    payload = parse_json(hook.body)
    return filter_objects(payload if isinstance(payload, list) else [payload])


def _get_error_code(data: Mapping[str, Any]) -> str | None:
    return get_code(data, "errorCode") if data.get("errorCode") else None


def _read_media(urls: object) -> tuple[Media, ...]:
    return tuple(Media(url) for url in urls if isinstance(url, str) and url) if isinstance(urls, list) else ()

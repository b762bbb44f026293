"""Telnyx Messaging, API v2.

https://developers.telnyx.com/api-reference/messages/send-a-message
https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
https://developers.telnyx.com/docs/messaging/messages/error-codes
https://developers.telnyx.com/api-reference/short-codes/list-short-codes

Telnyx returns no reference of ours, so the webhook_url of each message carries our message id.
The detail record of a message repeats that URL. A request that got a 5xx may have created the
message.
"""

from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

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
    VendorNumber,
    WebhookRequest,
)
from app.domain.optout import verdict
from app.domain.phones import NumberKind, from_carrier
from app.domain.words import Capability, MessageStatus
from app.providers.reading import (
    filter_objects,
    get_code,
    get_message_parameter,
    get_object,
    get_price,
    get_text,
    get_time,
    judge_failure,
    parse_object,
)
from app.providers.requests import build_attachment_request, build_bearer_auth, get_base_url, parse_url
from app.providers.signatures import is_recent

CREDENTIALS: tuple[str, ...] = ("apiKey", "publicKey")
OPTIONAL_CREDENTIALS: tuple[str, ...] = ()
WEBHOOK_ANSWER = ("application/json", b"{}")
BASE_URL = "https://api.telnyx.com"
MAX_SIGNATURE_AGE = timedelta(seconds=300)
RECORDS_PER_PAGE = 50
NUMBERS_PER_PAGE = 250
NUMBERS_PATH, SHORT_CODES_PATH = "phone_numbers/messaging", "short_codes"
"""Telnyx lists short codes apart from all other numbers."""
FIRST_NUMBERS, FIRST_SHORT_CODES = f"{NUMBERS_PATH}?1", f"{SHORT_CODES_PATH}?1"
OPT_OUT_CODES = frozenset({"40300"})
RETRYABLE_CODES = frozenset({"10011", "40318"})
"""The text was surely not taken: too many requests at once, or the sender's queue is full."""
RECEIPT_EVENTS = frozenset({"message.sent", "message.finalized"})
STATUSES: dict[str, MessageStatus] = {
    "queued": "sending",
    "sending": "sending",
    "sent": "sent",
    "delivery_unconfirmed": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "expired": "undelivered",
    "delivery_failed": "undelivered",
    "sending_failed": "failed",
}
RECORD_STATUSES: dict[str, MessageStatus] = {
    "delivered": "delivered",
    "dlr_unconfirmed": "sent",
    "dlr_timeout": "sent",
    "gw_timeout": "sent",
    "gw_reject": "failed",
    "failed": "undelivered",
}
"""The detail records use other status words than the webhooks."""
TAKES_GET = False
TAKES_NAMES = False  # only together with a messaging profile
ANSWERED_WORDS = frozenset({"stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "help"})
"""https://developers.telnyx.com/docs/messaging/messages/advanced-opt-in-out. A profile may have
more words; then the webhook's `autoresponse_type` says what Telnyx took the text for."""
YES_RESTORES = False
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 20.0, "short": 50.0}
"""An account sends 50 a second, a toll-free number 20. The rate of a local number depends on its
registration, so we start low. What is too fast waits in Telnyx's queue for up to four hours."""
ACCOUNT_CODES = frozenset({"401", "402", "10009", "20100"})
ERROR_MEANINGS: Mapping[str, str] = {
    "10007": "Something broke at Telnyx; it is not known whether it took the text.",
    "10009": "Telnyx refused the credentials. Check the API key.",
    "20100": "The Telnyx account's credit is used up. Top it up.",
    "10011": "Telnyx took too many requests at once; the text is tried again.",
    "40001": "The recipient's number is a landline or cannot be routed. Ask for a mobile.",
    "40002": "The text was filtered as spam for now. Change its words, send more slowly.",
    "40003": "The sender is blocked as a source of spam. Use another number; ask Telnyx.",
    "40004": "The recipient's carrier refused the text without a reason. Trying later may help.",
    "40005": "The text expired on its way. The handset may be off; try later.",
    "40006": "The recipient's carrier is down. Try later.",
    "40008": "The recipient's carrier did not take the text. Check the lead's phone.",
    "40011": "The carrier's rate was exceeded. Send more slowly or from more numbers.",
    "40012": "The carrier calls the recipient's number invalid. Correct the lead's phone.",
    "40014": "The text expired in Telnyx's queue. Send more slowly or from more numbers.",
    "40300": "The recipient opted out from this sender. Only the recipient can undo it.",
    "40310": "The recipient's number is not valid. Correct the lead's phone.",
    "40318": "The sender's queue at Telnyx is full; the text is tried again.",
}


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    # Telnyx has no field for the validity. The profile's webhook is the one for inbound texts, so
    # receipts must not go there.
    body: dict[str, Any] = {
        "from": text.sender,
        "to": text.to,
        "type": "MMS" if text.media else "SMS",
        "webhook_url": text.status_url,
        "use_profile_webhooks": False,
    }
    if text.text:
        body["text"] = text.text  # Telnyx refuses an empty one
    if text.media:
        body["media_urls"] = list(text.media)
    url = parse_url(f"{get_base_url(account, BASE_URL)}/v2/messages")
    return httpx.Request("POST", url, headers=_build_auth_headers(account), json=body)


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    if response.is_success:
        data = get_object(answer, "data")
        if carrier_id := get_text(data, "id"):
            price = get_price(get_object(data, "cost"), "amount", "currency")
            return Outcome("accepted", provider_message_id=carrier_id, price=price)
        return Outcome("unknown", detail="a success without a message id")
    error = next(iter(filter_objects(answer.get("errors"))), {})
    code, detail = get_code(error, "code"), get_text(error, "detail") or get_text(error, "title")
    return judge_failure(response, code, detail, OPT_OUT_CODES, RETRYABLE_CODES, "x-ratelimit-reset")


def is_genuine(account: Account, hook: WebhookRequest, now: datetime) -> bool:
    stamp = hook.headers.get("telnyx-timestamp", "")
    if not is_recent(stamp, now, MAX_SIGNATURE_AGE):
        return False
    try:
        key = b64decode(account.credentials["publicKey"], validate=True)
        signature = b64decode(hook.headers.get("telnyx-signature-ed25519", ""), validate=True)
        signed_bytes = f"{stamp}|".encode() + hook.body
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed_bytes)
    except (ValueError, InvalidSignature):
        return False
    return True


def read_inbound(hook: WebhookRequest) -> list[InboundText]:
    event = get_object(parse_object(hook.body), "data")
    payload = get_object(event, "payload")
    receivers = filter_objects(payload.get("to"))
    # A group text has several receivers; ours is the one whose webhook was called.
    our_receivers = [receiver for receiver in receivers if receiver.get("status") == "webhook_delivered"] or receivers
    carrier_id = get_text(payload, "id")
    sender = get_text(get_object(payload, "from"), "phone_number")
    to = get_text(our_receivers[0], "phone_number") if our_receivers else None
    if event.get("event_type") != "message.received" or not (carrier_id and sender and to):
        return []
    media = tuple(
        Media(url, get_text(item, "content_type"))
        for item in filter_objects(payload.get("media"))
        if (url := get_text(item, "url"))
    )
    return [
        InboundText(
            provider_id=carrier_id,
            sender=from_carrier(sender),
            to=from_carrier(to),
            text=get_text(payload, "text") or "",
            media=media,
            sent_at=get_time(payload, "received_at"),
            taken_as=verdict(payload.get("autoresponse_type")),
        )
    ]


def read_status(hook: WebhookRequest) -> list[Receipt]:
    event = get_object(parse_object(hook.body), "data")
    payload = get_object(event, "payload")
    if get_text(event, "event_type") not in RECEIPT_EVENTS:
        return []
    code = next(
        (code for item in filter_objects(payload.get("errors")) if (code := get_code(item, "code"))),
        None,
    )
    return [
        Receipt(
            provider_message_id=get_text(payload, "id"),
            status=STATUSES.get(vendor_status),
            message_id=get_message_parameter(hook),
            to=from_carrier(get_text(item, "phone_number") or "") or None,
            code=code,
            has_opted_out=code in OPT_OUT_CODES,
            at=get_time(event, "occurred_at"),
            price=get_price(get_object(payload, "cost"), "amount", "currency"),
        )
        for item in filter_objects(payload.get("to"))
        if (vendor_status := get_text(item, "status"))
    ]


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    params = {
        "filter[record_type]": "messaging",
        "filter[direction]": "outbound",
        "filter[cld]": text.to,
        "filter[cli]": text.sender,
        "sort": "-created_at",
        "page[size]": str(RECORDS_PER_PAGE),
    }
    url = f"{get_base_url(account, BASE_URL)}/v2/detail_records"
    return httpx.Request("GET", url, params=params, headers=_build_auth_headers(account))


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> list[LookupMatch] | None:
    # Telnyx writes a record when the message is done, so a missing record proves nothing. A
    # record with this text's own webhook URL proves that the text was taken.
    records = filter_objects(parse_object(response.content).get("data")) if response.is_success else []
    return [
        LookupMatch(
            carrier_id,
            RECORD_STATUSES.get(get_text(item, "status") or ""),
            get_time(item, "created_at"),
            price=get_price(item, "cost", "currency"),
        )
        for item in records
        if item.get("delivery_status_webhook_url") == text.status_url and (carrier_id := get_text(item, "uuid"))
    ] or None


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    path, _, page_number = (page or FIRST_NUMBERS).partition("?")
    params = {"page[number]": page_number, "page[size]": str(NUMBERS_PER_PAGE)}
    url = f"{get_base_url(account, BASE_URL)}/v2/{path}"
    return httpx.Request("GET", url, params=params, headers=_build_auth_headers(account))


def read_numbers(response: httpx.Response) -> NumberPage | None:
    are_short = response.request.url.path.endswith(f"/{SHORT_CODES_PATH}")
    if are_short and response.status_code == 404:
        return NumberPage(())  # not every account has this list
    answer = parse_object(response.content)
    if not response.is_success or not isinstance(answer.get("data"), list):
        return None
    name = "short_code" if are_short else "phone_number"
    return NumberPage(
        tuple(
            VendorNumber(from_carrier(phone), _read_capabilities(get_object(item, "features")))
            for item in filter_objects(answer["data"])
            if (phone := get_text(item, name))
        ),
        next_page=_get_next_page(get_object(answer, "meta"), are_short),
    )


def build_history_request(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None  # the detail records do not hold the texts


def read_history(response: httpx.Response, since: datetime) -> InboundPage | None:
    return None


def build_media_request(account: Account, url: str) -> httpx.Request:
    return build_attachment_request(url, _build_auth_headers(account), get_base_url(account, BASE_URL), "telnyx.com")


def list_secrets(account: Account) -> tuple[str, ...]:
    return (account.credentials["apiKey"],)


def _build_auth_headers(account: Account) -> dict[str, str]:
    return build_bearer_auth(account, "apiKey")


def _get_next_page(meta: Mapping[str, Any], are_short: bool) -> str | None:
    """The cursor of the next page; after the last page of numbers, of the first one of short codes."""
    page, pages = meta.get("page_number"), meta.get("total_pages")
    if type(page) is not int or type(pages) is not int or page >= pages:
        return None if are_short else FIRST_SHORT_CODES
    return f"{SHORT_CODES_PATH if are_short else NUMBERS_PATH}?{page + 1}"


def _read_capabilities(features: Mapping[str, Any]) -> tuple[Capability, ...]:
    capabilities: tuple[Capability, ...] = ("sms", "mms")
    return tuple(name for name in capabilities if features.get(name))

"""Plivo Messaging, API v1.

https://www.plivo.com/docs/messaging/api/message/send-a-message
https://www.plivo.com/docs/messaging/concepts/signature-validation

Plivo returns no reference of ours, so the callback URL of each message carries our message id.
A refusal has no code but the HTTP status; codes come with the receipts.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

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
    VendorNumber,
    WebhookRequest,
)
from app.domain.optout import verdict
from app.domain.phones import NumberKind, from_carrier
from app.domain.words import Capability, MessageStatus
from app.providers import requests
from app.providers.plivo import errors
from app.providers.reading import (
    CAPABILITIES,
    filter_objects,
    get_code,
    get_message_parameter,
    get_object,
    get_text,
    get_time,
    is_older,
    judge_failure,
    parse_object,
    read_parameters,
    read_price,
)
from app.providers.signatures import is_expected, sign_base64

CREDENTIALS: tuple[str, ...] = ("authId", "authToken")
BASIC_CREDENTIALS = ("authId", "authToken")
OPTIONAL_CREDENTIALS: tuple[str, ...] = ()
WEBHOOK_ANSWER = ("application/xml", b"<Response/>")
BASE_URL = "https://api.plivo.com"
VALIDITY_SECONDS = (5, 10_799)
ITEMS_PER_PAGE = 20
LOOKBACK = timedelta(days=1)
MEDIA_INDEXES = range(11)
"""At most ten attachments, counted from 1; some webhooks count from 0."""
ACCOUNT_CODES = errors.ACCOUNT_CODES
ERROR_MEANINGS = errors.ERROR_MEANINGS
CURRENCY = "USD"
"""Receipts and records name none: Plivo charges in US dollars."""
STATUSES: dict[str, MessageStatus] = {
    "queued": "sending",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "rejected": "failed",
}
TAKES_GET = True
TAKES_NAMES = True
ANSWERED_WORDS = frozenset({"stop", "end", "quit", "help", "info"})
"""https://www.plivo.com/docs/messaging/concepts/dnd-service"""
YES_RESTORES = False
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 5.0, "short": 5.0}
"""A local number sends one a second. An account sends five, until Plivo allows it more."""


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    body: dict[str, Any] = {
        "src": _strip_plus(text.sender),
        "dst": _strip_plus(text.to),
        "text": text.text,
        "type": "mms" if text.media else "sms",
        "url": text.status_url,
        "method": "POST",
        "message_expiry": requests.limit_seconds(text.validity, VALIDITY_SECONDS),
    }
    if text.media:
        body["media_urls"] = list(text.media)
    url = requests.parse_url(_get_resource_url(account, "Message"))
    return httpx.Request("POST", url, headers=_build_auth_headers(account), json=body)


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    if response.is_success:
        ids = answer.get("message_uuid")
        if message_uuid := get_text({"id": ids[0] if isinstance(ids, list) and ids else ids}, "id"):
            return Outcome("accepted", provider_message_id=message_uuid)
        return Outcome("unknown", detail="a success without a message uuid")
    code = str(response.status_code) if response.is_client_error else None
    return judge_failure(response, code, get_text(answer, "error"))


def is_genuine(account: Account, hook: WebhookRequest, now: datetime) -> bool:
    """Checks the V3 signature, which covers the body, if there is one; else V2. V2 covers only
    the URL, but it is all that older accounts get."""
    key = account.credentials["authToken"]
    for version, build_signed_text in (("v3", _build_signed_text_v3), ("v2", _build_signed_text_v2)):
        headers = (hook.headers.get(f"x-plivo-signature{ma}-{version}") for ma in ("", "-ma"))
        signatures = [signature.strip() for header in headers if header for signature in header.split(",")]
        if not signatures:
            continue
        nonce = hook.headers.get(f"x-plivo-signature-{version}-nonce", "")
        expected_signature = sign_base64(key, build_signed_text(hook, nonce).encode("utf-8", "surrogateescape"))
        return bool(nonce) and any(is_expected(signature, [expected_signature]) for signature in signatures)
    return False


def read_inbound(hook: WebhookRequest) -> list[InboundText]:
    form = read_parameters(hook)
    carrier_id, sender, to = form.get("MessageUUID"), form.get("From"), form.get("To")
    if not (carrier_id and sender and to):
        return []
    return [
        InboundText(
            provider_id=carrier_id,
            sender=from_carrier(sender),
            to=from_carrier(to),
            text=form.get("Text") or form.get("Body") or "",
            media=tuple(Media(url) for i in MEDIA_INDEXES if (url := form.get(f"Media{i}"))),
            taken_as=verdict(form.get("MessageIntent")),
        )
    ]


def read_status(hook: WebhookRequest) -> list[Receipt]:
    form = read_parameters(hook)
    carrier_id = form.get("ParentMessageUUID") or form.get("MessageUUID")
    vendor_status = form.get("Status")
    if not (carrier_id and vendor_status):
        return []
    code = _get_error_code(form, "ErrorCode")
    times = (get_time(form, f"{name}Time") for name in ("DeliveryReport", "Sent", "Queued"))
    return [
        Receipt(
            provider_message_id=carrier_id,
            status=STATUSES.get(vendor_status),
            message_id=get_message_parameter(hook),
            to=from_carrier(form.get("To", "")) or None,
            code=code,
            has_opted_out=code in errors.OPT_OUT_CODES,
            at=next((at for at in times if at), None),
            part=_get_part(form),
            price=read_price(form.get("TotalAmount"), CURRENCY),
        )
    ]


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    # From a day before the attempt: an older entry proves that the list reaches back to the
    # attempt, in whatever time zone Plivo reads the filter.
    params = {
        "message_direction": "outbound",
        "from_number": _strip_plus(text.sender),
        "to_number": _strip_plus(text.to),
        "message_time__gte": f"{(since - LOOKBACK).astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "limit": str(ITEMS_PER_PAGE),
    }
    url = _get_resource_url(account, "Message")
    return httpx.Request("GET", url, params=params, headers=_build_auth_headers(account))


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> list[LookupMatch] | None:
    items = parse_object(response.content).get("objects")
    if not response.is_success or not isinstance(items, list):
        return None
    entries, pair = filter_objects(items), (_strip_plus(text.sender), _strip_plus(text.to))
    newer_items = [item for item in entries if not is_older(get_time(item, "message_time"), since)]
    open_items = [item for item in newer_items if not _has_other_numbers(item, pair)]
    # The list does not hold the texts, so numbers and time must match.
    matches = [
        LookupMatch(
            uuid,
            STATUSES.get(get_text(item, "message_state") or ""),
            at,
            _get_error_code(item, "error_code"),
            price=read_price(item.get("total_amount"), CURRENCY),
        )
        for item in open_items
        if (at := get_time(item, "message_time"))
        and _get_number_pair(item) == pair
        and (uuid := get_text(item, "message_uuid"))
    ]
    if not matches and (open_items or newer_items == entries or len(items) >= ITEMS_PER_PAGE):
        # An entry lacks time, id or numbers (an account can hide them); or the page is full and
        # the list may continue; or no entry is older, and so nothing is proved.
        return None
    return sorted(matches, key=lambda item: item.created_at or since)


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    params = dict(parse_qsl(page or f"services=sms&limit={ITEMS_PER_PAGE}&offset=0"))
    url = _get_resource_url(account, "Number")
    return httpx.Request("GET", url, params=params, headers=_build_auth_headers(account))


def read_numbers(response: httpx.Response) -> NumberPage | None:
    answer = parse_object(response.content)
    if not response.is_success or not isinstance(answer.get("objects"), list):
        return None
    next_page = get_text(get_object(answer, "meta"), "next")
    return NumberPage(
        tuple(
            VendorNumber(from_carrier(phone), _read_capabilities(item), label=get_text(item, "alias"))
            for item in filter_objects(answer["objects"])
            if (phone := get_text(item, "number"))
        ),
        # Only the query of the next page's URL: we choose the host, not the answer.
        next_page=(next_page or "").partition("?")[2] or None,
    )


def build_history_request(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None  # the list does not hold the texts


def read_history(response: httpx.Response, since: datetime) -> InboundPage | None:
    return None


def build_media_request(account: Account, url: str) -> httpx.Request:
    return requests.build_attachment_request(
        url, _build_auth_headers(account), account.base_url or BASE_URL, "plivo.com"
    )


def list_secrets(account: Account) -> tuple[str, ...]:
    return (account.credentials["authToken"], requests.encode_basic(account, *BASIC_CREDENTIALS))


def _get_resource_url(account: Account, resource: str) -> str:
    return f"{requests.get_base_url(account, BASE_URL)}/v1/Account/{account.credentials['authId']}/{resource}/"


def _build_auth_headers(account: Account) -> dict[str, str]:
    return requests.build_basic_auth(account, *BASIC_CREDENTIALS)


def _has_other_numbers(item: Mapping[str, Any], pair: tuple[str, str]) -> bool:
    """Whether the entry names other numbers."""
    return (numbers := _get_number_pair(item)) != pair and all(number.isdecimal() for number in numbers)


def _read_capabilities(item: Mapping[str, Any]) -> tuple[Capability, ...]:
    return tuple(name for name in CAPABILITIES if item.get(f"{name}_enabled") is True)


def _get_number_pair(item: Mapping[str, Any]) -> tuple[str, str]:
    return _strip_plus(get_text(item, "from_number")), _strip_plus(get_text(item, "to_number"))


def _get_part(form: Mapping[str, str]) -> str | None:
    """The id of the part that a receipt is about; None: the text has one part. Each part has a
    MessageUUID of its own, but the first part's is that of the text."""
    part, parent = form.get("MessageUUID"), form.get("ParentMessageUUID")
    is_long = (
        (parent and part != parent) or form.get("Units", "1") != "1" or not form.get("PartInfo", "1").endswith("1")
    )
    return part if part and is_long else None


def _strip_plus(phone: str | None) -> str:
    return (phone or "").removeprefix("+")


def _build_signed_text_v2(hook: WebhookRequest, nonce: str) -> str:
    return f"{hook.url.partition('?')[0]}{nonce}"


def _build_signed_text_v3(hook: WebhookRequest, nonce: str) -> str:
    """The URL, the query (decoded and sorted), the form (sorted) and the nonce, joined by dots."""
    query_pairs = sorted(parse_qsl(urlsplit(hook.url).query, keep_blank_values=True))
    query = "&".join(f"{name}={value}" for name, value in query_pairs)
    form = "".join(f"{name}{value}" for name, value in sorted(hook.form or ()))
    mark, dot = "?" if query or form else "", "." if query and form else ""
    return f"{hook.url.partition('?')[0]}{mark}{query}{dot}{form}.{nonce}"


def _get_error_code(data: Mapping[str, Any], name: str) -> str | None:
    """The error code; None for a success, which has no code or only zeros."""
    code = get_code(data, name) or ""
    return code if code.strip("0 ") else None

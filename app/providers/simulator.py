"""The simulated carrier, with a small API of our own. It is the shortest example of a carrier.

Send: POST {base}/messages, Bearer secret, JSON; 202 {"id"}, else {"code", "message"}.
Webhooks: JSON under `X-Simulator-Signature: t=<seconds>,v1=<hex>`, the HMAC-SHA256 of
"{t}.{url}.{body}", refused when older than five minutes.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
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
    VendorNumber,
    WebhookRequest,
)
from app.domain.phones import NumberKind, from_carrier
from app.domain.words import MessageStatus
from app.providers.reading import (
    CAPABILITIES,
    filter_objects,
    get_price,
    get_retry_seconds,
    get_text,
    parse_object,
)
from app.providers.requests import build_bearer_auth, get_base_url, parse_url
from app.providers.signatures import is_recent

CREDENTIALS: tuple[str, ...] = ("secret",)
OPTIONAL_CREDENTIALS: tuple[str, ...] = ()
WEBHOOK_ANSWER = ("application/json", b"{}")
BASE_URL = "http://127.0.0.1:8001"
MAX_SIGNATURE_AGE = timedelta(minutes=5)
OPT_OUT_CODE = "opted_out"
TAKES_GET = False
TAKES_NAMES = True
ANSWERED_WORDS: frozenset[str] = frozenset()
YES_RESTORES = False
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {
    "local": 100.0,
    "toll_free": 100.0,
    "short": 100.0,
}
ACCOUNT_CODES = frozenset({"wrong_credentials", "suspended"})
ERROR_MEANINGS: Mapping[str, str] = {
    "bad_number": "The recipient's number is not valid. Correct the lead's phone.",
    "opted_out": "The recipient opted out from this sender. Only the recipient can undo it.",
    "unauthorized": "The carrier refused the credentials. Check the account's secret.",
    "wrong_credentials": "The carrier refused the credentials. Check the account's secret.",
    "suspended": "The carrier suspended the account. Ask the carrier why.",
    "no_credit": "The account's credit is used up. Top it up.",
    "unreachable": "The handset could not be reached: switched off or out of coverage.",
}
STATUSES: dict[str, MessageStatus] = {
    "queued": "sending",
    "sent": "sent",
    "delivered": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
}


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    body = {
        "to": text.to,
        "from": text.sender,
        "text": text.text,
        "media": list(text.media),
        "reference": text.message_id,
        "callbackUrl": text.status_url,
        "validitySeconds": max(1, int(text.validity.total_seconds())),
    }
    url = parse_url(f"{get_base_url(account, BASE_URL)}/messages")
    return httpx.Request("POST", url, headers=_build_auth_headers(account), json=body)


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    code, detail = get_text(answer, "code"), get_text(answer, "message")
    if response.is_success and (carrier_id := get_text(answer, "id")):
        return Outcome("accepted", provider_message_id=carrier_id)
    if response.status_code == 429:
        return Outcome("later", code=code, detail=detail, retry_after=get_retry_seconds(response))
    if code == OPT_OUT_CODE:
        return Outcome("opted_out", code=code, detail=detail)
    if response.is_client_error:
        return Outcome("refused", code=code or str(response.status_code), detail=detail)
    return Outcome("unknown", code=code, detail=detail or f"HTTP {response.status_code}")


def is_genuine(account: Account, hook: WebhookRequest, now: datetime) -> bool:
    signature_parts = dict(
        part.split("=", 1) for part in hook.headers.get("x-simulator-signature", "").split(",") if "=" in part
    )
    stamp = signature_parts.get("t", "")
    if not is_recent(stamp, now, MAX_SIGNATURE_AGE):
        return False
    signed_bytes = f"{stamp}.{hook.url}.".encode() + hook.body
    expected_signature = hmac.digest(account.credentials["secret"].encode(), signed_bytes, "sha256").hex()
    return hmac.compare_digest(expected_signature.encode(), signature_parts.get("v1", "").encode())


def read_inbound(hook: WebhookRequest) -> list[InboundText]:
    payload = parse_object(hook.body)
    text = _read_text(payload) if payload.get("type") == "inbound" else None
    return [text] if text else []


def read_status(hook: WebhookRequest) -> list[Receipt]:
    payload = parse_object(hook.body)
    if payload.get("type") != "status":
        return []
    return [
        Receipt(
            provider_message_id=get_text(payload, "id"),
            status=STATUSES.get(get_text(payload, "status") or ""),
            message_id=dict(hook.query).get("message") or get_text(payload, "reference"),
            to=from_carrier(get_text(payload, "to") or "") or None,
            code=get_text(payload, "code"),
            has_opted_out=payload.get("code") == OPT_OUT_CODE,
            at=_get_time(payload, "at"),
            price=get_price(payload, "price", "currency"),
        )
    ]


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    return httpx.Request(
        "GET",
        f"{get_base_url(account, BASE_URL)}/messages",
        params={"reference": text.message_id},
        headers=_build_auth_headers(account),
    )


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> list[LookupMatch] | None:
    items = parse_object(response.content).get("messages")
    if not response.is_success or not isinstance(items, list):
        return None
    return [
        LookupMatch(str(item["id"]), STATUSES.get(get_text(item, "status") or ""), code=get_text(item, "code"))
        for item in filter_objects(items)
        if item.get("id")
    ]


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    params = {"page": page} if page else None
    return httpx.Request(
        "GET",
        f"{get_base_url(account, BASE_URL)}/numbers",
        params=params,
        headers=_build_auth_headers(account),
    )


def read_numbers(response: httpx.Response) -> NumberPage | None:
    answer = parse_object(response.content)
    items = answer.get("numbers")
    if not response.is_success or not isinstance(items, list):
        return None
    vendor_numbers = tuple(
        VendorNumber(
            phone_number=from_carrier(number),
            capabilities=tuple(n for n in CAPABILITIES if n in (item.get("capabilities") or ())),
            label=get_text(item, "label"),
            inbound_url=_read_inbound_url(item),
        )
        for item in filter_objects(items)
        if (number := get_text(item, "number"))
    )
    return NumberPage(vendor_numbers, get_text(answer, "next"))


def build_history_request(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    params = {"since": since.isoformat()} | ({"page": page} if page else {})
    url = f"{get_base_url(account, BASE_URL)}/inbound"
    return httpx.Request("GET", url, params=params, headers=_build_auth_headers(account))


def read_history(response: httpx.Response, since: datetime) -> InboundPage | None:
    answer = parse_object(response.content)
    items = answer.get("texts")
    if not response.is_success or not isinstance(items, list):
        return None
    texts = [_read_text(item) for item in filter_objects(items)]
    return InboundPage(tuple(text for text in texts if text), get_text(answer, "next"))


def build_media_request(account: Account, url: str) -> httpx.Request:
    is_trusted = url.startswith(f"{get_base_url(account, BASE_URL)}/")
    return httpx.Request("GET", url, headers=_build_auth_headers(account) if is_trusted else None)


def list_secrets(account: Account) -> tuple[str, ...]:
    return (account.credentials["secret"],)


def _read_text(data: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = get_text(data, "id"), get_text(data, "from"), get_text(data, "to")
    if not (carrier_id and sender and to):
        return None
    media = tuple(
        Media(url, get_text(item, "contentType"))
        for item in filter_objects(data.get("media"))
        if (url := get_text(item, "url"))
    )
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=get_text(data, "text") or "",
        media=media,
        sent_at=_get_time(data, "sentAt"),
    )


def _read_inbound_url(item: Mapping[str, Any]) -> str | None:
    """The number's webhook; "" where it has none, None where the carrier does not say."""
    url = item.get("inboundUrl")
    return url if isinstance(url, str) else None


def _build_auth_headers(account: Account) -> dict[str, str]:
    return build_bearer_auth(account, "secret")


def _get_time(data: Mapping[str, Any], name: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(get_text(data, name) or "")
    except ValueError:
        return None
    return at if at.tzinfo else None

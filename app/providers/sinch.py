"""Sinch SMS, REST API xms/v1.

https://developers.sinch.com/docs/sms/api-reference/sms
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Batches/
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Inbounds/
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Delivery-reports/

A text is a batch of one. Sinch does not deduplicate. Our message id is the client_reference:
batches can be found by it, and every report repeats it. A service plan belongs to a region; if it
is not the United States, the account's base URL names it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

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
from app.providers.reading import filter_objects, get_line, get_time, judge_failure, parse_object
from app.providers.requests import build_attachment_request, build_bearer_auth, get_base_url, parse_url
from app.providers.signatures import TIMESTAMP, is_expected, require_fresh, sign_base64

CREDENTIALS: tuple[str, ...] = ("servicePlanId", "apiToken", "webhookSecret")
OPTIONAL_CREDENTIALS: tuple[str, ...] = ()
WEBHOOK_ANSWER = ("application/json", b"{}")
BASE_URL = "https://us.sms.api.sinch.com"
VALIDITY_BOUNDS = (timedelta(seconds=30), timedelta(days=3) - timedelta(minutes=1))
"""The expiry must be in the future by Sinch's clock, and at most three days ahead."""
ITEMS_PER_PAGE = 100
CLOCK_TOLERANCE = timedelta(minutes=1)
"""The clocks differ a little. A batch is recognized by its reference, not by its time."""
MAX_WEBHOOK_AGE = timedelta(hours=48)
"""Sinch repeats a webhook for 46 hours, and does not document whether it signs it anew."""
STATUSES: dict[str, MessageStatus] = {
    "queued": "sending",
    "dispatched": "sent",
    "delivered": "delivered",
    "aborted": "failed",
    "cancelled": "failed",
    "canceled": "failed",
    "rejected": "undelivered",
    "deleted": "undelivered",
    "failed": "undelivered",
    "expired": "undelivered",
    "unknown": "sent",
}
SUCCESS_CODES = frozenset({"0", "400", "401"})
"""The codes of delivered, queued and dispatched."""
TAKES_GET = False
TAKES_NAMES = True
ANSWERED_WORDS: frozenset[str] = frozenset()
YES_RESTORES = False
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 3.0, "short": 30.0}
"""Sinch agrees rates with each customer and publishes none. These are cautious figures."""
ACCOUNT_CODES = frozenset({"http_401", "http_402"})
ERROR_MEANINGS: Mapping[str, str] = {
    "http_400": "Sinch could not read the request.",
    "http_401": "Sinch refused the credentials. Check service plan and API token.",
    "http_402": "The Sinch account's credit is used up. Top it up.",
    "http_403": "The Sinch service plan may not send this. Ask Sinch to allow it.",
    "http_404": "Sinch does not know the service plan. Check its id and its region.",
    "402": "Sinch has no route to this number. Check the lead's phone.",
    "403": "Sinch failed inside. Trying once more may help.",
    "404": "The text could not be delivered for now. Try later.",
    "405": "Sinch could not fill in a parameter of the text.",
    "406": "The text expired before it could be delivered. Try later.",
    "407": "The text was cancelled at Sinch.",
    "408": "Sinch rejected the text. Check sender, registration and words.",
    "410": "The text had no sender that can be used there. Check the account's numbers.",
    "411": "The text has more parts than allowed. Shorten it.",
    "412": "The service plan may not text this region. Ask Sinch to allow it.",
}
"""The codes of delivery reports. Other codes are the carrier's own (SMPP). Sinch has no code for
an opt-out."""
MAX_MEDIA = 10


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    nearest, farthest = VALIDITY_BOUNDS
    body = {
        "to": [text.to.removeprefix("+")],
        "from": text.sender.removeprefix("+"),
        **_build_content(text),
        "delivery_report": "per_recipient",
        "callback_url": text.status_url,
        "client_reference": text.message_id,
        "expire_at": _format_time(now + min(max(text.validity, nearest), farthest)),
    }
    url = parse_url(f"{_get_plan_url(account)}/batches")
    return httpx.Request("POST", url, headers=_build_auth_headers(account), json=body)


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    if response.is_success:
        if carrier_id := get_line(answer, "id"):
            return Outcome("accepted", provider_message_id=carrier_id)
        return Outcome("unknown", detail="a success without a batch id")
    # Codes of reports look like HTTP statuses but mean something else, hence the prefix.
    code = get_line(answer, "code") or f"http_{response.status_code}"
    return judge_failure(response, code, get_line(answer, "text"))


def is_genuine(account: Account, hook: WebhookRequest, now: datetime) -> bool:
    given_signature, nonce, stamp, algorithm = (
        hook.headers.get(f"x-sinch-webhook-signature{part}", "") for part in ("", "-nonce", "-timestamp", "-algorithm")
    )
    secret = account.credentials["webhookSecret"]
    if not (secret and given_signature and nonce and TIMESTAMP.fullmatch(stamp)):
        return False
    if algorithm.lower() not in ("", "hmacsha256"):
        return False
    signed_bytes = b".".join((hook.body, nonce.encode("latin-1", "replace"), stamp.encode()))
    if not is_expected(given_signature, [sign_base64(secret, signed_bytes)]):
        return False
    require_fresh(int(stamp), now, MAX_WEBHOOK_AGE)
    return True


def read_inbound(hook: WebhookRequest) -> list[InboundText]:
    text = _read_text(parse_object(hook.body))
    return [text] if text else []


def read_status(hook: WebhookRequest) -> list[Receipt]:
    payload = parse_object(hook.body)
    kind, carrier_id = get_line(payload, "type") or "", get_line(payload, "batch_id")
    if carrier_id is None:
        return []
    # The reference before the URL's parameter: the signature covers the body, not the URL.
    our_reference = get_line(payload, "client_reference") or get_line(dict(hook.query), "message")
    if kind.startswith("recipient_delivery_report_"):
        raw_items: Any = [payload]
    elif kind.startswith("delivery_report_"):
        raw_items = payload.get("statuses")
    else:
        return []
    items = filter_objects(raw_items)
    # The batch has one recipient, so several statuses are those of the text's parts.
    return [
        replace(receipt, part=receipt.code or receipt.status) if len(items) > 1 else receipt
        for receipt in (_read_receipt(item, carrier_id, our_reference) for item in items)
    ]


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    params = {
        "client_reference": text.message_id,
        "start_date": _format_time(since - CLOCK_TOLERANCE),
        "page": "0",
        "page_size": str(ITEMS_PER_PAGE),
    }
    url = f"{_get_plan_url(account)}/batches"
    return httpx.Request("GET", url, params=params, headers=_build_auth_headers(account))


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> list[LookupMatch] | None:
    answer = parse_object(response.content)
    items = answer.get("batches")
    if not response.is_success or not isinstance(items, list):
        return None
    references = (text.message_id, None, "")
    open_items = [item for item in filter_objects(items) if item.get("client_reference") in references]
    matches = [
        LookupMatch(carrier_id, "failed" if item.get("canceled") is True else "sending", get_time(item, "created_at"))
        for item in open_items
        if item.get("client_reference") and (carrier_id := get_line(item, "id"))
    ]
    if not matches and (open_items or len(items) >= ITEMS_PER_PAGE or answer.get("count") != len(items)):
        return None  # a batch has no id or reference, or the list may continue on a later page
    return sorted(matches, key=lambda item: item.created_at or since)


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    return None  # the Numbers API does not accept the token of a service plan


def read_numbers(response: httpx.Response) -> NumberPage | None:
    return None


def build_history_request(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    params = {"start_date": _format_time(since), "page": page or "0", "page_size": str(ITEMS_PER_PAGE)}
    url = f"{_get_plan_url(account)}/inbounds"
    return httpx.Request("GET", url, params=params, headers=_build_auth_headers(account))


def read_history(response: httpx.Response, since: datetime) -> InboundPage | None:
    answer = parse_object(response.content)
    items = answer.get("inbounds")
    if not response.is_success or not isinstance(items, list):
        return None
    inbound_texts = (_read_text(item) for item in filter_objects(items))
    texts = tuple(text for text in inbound_texts if text and text.sent_at and text.sent_at >= since)
    return InboundPage(texts, _get_next_page(answer) if items else None)


def build_media_request(account: Account, url: str) -> httpx.Request:
    return build_attachment_request(url, _build_auth_headers(account), account.base_url or BASE_URL, "sinch.com")


def list_secrets(account: Account) -> tuple[str, ...]:
    values = (account.credentials.get(name) for name in ("apiToken", "webhookSecret"))
    return tuple(secret for secret in values if secret)


def _build_content(text: OutgoingText) -> dict[str, Any]:
    """The text, or one attachment with the text as its caption. Sinch takes only one attachment,
    so the URLs of the others are added to the caption."""
    if not text.media:
        return {"type": "mt_text", "body": text.text}
    first_url, *more_urls = text.media
    message = "\n".join(part for part in (text.text, *more_urls) if part)
    return {"type": "mt_media", "body": {"url": first_url} | ({"message": message} if message else {})}


def _get_next_page(data: Mapping[str, Any]) -> str | None:
    page, count = data.get("page"), data.get("count")
    if not (isinstance(page, int) and isinstance(count, int)):
        return None
    return str(page + 1) if (page + 1) * ITEMS_PER_PAGE < count else None


def _read_text(data: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = (get_line(data, name) for name in ("id", "from", "to"))
    kind, body = data.get("type"), data.get("body")
    if not (carrier_id and sender and to):
        return None
    attachments: tuple[Media, ...] = ()
    if kind == "mo_media" and isinstance(body, dict):
        attachments = tuple(
            Media(url, get_line(item, "content_type"))
            for item in filter_objects(body.get("media"))
            if (url := get_line(item, "url"))
        )[:MAX_MEDIA]
        # Not joined: a subject before the message would hide a STOP.
        body = next((body[x] for x in ("message", "subject") if _is_text(body.get(x))), "")
    elif kind != "mo_text" or not isinstance(body, str):
        return None  # a binary message has no text
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=body,
        media=attachments,
        sent_at=get_time(data, "received_at"),  # by Sinch's clock; `sent_at` is by the handset's
    )


def _read_receipt(item: Mapping[str, Any], carrier_id: str, our_reference: str | None) -> Receipt:
    code, recipient = get_line(item, "code"), get_line(item, "recipient")
    vendor_status = get_line(item, "status") or ""  # Sinch's documents disagree about capitals
    return Receipt(
        provider_message_id=carrier_id,
        status=STATUSES.get(vendor_status.lower()),
        message_id=our_reference,
        to=from_carrier(recipient) if recipient else None,
        code=None if code in SUCCESS_CODES else code,
        at=get_time(item, "at"),
    )


def _get_plan_url(account: Account) -> str:
    return f"{get_base_url(account, BASE_URL)}/xms/v1/{quote(account.credentials['servicePlanId'], safe='')}"


def _build_auth_headers(account: Account) -> dict[str, str]:
    return build_bearer_auth(account, "apiToken")


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())

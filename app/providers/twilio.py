"""Twilio Programmable Messaging, API 2010-04-01.

https://www.twilio.com/docs/messaging/api/message-resource
https://www.twilio.com/docs/usage/security#validating-requests
https://www.twilio.com/docs/api/errors

Twilio does not deduplicate and returns no reference of ours, so the StatusCallback URL of each
message carries our message id. A request that got a 5xx may have created the message.
"""

import base64
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit, urlunsplit

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
from app.providers.addresses import parse_url
from app.providers.reading import (
    filter_objects,
    get_object,
    get_retry_seconds,
    is_carrier_url,
    list_parameters,
    parse_object,
    read_parameters,
)

CREDENTIALS: tuple[str, ...] = ("accountSid", "authToken")
OPTIONAL_CREDENTIALS: tuple[str, ...] = ("sharedKeySecret",)
WEBHOOK_ANSWER = ("text/xml", b"<Response/>")
BASE_URL = "https://api.twilio.com"
VALIDITY_SECONDS = (1, 36_000)
MESSAGES_PER_PAGE = 200
MAX_PAGE_SIZE = 1000
CLOCK_TOLERANCE = timedelta(seconds=2)
"""`date_created` has whole seconds, and the clocks differ a little."""
FOREIGN_DIRECTIONS = frozenset({"inbound", "outbound-call", "outbound-reply"})
"""Directions of texts that we did not send. Twilio's own answers are `outbound-reply`."""
OPT_OUT_CODES = frozenset({"21610"})
RETRYABLE_CODES = frozenset({"20429", "21611"})
"""The text was surely not taken: too many requests at once, or the sender's queue is full."""
STATUSES: dict[str, MessageStatus] = {
    "accepted": "sending",
    "scheduled": "sending",
    "queued": "sending",
    "sending": "sending",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}
TAKES_GET = True
ANSWERS = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "help", "info"})
"""https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out. An account may have
other words; then the webhook's `OptOutType` says what Twilio took the text for."""
YES_RESTORES = True
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 3.0, "short": 100.0}
"""Twilio's own figure for local numbers, and its defaults for the others."""
CAPABILITIES: tuple[Capability, ...] = ("sms", "mms", "voice")
ERROR_MEANINGS: Mapping[str, str] = {
    "20003": "Twilio refused the credentials. Check account SID and auth token.",
    "20005": "The Twilio account is not active. Ask Twilio why it was suspended.",
    "20429": "Twilio took too many requests at once; the text is tried again.",
    "21211": "The recipient's number is not valid. Correct the lead's phone.",
    "21214": "The recipient's number cannot be reached. Check the lead's phone.",
    "21217": "The recipient's number is not valid. Correct the lead's phone.",
    "21408": "The Twilio account may not text this country. Allow it in its geo permissions.",
    "21602": "The text was empty.",
    "21606": "The sender is not a number of this Twilio account, or cannot text.",
    "21608": "A trial account texts verified numbers only. Upgrade the Twilio account.",
    "21610": "The recipient opted out from this sender. Only the recipient can undo it.",
    "21611": "The sender's queue at Twilio is full; the text is tried again.",
    "21612": "Twilio has no route between sender and recipient. Try another number.",
    "21614": "The recipient's number is not a mobile. Ask the lead for another one.",
    "21617": "The text is longer than Twilio takes (1600 characters).",
    "21619": "The text was empty.",
    "21620": "Twilio could not read an attachment's address.",
    "30001": "The sender's queue at Twilio overflowed. Send more slowly or from more numbers.",
    "30003": "The handset could not be reached: switched off or out of coverage. Try later.",
    "30004": "The recipient or the carrier blocked the text. Do not repeat it.",
    "30005": "The number is not known to its carrier. Check the lead's phone.",
    "30006": "The number is a landline or its carrier cannot be reached.",
    "30007": "The carrier filtered the text as unwanted. Change its words; check registration.",
    "30008": "Twilio does not know why it failed. Trying once more may help.",
    "30022": "The daily limit of the registered campaign (10DLC) is used up.",
    "30023": "The daily limit of the brand with this carrier (10DLC) is used up.",
    "30027": "The carrier's daily limit of the campaign (10DLC) is used up.",
    "30032": "The toll-free number is not verified yet. Finish its verification.",
    "30034": "The sender is not registered for US texts (10DLC). Register it.",
    "30410": "The carrier did not answer in time. Try later.",
    "14107": "More than 30 answers in 30 seconds between two numbers: Twilio stopped a loop.",
}
DEFAULT_PORTS = {"http": 80, "https": 443}
SMALL_COUNT = re.compile(r"[0-9]{1,4}")
DIGESTS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    shortest, longest = VALIDITY_SECONDS
    form: dict[str, str | list[str]] = {
        "To": text.to,
        "From": text.sender,
        "Body": text.text,
        "StatusCallback": text.status_url,
        "ValidityPeriod": str(min(max(int(text.validity.total_seconds()), shortest), longest)),
    }
    if text.media:
        form["MediaUrl"] = list(text.media)
    return httpx.Request(
        "POST",
        parse_url(_get_messages_url(account)),
        headers=_build_auth_headers(account),
        data=form,
    )


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    code = str(answer["code"]) if isinstance(answer.get("code"), int) else None
    detail = str(answer.get("message") or f"HTTP {response.status_code}")
    if response.is_success:
        if isinstance(sid := answer.get("sid"), str) and sid:
            return Outcome("accepted", provider_message_id=sid)
        return Outcome("unknown", detail="a success without a message sid")
    if code in OPT_OUT_CODES:
        return Outcome("opted_out", code=code, detail=detail)
    if response.status_code == 429 or code in RETRYABLE_CODES:
        return Outcome("later", code=code, detail=detail, retry_after=get_retry_seconds(response))
    if response.is_client_error:
        return Outcome("refused", code=code or str(response.status_code), detail=detail)
    return Outcome("unknown", code=code, detail=detail)


def is_genuine(account: Account, hook: WebhookRequest, now: datetime) -> bool:
    key, digest = _get_signing_key(account, hook)
    if not key or not digest:
        return False
    form = [] if hook.method == "GET" else hook.form
    if form is None and hook.body:
        body_digest = dict(hook.query).get("bodySHA256", "").lower().encode()
        if not hmac.compare_digest(sha256(hook.body).hexdigest().encode(), body_digest):
            return False
    account_sid = dict(list_parameters(hook)).get("AccountSid")
    if (form or account_sid) and account_sid != account.credentials["accountSid"]:
        return False
    form_text = "".join(f"{name}{value}" for name, value in sorted(set(form or ())))
    signature = hook.headers.get("x-twilio-signature", "").encode("latin-1", "replace")
    return any(
        hmac.compare_digest(_compute_signature(key, digest, url + form_text), signature)
        for url in _list_signed_urls(hook.url)
    )


def read_inbound(hook: WebhookRequest) -> list[InboundText]:
    form = read_parameters(hook)
    sid, sender, to = form.get("MessageSid"), form.get("From"), form.get("To")
    if not (sid and sender and to):
        return []
    count = form.get("NumMedia", "0")
    media = tuple(
        Media(form[f"MediaUrl{i}"], form.get(f"MediaContentType{i}"))
        for i in range(min(int(count), 10) if SMALL_COUNT.fullmatch(count) else 0)
        if form.get(f"MediaUrl{i}")
    )
    return [
        InboundText(
            provider_id=sid,
            sender=from_carrier(sender),
            to=from_carrier(to),
            text=form.get("Body", ""),
            media=media,
            taken_as=verdict(form.get("OptOutType")),
        )
    ]


def read_status(hook: WebhookRequest) -> list[Receipt]:
    form = read_parameters(hook)
    sid = form.get("MessageSid") or form.get("SmsSid")
    vendor_status = form.get("MessageStatus") or form.get("SmsStatus")
    if not (sid and vendor_status):
        return []
    code = form.get("ErrorCode") or None
    return [
        Receipt(
            provider_message_id=sid,
            status=STATUSES.get(vendor_status),
            message_id=dict(hook.query).get("message"),
            code=code,
            has_opted_out=code in OPT_OUT_CODES,
        )
    ]


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    # No filter on DateSent: a message that is still queued has none.
    params = {"To": text.to, "From": text.sender, "PageSize": str(MESSAGES_PER_PAGE)}
    return httpx.Request("GET", _get_messages_url(account), params=params, headers=_build_auth_headers(account))


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> list[LookupMatch] | None:
    items = parse_object(response.content).get("messages")
    if not response.is_success or not isinstance(items, list):
        return None
    items = filter_objects(items)
    reaches_back = any((at := _get_created_at(item)) and at < since - CLOCK_TOLERANCE for item in items)
    open_items = [item for item in items if not _is_other_text(item, text, since)]
    candidates = [_build_match(item, text) for item in open_items if isinstance(item.get("sid"), str)]
    if not any(candidate.sure for candidate in candidates) and (
        len(candidates) < len(open_items) or (len(items) >= MESSAGES_PER_PAGE and not reaches_back)
    ):
        # An entry has no id; or the list, newest first, may continue on a later page.
        return None
    return sorted(candidates, key=lambda item: (not item.sure, item.created_at or since))


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    path = f"/2010-04-01/Accounts/{account.credentials['accountSid']}/IncomingPhoneNumbers.json"
    return _build_page_request(account, page or f"{path}?PageSize={MAX_PAGE_SIZE}")


def read_numbers(response: httpx.Response) -> NumberPage | None:
    answer = parse_object(response.content)
    items = answer.get("incoming_phone_numbers")
    if not response.is_success or not isinstance(items, list):
        return None
    vendor_numbers = tuple(_read_number(item) for item in filter_objects(items))
    return NumberPage(tuple(n for n in vendor_numbers if n.phone_number), _get_next_page(answer))


def build_history_request(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    # Twilio filters by whole days in UTC, and not by direction.
    path = f"/2010-04-01/Accounts/{account.credentials['accountSid']}/Messages.json"
    day = since.astimezone(UTC).date().isoformat()
    return _build_page_request(account, page or f"{path}?PageSize={MAX_PAGE_SIZE}&DateSent%3E={day}")


def read_history(response: httpx.Response, since: datetime) -> InboundPage | None:
    answer = parse_object(response.content)
    items = answer.get("messages")
    if not response.is_success or not isinstance(items, list):
        return None
    texts = tuple(
        InboundText(
            provider_id=item["sid"],
            sender=from_carrier(item["from"]),
            to=from_carrier(item["to"]),
            text=str(item.get("body") or ""),
            sent_at=created_at,
        )
        for item in filter_objects(items)
        if item.get("direction") == "inbound"
        and all(isinstance(item.get(name), str) for name in ("sid", "from", "to"))
        and (created_at := _get_created_at(item)) is not None
        and created_at >= since
    )
    return InboundPage(texts, _get_next_page(answer))


def build_media_request(account: Account, url: str) -> httpx.Request:
    is_trusted = is_carrier_url(url, account.base_url or BASE_URL, "twilio.com")
    return httpx.Request("GET", url, headers=_build_auth_headers(account) if is_trusted else None)


def list_secrets(account: Account) -> tuple[str, ...]:
    values = (account.credentials.get(name) for name in ("authToken", "sharedKeySecret"))
    return (*(secret for secret in values if secret), _encode_credentials(account))


def _get_messages_url(account: Account) -> str:
    base = (account.base_url or BASE_URL).rstrip("/")
    return f"{base}/2010-04-01/Accounts/{account.credentials['accountSid']}/Messages.json"


def _build_page_request(account: Account, path: str) -> httpx.Request | None:
    """The request for a page by its path, which Twilio's answer names. None for anything that is
    not a path of the API: credentials must not go to another host."""
    if not path.startswith("/2010-04-01/"):
        return None
    base = (account.base_url or BASE_URL).rstrip("/")
    return httpx.Request("GET", f"{base}{path}", headers=_build_auth_headers(account))


def _get_next_page(answer: Mapping[str, Any]) -> str | None:
    path = answer.get("next_page_uri")
    return path if isinstance(path, str) and path else None


def _read_number(item: Mapping[str, Any]) -> VendorNumber:
    capabilities = get_object(item, "capabilities")
    return VendorNumber(
        phone_number=from_carrier(str(item.get("phone_number") or "")),
        capabilities=tuple(name for name in CAPABILITIES if capabilities.get(name) is True),
        label=str(item["friendly_name"]) if item.get("friendly_name") else None,
        inbound_url=str(item.get("sms_url") or ""),
        inbound_method=str(item.get("sms_method") or "") or None,
    )


def _encode_credentials(account: Account) -> str:
    pair = f"{account.credentials['accountSid']}:{account.credentials['authToken']}"
    return base64.b64encode(pair.encode()).decode()


def _build_auth_headers(account: Account) -> dict[str, str]:
    return {"Authorization": f"Basic {_encode_credentials(account)}"}


def _get_signing_key(account: Account, hook: WebhookRequest) -> tuple[str | None, str | None]:
    """Key and digest algorithm of the signature; None for what is not known. The settings header
    ("key=…,algorithm=…") means that a shared key signed, and not the auth token."""
    settings = hook.headers.get("x-twilio-webhooks-signature-settings", "")
    if not settings:
        return account.credentials["authToken"], "sha1"
    settings_by_name = dict(part.strip().split("=", 1) for part in settings.split(",") if "=" in part)
    digest = DIGESTS.get(settings_by_name.get("algorithm", "HMAC_SHA1").upper())
    return account.credentials.get("sharedKeySecret"), digest


def _compute_signature(key: str, digest: str, signed_text: str) -> bytes:
    signature = hmac.digest(key.encode(), signed_text.encode("utf-8", "surrogateescape"), digest)
    return base64.b64encode(signature)


def _list_signed_urls(url: str) -> Iterator[str]:
    """The URL without and with the default port: which one Twilio signs depends on the product
    and its age."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    default_port = DEFAULT_PORTS.get(parts.scheme)
    yield urlunsplit(parts._replace(netloc=host)) if parts.port == default_port else url
    yield urlunsplit(parts._replace(netloc=f"{host}:{parts.port or default_port}"))


def _build_match(item: Mapping[str, Any], text: OutgoingText) -> LookupMatch:
    status, created = STATUSES.get(str(item.get("status"))), _get_created_at(item)
    sure = created is not None and item.get("body") == text.text
    return LookupMatch(item["sid"], status, created, _get_error_code(item), sure)


def _is_other_text(item: Mapping[str, Any], text: OutgoingText, since: datetime) -> bool:
    """Whether the entry is surely another text, even if the words are the same."""
    numbers = ((item.get("to"), text.to), (item.get("from"), text.sender))
    return (
        ((created := _get_created_at(item)) is not None and created < since - CLOCK_TOLERANCE)
        or item.get("direction") in FOREIGN_DIRECTIONS
        or any(
            isinstance(theirs, str) and theirs and from_carrier(theirs) != our_number for theirs, our_number in numbers
        )
    )


def _get_created_at(item: Mapping[str, Any]) -> datetime | None:
    try:
        at = parsedate_to_datetime(str(item.get("date_created")))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)  # "-0000" means UTC without a place


def _get_error_code(item: Mapping[str, Any]) -> str | None:
    return None if item.get("error_code") is None else str(item["error_code"])

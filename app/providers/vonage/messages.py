"""Vonage's Messages API v1: sending, and its webhooks.

https://developer.vonage.com/en/api/messages
https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks
"""

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

import httpx
import jwt

from app.domain.carriage import Account, InboundText, Media, Outcome, OutgoingText, Receipt, WebhookRequest
from app.domain.phones import from_carrier
from app.domain.words import MessageStatus
from app.providers.reading import (
    filter_objects,
    get_line,
    get_object,
    get_price,
    get_text,
    get_time,
    judge_failure,
    parse_object,
)
from app.providers.requests import (
    build_attachment_request,
    build_basic_auth,
    encode_basic,
    get_base_url,
    limit_seconds,
    parse_url,
)
from app.providers.signatures import require_fresh
from app.providers.vonage.errors import OPT_OUT_CODES, RETRYABLE_CODES

BASE_URL = "https://api.nexmo.com"
BASIC_CREDENTIALS = ("apiKey", "apiSecret")
APPLICATION_CREDENTIALS = ("applicationId", "privateKey")
VENDOR_DOMAINS = ("nexmo.com", "vonage.com")
TTL_SECONDS = {"sms": (20, 604_800), "mms": (300, 259_200)}
TOKEN_LIFE = timedelta(minutes=15)
MEDIA_ENDINGS = {
    "image": (".jpg", ".jpeg", ".png", ".gif", ".bmp"),
    "vcard": (".vcf",),
    "audio": (".mp3",),
    "video": (".mp4",),
    "file": (),
}
"""Kinds of attachment, and the endings of a URL that mean them. `file` is any other."""
MAX_MEDIA = 10
STATUSES: dict[str, MessageStatus] = {
    "submitted": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "rejected": "failed",
    "undeliverable": "undelivered",
}
JWS = jwt.PyJWS(algorithms=["HS256"])


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    channel = "mms" if text.media else "sms"
    body = {
        "channel": channel,
        "to": text.to.removeprefix("+"),
        "from": text.sender.removeprefix("+"),
        **_build_content(text),
        "client_ref": text.message_id,
        "ttl": limit_seconds(text.validity, TTL_SECONDS[channel]),
        "webhook_url": text.status_url,
        "webhook_version": "v1",
    }
    token = _build_token(account, text, now)
    auth = {"Authorization": f"Bearer {token}"} if token else _build_auth_headers(account)
    url = parse_url(f"{get_base_url(account, BASE_URL)}/v1/messages")
    return httpx.Request("POST", url, headers=auth, json=body)


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    if response.is_success:
        if carrier_id := get_line(answer, "message_uuid"):
            return Outcome("accepted", provider_message_id=carrier_id)
        return Outcome("unknown", detail="a success without a message_uuid")
    code, detail = _get_error_code(answer), get_line(answer, "detail") or get_line(answer, "title")
    return judge_failure(response, code, detail, OPT_OUT_CODES, RETRYABLE_CODES)


def build_media_request(account: Account, url: str) -> httpx.Request:
    auth, base_url = _build_auth_headers(account), account.base_url or BASE_URL
    return build_attachment_request(url, auth, base_url, *VENDOR_DOMAINS)


def list_secrets(account: Account) -> tuple[str, ...]:
    names = ("apiSecret", "signatureSecret", "privateKey")
    values = (account.credentials.get(name) for name in names)
    return (*(secret for secret in values if secret), encode_basic(account, *BASIC_CREDENTIALS))


def _build_content(text: OutgoingText) -> dict[str, Any]:
    """The text, one attachment, or several; the text is the caption of the first."""
    if not text.media:
        return {"message_type": "text", "text": text.text}
    items: list[dict[str, str]] = [{"url": url} for url in text.media]
    if text.text:
        items[0]["caption"] = text.text
    if len(items) == 1:
        kind = _get_media_kind(text.media[0])
        return {"message_type": kind, kind: items[0]}
    parts = [{"type": _get_media_kind(item["url"]), **item} for item in items]
    return {"message_type": "content", "content": parts}


def _get_media_kind(url: str) -> str:
    path = url.partition("?")[0].lower()
    return next((kind for kind, endings in MEDIA_ENDINGS.items() if path.endswith(endings)), "file")


def _build_token(account: Account, text: OutgoingText, now: datetime) -> str | None:
    """The application's token for one request. None without an application or with an invalid
    key; then Basic authentication does, since every text names its webhook itself."""
    application, pem = (account.credentials.get(name) for name in APPLICATION_CREDENTIALS)
    if not (application and pem):
        return None
    claims = {
        "application_id": application,
        "iat": int(now.timestamp()),
        "exp": int((now + TOKEN_LIFE).timestamp()),
        "jti": f"{text.message_id}-{now.timestamp()}",
    }
    try:
        return jwt.encode(claims, _load_private_key(pem), algorithm="RS256")
    except Exception:  # an invalid key raises many kinds of errors
        return None


@lru_cache(maxsize=64)
def _load_private_key(pem: str) -> Any:
    """The key, from a cache: parsing it takes fifty times as long as signing."""
    return jwt.get_algorithm_by_name("RS256").prepare_key(pem.replace("\\n", "\n"))


def is_signed(account: Account, bearer: str, hook: WebhookRequest, now: datetime, max_age: timedelta) -> bool:
    """Messages API: whether a token (HS256 only) holds the hash of the raw body. A GET is
    refused: its parameters are in the URL, which the token does not cover."""
    scheme, _, token = bearer.partition(" ")
    secret = account.credentials["signatureSecret"]
    if hook.method != "POST" or scheme.lower() != "bearer" or not secret:
        return False
    try:
        claims = parse_object(JWS.decode(token.strip(), secret, algorithms=["HS256"]))
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False
    claimed_digest = (get_line(claims, "payload_hash") or "").lower().encode()
    if not hmac.compare_digest(sha256(hook.body).hexdigest().encode(), claimed_digest):
        return False
    if claims.get("api_key", account.credentials["apiKey"]) != account.credentials["apiKey"]:
        return False
    require_fresh(claims.get("iat"), now, max_age)
    return True


def convert_to_v1(data: dict[str, Any]) -> dict[str, Any]:
    """Brings a webhook of v0.1, which old accounts still get, into the shape of v1."""
    sender, to, message = (data.get(name) for name in ("from", "to", "message"))
    if not (isinstance(sender, dict) and isinstance(to, dict)):
        return data
    content = message.get("content") if isinstance(message, dict) else None
    flat = {"channel": sender.get("type"), "from": sender.get("number"), "to": to.get("number")}
    return {**(content if isinstance(content, dict) else {}), **data, **flat}


def read_text(data: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = (get_line(data, name) for name in ("message_uuid", "from", "to"))
    if not (carrier_id and sender and to) or data.get("channel") not in ("sms", "mms"):
        return None
    content = data.get("content")
    items = [data.get(kind) for kind in MEDIA_ENDINGS] + (content if isinstance(content, list) else [])
    attachments = filter_objects(items)
    urls = dict.fromkeys(url for item in attachments if (url := get_line(item, "url")))
    own_text = data.get("text")
    # The words of an MMS are its text, text parts among the content, and captions.
    pieces = [words for item in attachments for name in ("text", "caption") if (words := get_text(item, name))]
    if not isinstance(own_text, str) and not pieces and not urls:
        return None
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=own_text if isinstance(own_text, str) else "",
        media=tuple(Media(url) for url in [*urls][:MAX_MEDIA]),
        sent_at=get_time(data, "timestamp"),
    ).with_pieces(pieces)


def read_receipt(parameters: Mapping[str, Any], message_parameter: str | None) -> Receipt | None:
    carrier_id, vendor_status = get_line(parameters, "message_uuid"), get_line(parameters, "status")
    if not (carrier_id and vendor_status):
        return None
    code = _get_error_code(get_object(parameters, "error"))
    sender, to = get_line(parameters, "from"), get_line(parameters, "to")
    return Receipt(
        provider_message_id=carrier_id,
        status=STATUSES.get(vendor_status),
        message_id=get_line(parameters, "client_ref") or message_parameter,
        sender=from_carrier(sender) if sender else None,
        to=from_carrier(to) if to else None,
        code=None if code == "0" else code,
        has_opted_out=code in OPT_OUT_CODES,
        at=get_time(parameters, "timestamp"),
        price=get_price(get_object(parameters, "usage"), "price", "currency"),
    )


def _build_auth_headers(account: Account) -> dict[str, str]:
    return build_basic_auth(account, *BASIC_CREDENTIALS)


def _get_error_code(data: Mapping[str, Any]) -> str | None:
    """The error code: the title of a receipt's error (v0.1: its code), or the end of the type of
    an answer's problem."""
    for name in ("code", "title"):
        code = get_line(data, name)
        if code and code.isdecimal():
            return code
    return (get_line(data, "type") or "").partition("#")[2] or None

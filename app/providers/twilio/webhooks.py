"""Twilio's webhooks: signatures, inbound texts and receipts.

https://www.twilio.com/docs/usage/security#validating-requests
"""

import hmac
import re
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlsplit, urlunsplit

from app.domain.carriage import Account, InboundText, Media, Receipt, WebhookRequest
from app.domain.optout import verdict
from app.domain.phones import from_carrier
from app.providers.reading import get_message_parameter, list_parameters, read_parameters
from app.providers.signatures import is_expected, sign_base64
from app.providers.twilio.errors import OPT_OUT_CODES
from app.providers.twilio.messages import STATUSES

DEFAULT_PORTS = {"http": 80, "https": 443}
SMALL_COUNT = re.compile(r"[0-9]{1,4}")
DIGESTS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}


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
    signed_texts = (f"{url}{form_text}".encode("utf-8", "surrogateescape") for url in _list_signed_urls(hook.url))
    signatures = (sign_base64(key, signed_text, digest) for signed_text in signed_texts)
    return is_expected(hook.headers.get("x-twilio-signature", ""), signatures)


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
            message_id=get_message_parameter(hook),
            to=from_carrier(form.get("To", "")) or None,
            code=code,
            has_opted_out=code in OPT_OUT_CODES,
        )
    ]


def _get_signing_key(account: Account, hook: WebhookRequest) -> tuple[str | None, str | None]:
    """Key and digest algorithm of the signature; None for what is not known. The settings header
    ("key=…,algorithm=…") means that a shared key signed, and not the auth token."""
    settings = hook.headers.get("x-twilio-webhooks-signature-settings", "")
    if not settings:
        return account.credentials["authToken"], "sha1"
    settings_by_name = dict(part.strip().split("=", 1) for part in settings.split(",") if "=" in part)
    digest = DIGESTS.get(settings_by_name.get("algorithm", "HMAC_SHA1").upper())
    return account.credentials.get("sharedKeySecret"), digest


def _list_signed_urls(url: str) -> Iterator[str]:
    """The URL as it is, then without and with the default port: which one Twilio signs depends on the
    product and its age. Most sign the first, and the others cost more than the signature."""
    yield url
    parts = urlsplit(url)
    host = parts.hostname or ""
    default_port = DEFAULT_PORTS.get(parts.scheme)
    if parts.port == default_port:
        yield urlunsplit(parts._replace(netloc=host))
    yield urlunsplit(parts._replace(netloc=f"{host}:{parts.port or default_port}"))

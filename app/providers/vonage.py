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

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import md5, sha256
from typing import Any

import httpx
import jwt

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
    TextPart,
    VendorNumber,
    WebhookRequest,
)
from app.domain.phones import NumberKind, from_carrier
from app.domain.problems import Unavailable
from app.domain.words import Capability, MessageStatus
from app.providers.addresses import parse_url
from app.providers.reading import (
    clean_text,
    filter_objects,
    get_line,
    get_object,
    get_retry_seconds,
    get_time,
    is_carrier_url,
    parse_json,
    parse_object,
)

CREDENTIALS: tuple[str, ...] = ("apiKey", "apiSecret", "signatureSecret")
OPTIONAL_CREDENTIALS: tuple[str, ...] = ("applicationId", "privateKey")
WEBHOOK_ANSWER = ("application/json", b"{}")
BASE_URL = "https://api.nexmo.com"
NUMBERS_BASE_URL = "https://rest.nexmo.com"
VENDOR_DOMAINS = ("nexmo.com", "vonage.com")
TTL_SECONDS = {"sms": (20, 604_800), "mms": (300, 259_200)}
NUMBERS_PER_PAGE = 100
TOKEN_LIFE = timedelta(minutes=15)
MAX_WEBHOOK_AGE, MAX_CLOCK_LEAD = timedelta(hours=25), timedelta(minutes=5)
"""Vonage repeats a webhook for 24 hours, and does not document whether it signs it anew."""
MEDIA_ENDINGS = {
    "image": (".jpg", ".jpeg", ".png", ".gif", ".bmp"),
    "vcard": (".vcf",),
    "audio": (".mp3",),
    "video": (".mp4",),
    "file": (),
}
"""Kinds of attachment, and the endings of a URL that mean them. `file` is any other."""
MAX_MEDIA = 10
OPT_OUT_CODES = frozenset({"1240", "9"})
RETRYABLE_CODES = frozenset({"1000"})
STATUSES: dict[str, MessageStatus] = {
    "submitted": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "rejected": "failed",
    "undeliverable": "undelivered",
}
SMS_API_STATUSES: dict[str, MessageStatus] = {
    "accepted": "sent",
    "buffered": "sent",
    "unknown": "sent",
    "delivered": "delivered",
    "expired": "undelivered",
    "failed": "undelivered",
    "rejected": "undelivered",
}
TAKES_GET = True
ANSWERS: frozenset[str] = frozenset()
YES_RESTORES = False
SEGMENTS_PER_SECOND: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 3.0, "short": 30.0}
"""Vonage takes 30 requests a second from an API key. Carriers take less from a local or toll-free
number; these are cautious figures."""
CAPABILITIES: tuple[Capability, ...] = ("sms", "mms", "voice")
ERROR_MEANINGS: Mapping[str, str] = {
    "401": "Vonage refused the credentials. Check API key and secret, or application and key.",
    "unauthorized": "Vonage refused the credentials. Check API key and secret.",
    "unathorized": "Vonage refused the credentials. Check API key and secret.",  # Vonage's own spelling
    "unprovisioned": "This Vonage account may not use the Messages API. Ask Vonage to allow it.",
    "low-balance": "The Vonage account's credit is used up. Top it up.",
    "invalid-json": "Vonage could not read the request.",
    "1000": "Vonage took too many requests at once; the text is tried again.",
    "1010": "Something that Vonage requires was missing.",
    "1020": "Vonage refused a value of the request.",
    "1030": "Vonage failed inside. Trying once more may help.",
    "1040": "Vonage could not process the text; often the number's prefix is unknown to it.",
    "1050": "Vonage lets no texts through to this number.",
    "1060": "The Vonage account is barred from sending. Ask Vonage why.",
    "1070": "The Vonage account's credit is used up. Top it up.",
    "1080": "The Vonage account may not send this way. Ask Vonage to allow it.",
    "1090": "The text is longer than Vonage takes.",
    "1100": "Vonage could not reach the carrier. Trying once more may help.",
    "1120": "The sender is not allowed here. In North America it must be a number of the account.",
    "1130": "Vonage refused the text's time to live.",
    "1140": "The account lacks a feature that the text needs. Ask Vonage to enable it.",
    "1150": "Vonage refused a value of the request.",
    "1160": "A trial account texts listed numbers only. Add the number, or top up the account.",
    "1170": "The recipient's number is missing or not valid. Correct the lead's phone.",
    "1180": "The handset is switched off or out of coverage for now. Try later.",
    "1190": "The number is no longer in use. Ask the lead for another one.",
    "1200": "The number changed its carrier and is not set up there. The lead must ask there.",
    "1210": "The carrier took the text for spam. Change its words; check the sender.",
    "1220": "The handset was busy. Try later.",
    "1230": "The carrier's network failed for now. Try later.",
    "1240": "The recipient opted out from this sender. Only the recipient can undo it.",
    "1241": "This number was sent too many texts. Wait before the next.",
    "1250": "Vonage has no route to this number, or to its kind of contract.",
    "1251": "The account's routing rules let no text through to this network.",
    "1260": "The number could not be reached. Check the lead's phone.",
    "1270": "The carrier blocked the text because of the recipient's age.",
    "1280": "The carrier blocked the text, often because of the recipient's plan.",
    "1282": "The carrier chose to block the text. Change its words; check registration.",
    "1290": "The recipient's prepaid credit does not suffice to receive the text.",
    "1300": "The number does not belong to the carrier's network.",
    "1310": "The recipient's device cannot receive the message.",
    "1320": "The message was sent already.",
    "1330": "The carrier did not say why it failed. Check the lead's phone.",
    "1331": "The carrier did not respond. Try in a few minutes.",
    "1360": "The text expired before it could be delivered. Try later.",
    "1380": "Vonage could not fetch an attachment. Check its address.",
    "1381": "An attachment is too large.",
    "1382": "Vonage does not take this type of attachment.",
    "1420": "The sender is not valid for texts. Check that the number belongs to the account.",
    "1430": "The recipient's number is not valid. Correct the lead's phone.",
    "1440": "Vonage does not send this type of message here.",
    "1450": "Vonage refused the text's reference.",
    "1460": "The daily limit of the registered campaign (10DLC) is used up.",
    "1470": "Vonage's fraud protection blocks this number's prefix.",
    "1472": "Vonage's fraud protection stopped a burst of texts. Send more slowly.",
    "1473": "Vonage's fraud protection rejected the text.",
    "1480": "The country demands a registered sender entity. Register it with Vonage.",
    "1481": "The country demands a registered sender name. Register it with Vonage.",
    "1482": "The country demands a registered wording. Register it with Vonage.",
    "1483": "The recipient's consent is not registered as the country demands.",
    "1484": "A rule of the country stopped the text. Ask Vonage which.",
    # The codes of the SMS API's receipts. (Its answers to a send use other numbers.)
    "1": "The carrier did not say why it failed.",
    "2": "The handset is switched off or out of coverage for now. Try later.",
    "3": "The number is no longer in use. Ask the lead for another one.",
    "4": "The recipient or the carrier blocked the text. Do not repeat it.",
    "5": "The number changed its carrier and is not set up there. The lead must ask there.",
    "6": "The carrier took the text for spam. Change its words; check the sender.",
    "7": "The handset was busy. Try later.",
    "8": "The carrier's network failed for now. Try later.",
    "9": "The recipient opted out from this sender. Only the recipient can undo it.",
    "10": "The carrier refused the text as not valid.",
    "11": "Vonage has no route to this number.",
    "12": "The number could not be reached. Check the lead's phone.",
    "13": "The carrier blocked the text because of the recipient's age.",
    "14": "The carrier blocked the text, often because of the recipient's plan.",
}
TIMESTAMP = re.compile(r"[0-9]{1,12}")
SMALL_NUMBER = re.compile(r"[0-9]{1,3}")
MAX_PARTS = 255
DIGESTS = ("md5", "sha1", "sha256", "sha512")
JWS = jwt.PyJWS(algorithms=["HS256"])


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    channel = "mms" if text.media else "sms"
    shortest, longest = TTL_SECONDS[channel]
    body = {
        "channel": channel,
        "to": text.to.removeprefix("+"),
        "from": text.sender.removeprefix("+"),
        **_build_content(text),
        "client_ref": text.message_id,
        "ttl": min(max(int(text.validity.total_seconds()), shortest), longest),
        "webhook_url": text.status_url,
        "webhook_version": "v1",
    }
    token = _build_token(account, text, now)
    auth = {"Authorization": f"Bearer {token}"} if token else _build_auth_headers(account)
    url = parse_url(f"{_get_base_url(account, BASE_URL)}/v1/messages")
    return httpx.Request("POST", url, headers=auth, json=body)


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    if response.is_success:
        if carrier_id := get_line(answer, "message_uuid"):
            return Outcome("accepted", provider_message_id=carrier_id)
        return Outcome("unknown", detail="a success without a message_uuid")
    code = _get_error_code(answer)
    detail = get_line(answer, "detail") or get_line(answer, "title") or f"HTTP {response.status_code}"
    if not response.is_client_error:  # a 500 may have the code of "throttled", too
        return Outcome("unknown", code=code, detail=detail)
    if response.status_code == 429 or code in RETRYABLE_CODES:
        return Outcome("later", code=code, detail=detail, retry_after=get_retry_seconds(response))
    if code in OPT_OUT_CODES:
        return Outcome("opted_out", code=code, detail=detail)
    return Outcome("refused", code=code or str(response.status_code), detail=detail)


def is_genuine(account: Account, hook: WebhookRequest, now: datetime) -> bool:
    bearer = hook.headers.get("authorization")
    if bearer is not None:
        return _is_signed_by_token(account, bearer, hook, now)
    parameters = _read_parameters(hook)
    if "sig" in parameters:
        return _is_signed_by_parameter(account, parameters, now)
    if hook.method == "GET" or "msisdn" in parameters or "messageId" in parameters:
        return False  # the SMS API with signatures switched off: a repetition is not signed either
    # After an internal fault Vonage sends a webhook unsigned. After a 5xx it repeats it signed;
    # after a 401 it gives up, and the text would be lost.
    raise Unavailable("The webhook is not signed; repeat it signed.")


def read_inbound(hook: WebhookRequest) -> list[InboundText]:
    parameters = _read_parameters(hook)
    if "status" in parameters:
        return []  # a receipt that was posted to the inbound URL
    text = _read_sms_api_text(parameters) if "messageId" in parameters else _read_text(_convert_to_v1(parameters))
    return [text] if text else []


def read_status(hook: WebhookRequest) -> list[Receipt]:
    parameters = _read_parameters(hook)
    is_sms_api = "messageId" in parameters
    parameters = parameters if is_sms_api else _convert_to_v1(parameters)
    carrier_id, vendor_status = (
        get_line(parameters, "messageId" if is_sms_api else "message_uuid"),
        get_line(parameters, "status"),
    )
    if not (carrier_id and vendor_status):
        return []
    code = get_line(parameters, "err-code") if is_sms_api else _get_error_code(get_object(parameters, "error"))
    # In a receipt of the SMS API msisdn is the recipient; in an inbound text it is the sender.
    sender, to = (get_line(parameters, name) for name in (("to", "msisdn") if is_sms_api else ("from", "to")))
    our_reference = get_line(parameters, "client-ref" if is_sms_api else "client_ref")
    return [
        Receipt(
            provider_message_id=carrier_id,
            status=(SMS_API_STATUSES if is_sms_api else STATUSES).get(vendor_status),
            # The reference before the URL's parameter: the signature covers the body, not the URL.
            message_id=our_reference or get_line(dict(hook.query), "message"),
            sender=from_carrier(sender) if sender else None,
            to=from_carrier(to) if to else None,
            code=None if code == "0" else code,
            has_opted_out=code in OPT_OUT_CODES,
            at=get_time(parameters, "message-timestamp" if is_sms_api else "timestamp"),
        )
    ]


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    return None


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> Sequence[LookupMatch] | None:
    return None


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    return httpx.Request(
        "GET",
        f"{_get_base_url(account, NUMBERS_BASE_URL)}/account/numbers",
        params={"size": str(NUMBERS_PER_PAGE), "index": page or "1"},
        headers=_build_auth_headers(account),
    )


def read_numbers(response: httpx.Response) -> NumberPage | None:
    answer = parse_json(response.content)
    if not response.is_success or not isinstance(answer, dict):
        return None
    count = answer.get("count", 0)
    items = answer.get("numbers", None if count else [])  # an account without numbers gets {}
    if not isinstance(items, list) or not isinstance(count, int):
        return None
    vendor_numbers = tuple(
        _read_number(item, number) for item in filter_objects(items) if (number := get_line(item, "msisdn"))
    )
    return NumberPage(
        vendor_numbers,
        _get_next_page(response, count) if items and count > NUMBERS_PER_PAGE else None,
    )


def build_history_request(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None


def read_history(response: httpx.Response, since: datetime) -> InboundPage | None:
    return None


def build_media_request(account: Account, url: str) -> httpx.Request:
    is_trusted = is_carrier_url(url, account.base_url or BASE_URL, *VENDOR_DOMAINS)
    return httpx.Request("GET", url, headers=_build_auth_headers(account) if is_trusted else None)


def list_secrets(account: Account) -> tuple[str, ...]:
    names = ("apiSecret", "signatureSecret", "privateKey")
    values = (account.credentials.get(name) for name in names)
    return (*(secret for secret in values if secret), _encode_credentials(account))


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
    application, pem = (account.credentials.get(name) for name in OPTIONAL_CREDENTIALS)
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


def _is_signed_by_token(account: Account, bearer: str, hook: WebhookRequest, now: datetime) -> bool:
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
    _require_fresh(claims.get("iat"), now)
    return True


def _is_signed_by_parameter(account: Account, parameters: Mapping[str, Any], now: datetime) -> bool:
    """SMS API: whether `sig` signs all other parameters, by any of the methods that an account
    can choose."""
    signature, stamp = (
        (get_line(parameters, "sig") or "").lower().encode(),
        get_line(parameters, "timestamp") or "",
    )
    secret = account.credentials["signatureSecret"].encode()
    if not secret or not TIMESTAMP.fullmatch(stamp):
        return False
    if not all(isinstance(value, str | int) for value in parameters.values()):
        return False
    pairs = (
        f"&{name}={re.sub('[&=]', '_', str(value))}" for name, value in sorted(parameters.items()) if name != "sig"
    )
    signed_bytes = "".join(pairs).encode("utf-8", "replace")
    signatures = [md5(signed_bytes + secret, usedforsecurity=False).hexdigest()]
    signatures += [hmac.digest(secret, signed_bytes, digest).hex() for digest in DIGESTS]
    if not any([hmac.compare_digest(expected_signature.encode(), signature) for expected_signature in signatures]):
        return False
    if parameters.get("api-key", account.credentials["apiKey"]) != account.credentials["apiKey"]:
        return False
    _require_fresh(int(stamp), now)
    return True


def _require_fresh(at: object, now: datetime) -> None:
    """Raises `Unavailable` for an age that no clock error and no repetition explains. If it is
    Vonage's webhook all the same, a 5xx makes Vonage repeat it; after a 4xx it would be lost."""
    earliest, latest = (now - MAX_WEBHOOK_AGE).timestamp(), (now + MAX_CLOCK_LEAD).timestamp()
    if not (isinstance(at, int | float) and earliest <= at <= latest):
        raise Unavailable("The webhook's signature is not of today.")


def _convert_to_v1(data: dict[str, Any]) -> dict[str, Any]:
    """Brings a webhook of v0.1, which old accounts still get, into the shape of v1."""
    sender, to, message = (data.get(name) for name in ("from", "to", "message"))
    if not (isinstance(sender, dict) and isinstance(to, dict)):
        return data
    content = message.get("content") if isinstance(message, dict) else None
    flat = {"channel": sender.get("type"), "from": sender.get("number"), "to": to.get("number")}
    return {**(content if isinstance(content, dict) else {}), **data, **flat}


def _read_text(data: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = (get_line(data, name) for name in ("message_uuid", "from", "to"))
    if not (carrier_id and sender and to) or data.get("channel") not in ("sms", "mms"):
        return None
    content = data.get("content")
    items = [data.get(kind) for kind in MEDIA_ENDINGS] + (content if isinstance(content, list) else [])
    attachments = filter_objects(items)
    urls = dict.fromkeys(url for item in attachments if (url := get_line(item, "url")))
    candidate_texts = (data.get("text"), *(item.get("caption") for item in attachments))
    text = next((candidate for candidate in candidate_texts if isinstance(candidate, str)), None)
    if text is None and not urls:
        return None
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=clean_text(text or ""),
        media=tuple(Media(url) for url in [*urls][:MAX_MEDIA]),
        sent_at=get_time(data, "timestamp"),
    )


def _read_sms_api_text(data: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = (get_line(data, name) for name in ("messageId", "msisdn", "to"))
    text = data.get("text")
    if not (carrier_id and sender and to and isinstance(text, str)):
        return None
    if data.get("type") == "binary":
        return None  # binary data for a device, not a text
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=clean_text(text),
        sent_at=get_time(data, "message-timestamp"),
        part=_read_part(data),
    )


def _read_part(data: Mapping[str, Any]) -> TextPart | None:
    reference, number, total = (get_line(data, f"concat-{name}") or "" for name in ("ref", "part", "total"))
    if get_line(data, "concat") != "true" or not (
        reference and SMALL_NUMBER.fullmatch(number) and SMALL_NUMBER.fullmatch(total)
    ):
        return None
    part = TextPart(reference, int(number), int(total))
    return part if 1 <= part.number <= part.total <= MAX_PARTS else None


def _get_next_page(response: httpx.Response, count: int) -> str | None:
    index = int(response.request.url.params["index"])  # the answer does not name its page
    return str(index + 1) if index * NUMBERS_PER_PAGE < count else None


def _read_number(item: Mapping[str, Any], number: str) -> VendorNumber:
    capabilities = item.get("features")
    capabilities = (
        [feature.lower() for feature in capabilities if isinstance(feature, str)]
        if isinstance(capabilities, list)
        else []
    )
    # The list shows a number's own webhook, but not the application's or the account's.
    has_own_url = item.get("messagesCallbackType") != "app"
    return VendorNumber(
        phone_number=from_carrier(number),
        capabilities=tuple(name for name in CAPABILITIES if name in capabilities),
        label=get_line(item, "type"),
        inbound_url=get_line(item, "moHttpUrl") if has_own_url else None,
    )


def _get_base_url(account: Account, base: str) -> str:
    return (account.base_url or base).rstrip("/")


def _encode_credentials(account: Account) -> str:
    pair = f"{account.credentials['apiKey']}:{account.credentials['apiSecret']}"
    return base64.b64encode(pair.encode()).decode()


def _build_auth_headers(account: Account) -> dict[str, str]:
    return {"Authorization": f"Basic {_encode_credentials(account)}"}


def _get_error_code(data: Mapping[str, Any]) -> str | None:
    """The error code: the title of a receipt's error (v0.1: its code), or the end of the type of
    an answer's problem."""
    for name in ("code", "title"):
        code = get_line(data, name)
        if code and code.isdecimal():
            return code
    return (get_line(data, "type") or "").partition("#")[2] or None


def _read_parameters(hook: WebhookRequest) -> dict[str, Any]:
    """The webhook's parameters: the query of a GET, a form, or a JSON object."""
    if hook.method == "GET":
        return dict(hook.query)
    return parse_object(hook.body) if hook.form is None else dict(hook.form)

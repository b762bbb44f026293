"""Vonage: the Messages API v1, and the older SMS API as a second dialect of its webhooks.

https://developer.vonage.com/en/api/messages
https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks
https://developer.vonage.com/en/getting-started/concepts/signing-messages
https://developer.vonage.com/en/api/sms
https://developer.vonage.com/en/api/numbers
https://developer.vonage.com/en/api-errors/messages

Texts leave by the Messages API only. Inbound texts and receipts come in the dialect that the
account's SMS setting names, so both are read. Our message id travels in client_ref, which every
receipt repeats. Vonage deduplicates nothing, and asking for a text afterwards costs money
(Reports API): the receipt settles what is unknown.
"""

import base64
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import md5, sha256
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from app.domain.carriage import (
    Account,
    Found,
    Hook,
    InboundText,
    Listed,
    Listing,
    Media,
    Missed,
    Outcome,
    Outgoing,
    Part,
    Receipt,
)
from app.domain.phones import NumberKind, from_carrier
from app.domain.problems import Unavailable
from app.domain.words import Capability, MessageStatus
from app.providers.addresses import address

CREDENTIALS: tuple[str, ...] = ("apiKey", "apiSecret", "signatureSecret")
OPTIONAL: tuple[str, ...] = ("applicationId", "privateKey")
ANSWER = ("application/json", b"{}")
BASE = "https://api.nexmo.com"
NUMBERS_BASE = "https://rest.nexmo.com"
HOSTS = ("nexmo.com", "vonage.com")
TTL_SECONDS = {"sms": (20, 604_800), "mms": (300, 259_200)}
PAGE = 100
TOKEN_LIFE = timedelta(minutes=15)
OLDEST, AHEAD = timedelta(hours=25), timedelta(minutes=5)
"""Vonage repeats a webhook for 24 hours, and does not say whether it signs it anew."""
KINDS = {
    "image": (".jpg", ".jpeg", ".png", ".gif", ".bmp"),
    "vcard": (".vcf",),
    "audio": (".mp3",),
    "video": (".mp4",),
    "file": (),
}
"""Kinds of attachment, and by which ending of its address one is told; a file is any."""
MOST_MEDIA = 10
OPTED_OUT = frozenset({"1240", "9"})
LATER = frozenset({"1000"})
STATUSES: dict[str, MessageStatus] = {
    "submitted": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "rejected": "failed",
    "undeliverable": "undelivered",
}
OLD_STATUSES: dict[str, MessageStatus] = {
    "accepted": "sent",
    "buffered": "sent",
    "unknown": "sent",
    "delivered": "delivered",
    "expired": "undelivered",
    "failed": "undelivered",
    "rejected": "undelivered",
}
BY_GET = True
ANSWERS: frozenset[str] = frozenset()
YES_RESTORES = False
RATES: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 3.0, "short": 30.0}
"""Vonage takes 30 requests a second from an API key; what carriers take from a local or
toll-free number is less, and these are careful figures."""
CAPABILITIES: tuple[Capability, ...] = ("sms", "mms", "voice")
ERRORS: Mapping[str, str] = {
    "401": "Vonage refused the credentials. Check API key and secret, or application and key.",
    "unauthorized": "Vonage refused the credentials. Check API key and secret.",
    "unathorized": "Vonage refused the credentials. Check API key and secret.",  # as it spells it
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
    # The receipts of the SMS API; its answers to a sending have numbers of their own.
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
STAMP = re.compile(r"[0-9]{1,12}")
SMALL = re.compile(r"[0-9]{1,3}")
MOST_PARTS = 255
DIGESTS = ("md5", "sha1", "sha256", "sha512")
JWS = jwt.PyJWS(algorithms=["HS256"])


def request(account: Account, text: Outgoing, now: datetime) -> httpx.Request:
    channel = "mms" if text.media else "sms"
    shortest, longest = TTL_SECONDS[channel]
    body = {
        "channel": channel,
        "to": text.to.removeprefix("+"),
        "from": text.sender.removeprefix("+"),
        **_content(text),
        "client_ref": text.message_id,
        "ttl": min(max(int(text.validity.total_seconds()), shortest), longest),
        "webhook_url": text.status_url,
        "webhook_version": "v1",
    }
    token = _token(account, text, now)
    auth = {"Authorization": f"Bearer {token}"} if token else _auth(account)
    url = address(f"{_base(account, BASE)}/v1/messages")
    return httpx.Request("POST", url, headers=auth, json=body)


def outcome(response: httpx.Response) -> Outcome:
    said = _object(response.content)
    if response.is_success:
        if carrier_id := _word(said, "message_uuid"):
            return Outcome("accepted", provider_message_id=carrier_id)
        return Outcome("unknown", detail="a success without a message_uuid")
    code = _code(said)
    detail = _word(said, "detail") or _word(said, "title") or f"HTTP {response.status_code}"
    if not response.is_client_error:  # the document shows the code of "throttled" under a 500, too
        return Outcome("unknown", code=code, detail=detail)
    if response.status_code == 429 or code in LATER:
        wait = response.headers.get("retry-after", "")
        seconds = float(wait) if wait.isdecimal() else None
        return Outcome("later", code=code, detail=detail, retry_after=seconds)
    if code in OPTED_OUT:
        return Outcome("opted_out", code=code, detail=detail)
    return Outcome("refused", code=code or str(response.status_code), detail=detail)


def genuine(account: Account, hook: Hook, now: datetime) -> bool:
    bearer = hook.headers.get("authorization")
    if bearer is not None:
        return _signed_by_token(account, bearer, hook, now)
    said = _said(hook)
    if "sig" in said:
        return _signed_by_parameter(account, said, now)
    if hook.method == "GET" or "msisdn" in said or "messageId" in said:
        return False  # the SMS API with its signatures off: it would stay so
    # On a fault of its own Vonage sends a webhook unsigned, and repeats after a 5xx, signed; after
    # a 401 the text would be lost.
    raise Unavailable("The webhook is not signed; repeat it signed.")


def read_inbound(hook: Hook) -> list[InboundText]:
    said = _said(hook)
    if "status" in said:
        return []  # a receipt that went to the wrong address
    text = _old_text(said) if "messageId" in said else _text(_as_v1(said))
    return [text] if text else []


def read_status(hook: Hook) -> list[Receipt]:
    said = _said(hook)
    old = "messageId" in said
    said = said if old else _as_v1(said)
    carrier_id, word = _word(said, "messageId" if old else "message_uuid"), _word(said, "status")
    if not (carrier_id and word):
        return []
    error = said.get("error")
    code = _word(said, "err-code") if old else _code(error if isinstance(error, dict) else {})
    # Here the SMS API's msisdn is the recipient: the reverse of an inbound text.
    sender, to = (_word(said, name) for name in (("to", "msisdn") if old else ("from", "to")))
    ours = _word(said, "client-ref" if old else "client_ref")
    return [
        Receipt(
            provider_message_id=carrier_id,
            status=(OLD_STATUSES if old else STATUSES).get(word),
            # The reference first: the signature covers the body, and not the address.
            message_id=ours or _word(dict(hook.query), "message"),
            sender=from_carrier(sender) if sender else None,
            to=from_carrier(to) if to else None,
            code=None if code == "0" else code,
            opted_out=code in OPTED_OUT,
            at=_at(said.get("message-timestamp" if old else "timestamp")),
        )
    ]


def lookup(account: Account, text: Outgoing, since: datetime) -> httpx.Request | None:
    return None


def found(response: httpx.Response, text: Outgoing, since: datetime) -> Sequence[Found] | None:
    return None


def numbers(account: Account, page: str | None) -> httpx.Request | None:
    return httpx.Request(
        "GET",
        f"{_base(account, NUMBERS_BASE)}/account/numbers",
        params={"size": str(PAGE), "index": page or "1"},
        headers=_auth(account),
    )


def listed(response: httpx.Response) -> Listing | None:
    said = _json(response.content)
    if not response.is_success or not isinstance(said, dict):
        return None
    count = said.get("count", 0)
    items = said.get("numbers", None if count else [])  # {} is an account without numbers
    if not isinstance(items, list) or not isinstance(count, int):
        return None
    numbers = tuple(
        _listed(item, number) for item in items if isinstance(item, dict) and (number := _word(item, "msisdn"))
    )
    return Listing(numbers, _next(response, count) if items and count > PAGE else None)


def history(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None


def missed(response: httpx.Response, since: datetime) -> Missed | None:
    return None


def media(account: Account, url: str) -> httpx.Request:
    return httpx.Request("GET", url, headers=_auth(account) if _own(account, url) else None)


def secrets(account: Account) -> tuple[str, ...]:
    names = ("apiSecret", "signatureSecret", "privateKey")
    held = (account.credentials.get(name) for name in names)
    return (*(secret for secret in held if secret), _basic(account))


def opting_out(code: str) -> bool:
    return code in OPTED_OUT


def _content(text: Outgoing) -> dict[str, Any]:
    """The text, or its one attachment, or its attachments, the words under the first."""
    if not text.media:
        return {"message_type": "text", "text": text.text}
    items: list[dict[str, str]] = [{"url": url} for url in text.media]
    if text.text:
        items[0]["caption"] = text.text
    if len(items) == 1:
        kind = _kind(text.media[0])
        return {"message_type": kind, kind: items[0]}
    parts = [{"type": _kind(item["url"]), **item} for item in items]
    return {"message_type": "content", "content": parts}


def _kind(url: str) -> str:
    path = url.partition("?")[0].lower()
    return next((kind for kind, endings in KINDS.items() if path.endswith(endings)), "file")


def _token(account: Account, text: Outgoing, now: datetime) -> str | None:
    """The application's token for one request. None without an application, and for a key that
    is none: Basic opens the same door, since every text names its webhook itself."""
    application, pem = (account.credentials.get(name) for name in OPTIONAL)
    if not (application and pem):
        return None
    claims = {
        "application_id": application,
        "iat": int(now.timestamp()),
        "exp": int((now + TOKEN_LIFE).timestamp()),
        "jti": f"{text.message_id}-{now.timestamp()}",
    }
    try:
        return jwt.encode(claims, _private_key(pem), algorithm="RS256")
    except Exception:  # as many kinds as there are ways to be no RSA key
        return None


@lru_cache(maxsize=64)
def _private_key(pem: str) -> Any:
    """The key, kept: to read one takes fifty times as long as to sign with it."""
    return jwt.get_algorithm_by_name("RS256").prepare_key(pem.replace("\\n", "\n"))


def _signed_by_token(account: Account, bearer: str, hook: Hook, now: datetime) -> bool:
    """Messages API: a token, HS256 and nothing else, that names the hash of the raw body. Its
    claims cover the body alone, so that a GET, whose words stand in the address, is none."""
    scheme, _, token = bearer.partition(" ")
    secret = account.credentials["signatureSecret"]
    if hook.method != "POST" or scheme.lower() != "bearer" or not secret:
        return False
    try:
        claims = _object(JWS.decode(token.strip(), secret, algorithms=["HS256"]))
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False
    named = (_word(claims, "payload_hash") or "").lower().encode()
    if not hmac.compare_digest(sha256(hook.body).hexdigest().encode(), named):
        return False
    if claims.get("api_key", account.credentials["apiKey"]) != account.credentials["apiKey"]:
        return False
    _require_fresh(claims.get("iat"), now)
    return True


def _signed_by_parameter(account: Account, said: Mapping[str, Any], now: datetime) -> bool:
    """SMS API: `sig` over all other parameters, by the method that the account chose."""
    given, stamp = (_word(said, "sig") or "").lower().encode(), _word(said, "timestamp") or ""
    secret = account.credentials["signatureSecret"].encode()
    if not secret or not STAMP.fullmatch(stamp):
        return False
    if not all(isinstance(value, str | int) for value in said.values()):
        return False
    words = (f"&{name}={re.sub('[&=]', '_', str(value))}" for name, value in sorted(said.items()) if name != "sig")
    signed = "".join(words).encode("utf-8", "replace")
    hashed = [md5(signed + secret, usedforsecurity=False).hexdigest()]
    hashed += [hmac.digest(secret, signed, digest).hex() for digest in DIGESTS]
    if not any([hmac.compare_digest(one.encode(), given) for one in hashed]):
        return False
    if said.get("api-key", account.credentials["apiKey"]) != account.credentials["apiKey"]:
        return False
    _require_fresh(int(stamp), now)
    return True


def _require_fresh(at: object, now: datetime) -> None:
    """Raises `Unavailable` for a time that no clock and no repetition explains: should it be the
    vendor's after all, it repeats after a 5xx and gives up after a 4xx."""
    earliest, latest = (now - OLDEST).timestamp(), (now + AHEAD).timestamp()
    if not (isinstance(at, int | float) and earliest <= at <= latest):
        raise Unavailable("The webhook's signature is not of today.")


def _as_v1(said: dict[str, Any]) -> dict[str, Any]:
    """v0.1, which old accounts still get, in the shape of v1."""
    sender, to, message = (said.get(name) for name in ("from", "to", "message"))
    if not (isinstance(sender, dict) and isinstance(to, dict)):
        return said
    content = message.get("content") if isinstance(message, dict) else None
    flat = {"channel": sender.get("type"), "from": sender.get("number"), "to": to.get("number")}
    return {**(content if isinstance(content, dict) else {}), **said, **flat}


def _text(said: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = (_word(said, name) for name in ("message_uuid", "from", "to"))
    if not (carrier_id and sender and to) or said.get("channel") not in ("sms", "mms"):
        return None
    more = said.get("content")
    items = [said.get(kind) for kind in KINDS] + (more if isinstance(more, list) else [])
    attached = [item for item in items if isinstance(item, dict)]
    urls = dict.fromkeys(url for item in attached if (url := _word(item, "url")))
    words = (said.get("text"), *(item.get("caption") for item in attached))
    text = next((word for word in words if isinstance(word, str)), None)
    if text is None and not urls:
        return None
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=_clean(text or ""),
        media=tuple(Media(url) for url in [*urls][:MOST_MEDIA]),
        sent_at=_at(said.get("timestamp")),
    )


def _old_text(said: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = (_word(said, name) for name in ("messageId", "msisdn", "to"))
    text = said.get("text")
    if not (carrier_id and sender and to and isinstance(text, str)):
        return None
    if said.get("type") == "binary":
        return None  # for a device, not for a reader
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=_clean(text),
        sent_at=_at(said.get("message-timestamp")),
        part=_part(said),
    )


def _part(said: Mapping[str, Any]) -> Part | None:
    reference, number, total = (_word(said, f"concat-{x}") or "" for x in ("ref", "part", "total"))
    if _word(said, "concat") != "true" or not (reference and SMALL.fullmatch(number) and SMALL.fullmatch(total)):
        return None
    part = Part(reference, int(number), int(total))
    return part if 1 <= part.number <= part.total <= MOST_PARTS else None


def _next(response: httpx.Response, count: int) -> str | None:
    index = int(response.request.url.params["index"])  # the answer does not repeat it
    return str(index + 1) if index * PAGE < count else None


def _listed(item: Mapping[str, Any], number: str) -> Listed:
    able = item.get("features")
    able = [word.lower() for word in able if isinstance(word, str)] if isinstance(able, list) else []
    # Only a number's own address is listed: an application's and the account's are not.
    own = item.get("messagesCallbackType") != "app"
    return Listed(
        phone_number=from_carrier(number),
        capabilities=tuple(name for name in CAPABILITIES if name in able),
        label=_word(item, "type"),
        inbound_url=_word(item, "moHttpUrl") if own else None,
    )


def _base(account: Account, base: str) -> str:
    return (account.base_url or base).rstrip("/")


def _own(account: Account, url: str) -> bool:
    asked, base = urlsplit(url), urlsplit(account.base_url or BASE)
    host = asked.hostname or ""
    vendors = any(host == name or host.endswith(f".{name}") for name in HOSTS)
    own = (asked.scheme, asked.netloc) == (base.scheme, base.netloc)
    return (asked.scheme == "https" and vendors) or own


def _basic(account: Account) -> str:
    pair = f"{account.credentials['apiKey']}:{account.credentials['apiSecret']}"
    return base64.b64encode(pair.encode()).decode()


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Basic {_basic(account)}"}


def _code(said: Mapping[str, Any]) -> str | None:
    """A receipt has the code as title (v0.1: code), an answer at the end of its type."""
    for name in ("code", "title"):
        word = _word(said, name)
        if word and word.isdecimal():
            return word
    return (_word(said, "type") or "").partition("#")[2] or None


def _said(hook: Hook) -> dict[str, Any]:
    """The webhook's words: of the address (GET), of a form, or of a JSON object."""
    if hook.method == "GET":
        return dict(hook.query)
    return _object(hook.body) if hook.form is None else dict(hook.form)


def _word(said: Mapping[str, Any], name: str) -> str | None:
    """An id, number, code or address: one line that can be stored; None when it is none."""
    value = said.get(name)
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return word if isinstance(word, str) and word and word.isprintable() else None


def _clean(text: str) -> str:
    """Without NUL and the halves of characters, which JSON can spell and nothing can store."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _at(written: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(written) if isinstance(written, str) else None
        return at and (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _object(body: bytes) -> dict[str, Any]:
    said = _json(body)
    return said if isinstance(said, dict) else {}

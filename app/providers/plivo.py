"""Plivo Messaging, API v1.

https://www.plivo.com/docs/messaging/api/message/send-a-message
https://www.plivo.com/docs/messaging/concepts/signature-validation
https://www.plivo.com/docs/messaging/troubleshooting/error-codes

Plivo echoes no reference: our message id travels in the callback URL of each message. Its
refusals bear no codes but the HTTP status; codes come with the receipts.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

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
    Receipt,
)
from app.domain.optout import verdict
from app.domain.phones import NumberKind, from_carrier
from app.domain.words import Capability, MessageStatus
from app.providers.addresses import address

CREDENTIALS: tuple[str, ...] = ("authId", "authToken")
OPTIONAL: tuple[str, ...] = ()
ANSWER = ("application/xml", b"<Response/>")
BASE = "https://api.plivo.com"
VALIDITY_SECONDS = (5, 10_799)
PAGE = 20
REACH = timedelta(days=1)
SLACK = timedelta(seconds=2)
MEDIA = range(11)
"""At most ten, counted from 1; some were counted from 0."""
OPTED_OUT = frozenset({"200"})
STATUSES: dict[str, MessageStatus] = {
    "queued": "sending",
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "rejected": "failed",
}
BY_GET = True
ANSWERS = frozenset({"stop", "end", "quit", "help", "info"})
"""https://www.plivo.com/docs/messaging/concepts/dnd-service"""
YES_RESTORES = False
RATES: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 5.0, "short": 5.0}
"""A local number sends one a second; an account five, until Plivo allows it more."""
CAPABILITIES: tuple[Capability, ...] = ("sms", "mms", "voice")
ERRORS: Mapping[str, str] = {
    "400": "Plivo could not read the request. Check numbers and attachments.",
    "401": "Plivo refused the credentials. Check auth id and auth token.",
    "403": "The Plivo account may not text this country. Allow it in its geo permissions.",
    "404": "Plivo does not know the account or the sender. Check the auth id and the number.",
    "405": "Plivo does not allow this request. Ask for help.",
    "409": "Plivo says that this collides with another request. Trying again may help.",
    "422": "Plivo cannot send this text. Check numbers and attachments.",
    "429": "Plivo took too many requests at once; the text is tried again.",
    "10": "The carrier called the text invalid. Change its words or attachments.",
    "20": "The carrier's network failed. Try later.",
    "30": "The carrier filtered the text as spam. Change its words; check registration.",
    "40": "The sender is not a number of this Plivo account, or cannot text.",
    "50": "The recipient's number is not valid or is a landline. Correct the lead's phone.",
    "70": "The recipient's number is out of service. Correct the lead's phone.",
    "80": "The handset could not be reached: switched off or out of coverage. Try later.",
    "200": "The recipient opted out from this sender. Only the recipient can undo it.",
    "420": "The text expired in Plivo's queue. Send more slowly or from more numbers.",
    "450": "The Plivo account may not text this country. Allow it in its geo permissions.",
    "900": "The Plivo account's credit is used up. Top it up.",
    "1000": "Plivo does not know why it failed. Trying once more may help.",
}


def request(account: Account, text: Outgoing, now: datetime) -> httpx.Request:
    shortest, longest = VALIDITY_SECONDS
    body: dict[str, Any] = {
        "src": _digits(text.sender),
        "dst": _digits(text.to),
        "text": text.text,
        "type": "mms" if text.media else "sms",
        "url": text.status_url,
        "method": "POST",
        "message_expiry": min(max(int(text.validity.total_seconds()), shortest), longest),
    }
    if text.media:
        body["media_urls"] = list(text.media)
    url = address(_path(account, "Message"))
    return httpx.Request("POST", url, headers=_auth(account), json=body)


def outcome(response: httpx.Response) -> Outcome:
    said, status = _object(response.content), response.status_code
    if response.is_success:
        ids = said.get("message_uuid")
        first = ids[0] if isinstance(ids, list) and ids else ids
        if isinstance(first, str) and first:
            return Outcome("accepted", provider_message_id=first)
        return Outcome("unknown", detail="a success without a message uuid")
    detail = _word(said, "error") or f"HTTP {status}"
    if not response.is_client_error:
        return Outcome("unknown", detail=detail)
    if status == 429:
        wait = response.headers.get("retry-after", "")
        seconds = float(wait) if wait.isdecimal() else None
        return Outcome("later", code="429", detail=detail, retry_after=seconds)
    return Outcome("refused", code=str(status), detail=detail)


def genuine(account: Account, hook: Hook, now: datetime) -> bool:
    """By V3, which covers the body, wherever Plivo gives one. The bare V2 covers the address
    only, but older accounts' texts bear nothing else."""
    for version, signed in (("v3", _said_v3), ("v2", _said_v2)):
        given = (hook.headers.get(f"x-plivo-signature{ma}-{version}") for ma in ("", "-ma"))
        signatures = [one.strip() for some in given if some for one in some.split(",")]
        if not signatures:
            continue
        nonce = hook.headers.get(f"x-plivo-signature-{version}-nonce", "")
        expected = _signature(account, signed(hook, nonce))
        return bool(nonce) and any(
            hmac.compare_digest(expected, one.encode("latin-1", "replace")) for one in signatures
        )
    return False


def read_inbound(hook: Hook) -> list[InboundText]:
    form = _read(hook)
    carrier_id, sender, to = form.get("MessageUUID"), form.get("From"), form.get("To")
    if not (carrier_id and sender and to):
        return []
    return [
        InboundText(
            provider_id=carrier_id,
            sender=from_carrier(sender),
            to=from_carrier(to),
            text=form.get("Text") or form.get("Body") or "",
            media=tuple(Media(url) for i in MEDIA if (url := form.get(f"Media{i}"))),
            taken_as=verdict(form.get("MessageIntent")),
        )
    ]


def read_status(hook: Hook) -> list[Receipt]:
    form = _read(hook)
    carrier_id = form.get("ParentMessageUUID") or form.get("MessageUUID")
    word = form.get("Status")
    if not (carrier_id and word):
        return []
    code = _code(form, "ErrorCode")
    times = (_time(form.get(f"{name}Time")) for name in ("DeliveryReport", "Sent", "Queued"))
    return [
        Receipt(
            provider_message_id=carrier_id,
            status=STATUSES.get(word),
            message_id=_word(dict(hook.query), "message"),
            to=from_carrier(form.get("To", "")) or None,
            code=code,
            opted_out=code in OPTED_OUT,
            at=next((at for at in times if at), None),
        )
    ]


def lookup(account: Account, text: Outgoing, since: datetime) -> httpx.Request | None:
    # From a day before the attempt: an older entry proves that the list reaches back to it,
    # whatever zone Plivo reads the time in.
    wanted = {
        "message_direction": "outbound",
        "from_number": _digits(text.sender),
        "to_number": _digits(text.to),
        "message_time__gte": f"{(since - REACH).astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "limit": str(PAGE),
    }
    return httpx.Request("GET", _path(account, "Message"), params=wanted, headers=_auth(account))


def found(response: httpx.Response, text: Outgoing, since: datetime) -> list[Found] | None:
    items = _object(response.content).get("objects")
    if not response.is_success or not isinstance(items, list):
        return None
    entries, pair = _objects(items), (_digits(text.sender), _digits(text.to))
    older = [item for item in entries if _older(item, since)]
    left = [item for item in entries if not (_older(item, since) or _others(item, pair))]
    # The list has no words: numbers and time must do.
    matching = [
        Found(uuid, STATUSES.get(_word(item, "message_state") or ""), at, _code(item, "error_code"))
        for item in left
        if (at := _time(item.get("message_time"))) and _pair(item) == pair and (uuid := _word(item, "message_uuid"))
    ]
    if not matching and (left or not older or len(items) >= PAGE):
        # An entry without time, id or numbers (accounts may hide them); or a full page, which may
        # go on, or an empty one, which proves nothing.
        return None
    return sorted(matching, key=lambda item: item.created_at or since)


def numbers(account: Account, page: str | None) -> httpx.Request | None:
    wanted = parse_qsl(page or f"services=sms&limit={PAGE}&offset=0")
    url = _path(account, "Number")
    return httpx.Request("GET", url, params=dict(wanted), headers=_auth(account))


def listed(response: httpx.Response) -> Listing | None:
    said = _object(response.content)
    if not response.is_success or not isinstance(said.get("objects"), list):
        return None
    meta = said.get("meta")
    following = _word(meta, "next") if isinstance(meta, dict) else None
    return Listing(
        tuple(
            Listed(
                phone_number=from_carrier(phone),
                capabilities=tuple(n for n in CAPABILITIES if item.get(f"{n}_enabled") is True),
                label=_word(item, "alias"),
            )
            for item in _objects(said["objects"])
            if (phone := _word(item, "number"))
        ),
        # Only what it asks for, never where: the address stays ours to choose.
        next_page=(following or "").partition("?")[2] or None,
    )


def history(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None  # the list has no words


def missed(response: httpx.Response, since: datetime) -> Missed | None:
    return None


def media(account: Account, url: str) -> httpx.Request:
    return httpx.Request("GET", url, headers=_auth(account) if _own(account, url) else None)


def secrets(account: Account) -> tuple[str, ...]:
    return (account.credentials["authToken"], _basic(account))


def opting_out(code: str) -> bool:
    return code in OPTED_OUT


def _path(account: Account, resource: str) -> str:
    base = (account.base_url or BASE).rstrip("/")
    return f"{base}/v1/Account/{account.credentials['authId']}/{resource}/"


def _own(account: Account, url: str) -> bool:
    asked, base = httpx.URL(url), httpx.URL(account.base_url or BASE)
    vendors = asked.scheme == "https" and f".{asked.host}".endswith(".plivo.com")
    return vendors or (asked.scheme, asked.netloc) == (base.scheme, base.netloc)


def _basic(account: Account) -> str:
    pair = f"{account.credentials['authId']}:{account.credentials['authToken']}"
    return b64encode(pair.encode()).decode()


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Basic {_basic(account)}"}


def _older(item: Mapping[str, Any], since: datetime) -> bool:
    at = _time(item.get("message_time"))
    return at is not None and at < since - SLACK


def _others(item: Mapping[str, Any], pair: tuple[str, str]) -> bool:
    """Whether the entry says that it is of other numbers."""
    return (numbers := _pair(item)) != pair and all(number.isdecimal() for number in numbers)


def _pair(item: Mapping[str, Any]) -> tuple[str, str]:
    return _digits(_word(item, "from_number")), _digits(_word(item, "to_number"))


def _digits(phone: str | None) -> str:
    return (phone or "").removeprefix("+")


def _signature(account: Account, said: str) -> bytes:
    key = account.credentials["authToken"].encode()
    return b64encode(hmac.digest(key, said.encode("utf-8", "surrogateescape"), "sha256"))


def _said_v2(hook: Hook, nonce: str) -> str:
    return f"{hook.url.partition('?')[0]}{nonce}"


def _said_v3(hook: Hook, nonce: str) -> str:
    """Address and query, sorted and decoded, then the form, sorted, between full stops."""
    asked = parse_qsl(urlsplit(hook.url).query, keep_blank_values=True)
    query = "&".join(f"{name}={value}" for name, value in sorted(asked))
    form = "".join(f"{name}{value}" for name, value in sorted(hook.form or ()))
    said = hook.url.partition("?")[0]
    if query or form:
        said += f"?{query}"
    if query and form:
        said += "."
    return f"{said}{form}.{nonce}"


def _read(hook: Hook) -> dict[str, str]:
    """The parameters, as a database can hold them: without NUL."""
    given = hook.query if hook.method == "GET" else hook.form or ()
    return {name: value.replace("\x00", "") for name, value in given}


def _code(said: Mapping[str, Any], name: str) -> str | None:
    """A success has none, or only noughts."""
    code = str(said[name]) if type(said.get(name)) is int else _word(said, name) or ""
    return code if code.strip("0 ") else None


def _time(written: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(written if isinstance(written, str) else "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _word(said: Mapping[str, Any], name: str) -> str | None:
    """A text that is one, as a database can hold it: without NUL and half characters."""
    word = said.get(name)
    if not isinstance(word, str):
        return None
    return word.replace("\x00", "").encode("utf-8", "replace").decode() or None


def _objects(items: list[Any]) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)]


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}

"""The simulated carrier's dialect: our own, small, and as careful as a real one should be.

Send: POST {base}/messages, Bearer secret, JSON; 202 {"id"}, else {"code", "message"}.
Webhooks: JSON under `X-Simulator-Signature: t=<seconds>,v1=<hex>`, the HMAC-SHA256 of
"{t}.{url}.{body}", refused when older than five minutes.
"""

import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

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
from app.domain.phones import NumberKind, from_carrier
from app.domain.words import Capability, MessageStatus
from app.providers.addresses import address

CREDENTIALS: tuple[str, ...] = ("secret",)
OPTIONAL: tuple[str, ...] = ()
ANSWER = ("application/json", b"{}")
BASE = "http://127.0.0.1:8001"
FRESH = timedelta(minutes=5)
STAMP = re.compile(r"[0-9]{1,12}")
OPTED_OUT = "opted_out"
BY_GET = False
ANSWERS: frozenset[str] = frozenset()
YES_RESTORES = False
RATES: Mapping[NumberKind, float] = {"local": 100.0, "toll_free": 100.0, "short": 100.0}
CAPABILITIES: tuple[Capability, ...] = ("sms", "mms", "voice")
ERRORS: Mapping[str, str] = {
    "bad_number": "The recipient's number is not valid. Correct the lead's phone.",
    "opted_out": "The recipient opted out from this sender. Only the recipient can undo it.",
    "unauthorized": "The carrier refused the credentials. Check the account's secret.",
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


def request(account: Account, text: Outgoing, now: datetime) -> httpx.Request:
    body = {
        "to": text.to,
        "from": text.sender,
        "text": text.text,
        "media": list(text.media),
        "reference": text.message_id,
        "callbackUrl": text.status_url,
        "validitySeconds": max(1, int(text.validity.total_seconds())),
    }
    url = address(f"{_base(account)}/messages")
    return httpx.Request("POST", url, headers=_auth(account), json=body)


def outcome(response: httpx.Response) -> Outcome:
    said = _object(response.content)
    code, detail = _word(said, "code"), _word(said, "message")
    if response.is_success and (carrier_id := _word(said, "id")):
        return Outcome("accepted", provider_message_id=carrier_id)
    if response.status_code == 429:
        wait = response.headers.get("retry-after", "")
        seconds = float(wait) if wait.isdecimal() else None
        return Outcome("later", code=code, detail=detail, retry_after=seconds)
    if code == OPTED_OUT:
        return Outcome("opted_out", code=code, detail=detail)
    if response.is_client_error:
        return Outcome("refused", code=code or str(response.status_code), detail=detail)
    return Outcome("unknown", code=code, detail=detail or f"HTTP {response.status_code}")


def genuine(account: Account, hook: Hook, now: datetime) -> bool:
    given = dict(part.split("=", 1) for part in hook.headers.get("x-simulator-signature", "").split(",") if "=" in part)
    stamp = given.get("t", "")
    if not STAMP.fullmatch(stamp) or abs(now.timestamp() - int(stamp)) > FRESH.total_seconds():
        return False
    signed = f"{stamp}.{hook.url}.".encode() + hook.body
    expected = hmac.digest(account.credentials["secret"].encode(), signed, "sha256").hex()
    return hmac.compare_digest(expected.encode(), given.get("v1", "").encode())


def read_inbound(hook: Hook) -> list[InboundText]:
    said = _object(hook.body)
    text = _inbound(said) if said.get("type") == "inbound" else None
    return [text] if text else []


def read_status(hook: Hook) -> list[Receipt]:
    said = _object(hook.body)
    if said.get("type") != "status":
        return []
    return [
        Receipt(
            provider_message_id=_word(said, "id"),
            status=STATUSES.get(_word(said, "status") or ""),
            message_id=dict(hook.query).get("message") or _word(said, "reference"),
            code=_word(said, "code"),
            opted_out=said.get("code") == OPTED_OUT,
            at=_time(said, "at"),
        )
    ]


def lookup(account: Account, text: Outgoing, since: datetime) -> httpx.Request | None:
    return httpx.Request(
        "GET",
        f"{_base(account)}/messages",
        params={"reference": text.message_id},
        headers=_auth(account),
    )


def found(response: httpx.Response, text: Outgoing, since: datetime) -> list[Found] | None:
    listed = _object(response.content).get("messages")
    if not response.is_success or not isinstance(listed, list):
        return None
    return [
        Found(str(item["id"]), STATUSES.get(_word(item, "status") or ""), code=_word(item, "code"))
        for item in listed
        if isinstance(item, dict) and item.get("id")
    ]


def numbers(account: Account, page: str | None) -> httpx.Request | None:
    params = {"page": page} if page else None
    return httpx.Request("GET", f"{_base(account)}/numbers", params=params, headers=_auth(account))


def listed(response: httpx.Response) -> Listing | None:
    said = _object(response.content)
    items = said.get("numbers")
    if not response.is_success or not isinstance(items, list):
        return None
    numbers = tuple(
        Listed(
            phone_number=from_carrier(number),
            capabilities=tuple(n for n in CAPABILITIES if n in (item.get("capabilities") or ())),
            label=_word(item, "label"),
            inbound_url=_word(item, "inboundUrl"),
        )
        for item in items
        if isinstance(item, dict) and (number := _word(item, "number"))
    )
    return Listing(numbers, _word(said, "next"))


def history(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    params = {"since": since.isoformat()} | ({"page": page} if page else {})
    url = f"{_base(account)}/inbound"
    return httpx.Request("GET", url, params=params, headers=_auth(account))


def missed(response: httpx.Response, since: datetime) -> Missed | None:
    said = _object(response.content)
    items = said.get("texts")
    if not response.is_success or not isinstance(items, list):
        return None
    texts = [_inbound(item) for item in items if isinstance(item, dict)]
    return Missed(tuple(text for text in texts if text), _word(said, "next"))


def media(account: Account, url: str) -> httpx.Request:
    own = url.startswith(f"{_base(account)}/")
    return httpx.Request("GET", url, headers=_auth(account) if own else None)


def secrets(account: Account) -> tuple[str, ...]:
    return (account.credentials["secret"],)


def opting_out(code: str) -> bool:
    return code == OPTED_OUT


def _inbound(said: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = _word(said, "id"), _word(said, "from"), _word(said, "to")
    if not (carrier_id and sender and to):
        return None
    attached = said.get("media")
    media = tuple(
        Media(url, _word(item, "contentType"))
        for item in (attached if isinstance(attached, list) else [])
        if isinstance(item, dict) and (url := _word(item, "url"))
    )
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=_word(said, "text") or "",
        media=media,
        sent_at=_time(said, "sentAt"),
    )


def _base(account: Account) -> str:
    return (account.base_url or BASE).rstrip("/")


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.credentials['secret']}"}


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _word(said: Mapping[str, Any], name: str) -> str | None:
    """A text that is one, as a database can hold it: without NUL and half characters."""
    word = said.get(name)
    if not isinstance(word, str):
        return None
    return word.replace("\x00", "").encode("utf-8", "replace").decode()


def _time(said: Mapping[str, Any], name: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(_word(said, name) or "")
    except ValueError:
        return None
    return at if at.tzinfo else None

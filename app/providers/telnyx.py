"""Telnyx Messaging, API v2.

https://developers.telnyx.com/api-reference/messages/send-a-message
https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
https://developers.telnyx.com/docs/messaging/messages/error-codes

Telnyx echoes no reference: our message id travels in the webhook_url of each message, and the
detail record of a message names that URL again. A 5xx may have created the message.
"""

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

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

CREDENTIALS: tuple[str, ...] = ("apiKey", "publicKey")
OPTIONAL: tuple[str, ...] = ()
ANSWER = ("application/json", b"{}")
BASE = "https://api.telnyx.com"
FRESH = timedelta(seconds=300)
STAMP = re.compile(r"[0-9]{1,12}")
RECORDS = 50
PAGE = 250
OPTED_OUT = frozenset({"40300"})
LATER = frozenset({"10011", "40318"})
"""Surely not processed: too many at once, the sender's queue is full."""
RECEIPTS = frozenset({"message.sent", "message.finalized"})
STATUSES: dict[str, MessageStatus] = {
    "queued": "sending",
    "sending": "sending",
    "sent": "sent",
    "delivery_unconfirmed": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "expired": "undelivered",
    "delivery_failed": "undelivered",
    "sending_failed": "failed",
}
RECORDED: dict[str, MessageStatus] = {
    "delivered": "delivered",
    "dlr_unconfirmed": "sent",
    "dlr_timeout": "sent",
    "gw_timeout": "sent",
    "gw_reject": "failed",
    "failed": "undelivered",
}
"""The detail records have words of their own."""
BY_GET = False
ANSWERS = frozenset({"stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "help"})
"""https://developers.telnyx.com/docs/messaging/messages/advanced-opt-in-out: a profile may have
more, which `autoresponse_type` tells of."""
YES_RESTORES = False
RATES: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 20.0, "short": 50.0}
"""An account sends 50 a second, a toll-free number 20; a local one as its registration says,
so that we start low. What is too fast waits in Telnyx's queue, four hours at most."""
ERRORS: Mapping[str, str] = {
    "10007": "Something broke at Telnyx; it is not known whether it took the text.",
    "10009": "Telnyx refused the credentials. Check the API key.",
    "10011": "Telnyx took too many requests at once; the text is tried again.",
    "40001": "The recipient's number is a landline or cannot be routed. Ask for a mobile.",
    "40002": "The text was filtered as spam for now. Change its words, send more slowly.",
    "40003": "The sender is blocked as a source of spam. Use another number; ask Telnyx.",
    "40004": "The recipient's carrier refused the text without a reason. Trying later may help.",
    "40005": "The text expired on its way. The handset may be off; try later.",
    "40006": "The recipient's carrier is down. Try later.",
    "40008": "The recipient's carrier did not take the text. Check the lead's phone.",
    "40011": "The carrier's rate was exceeded. Send more slowly or from more numbers.",
    "40012": "The carrier calls the recipient's number invalid. Correct the lead's phone.",
    "40014": "The text expired in Telnyx's queue. Send more slowly or from more numbers.",
    "40300": "The recipient opted out from this sender. Only the recipient can undo it.",
    "40310": "The recipient's number is not valid. Correct the lead's phone.",
    "40318": "The sender's queue at Telnyx is full; the text is tried again.",
}


def request(account: Account, text: Outgoing, now: datetime) -> httpx.Request:
    # The validity has no field. The profile's webhook is for inbound texts, not for receipts.
    body: dict[str, Any] = {
        "from": text.sender,
        "to": text.to,
        "type": "MMS" if text.media else "SMS",
        "webhook_url": text.status_url,
        "use_profile_webhooks": False,
    }
    if text.text:
        body["text"] = text.text  # never an empty one
    if text.media:
        body["media_urls"] = list(text.media)
    url = address(f"{_base(account)}/v2/messages")
    return httpx.Request("POST", url, headers=_auth(account), json=body)


def outcome(response: httpx.Response) -> Outcome:
    said = _object(response.content)
    if response.is_success:
        if carrier_id := _word(_part(said, "data"), "id"):
            return Outcome("accepted", provider_message_id=carrier_id)
        return Outcome("unknown", detail="a success without a message id")
    error = next(iter(_objects(said.get("errors"))), {})
    code = _code(error)
    detail = _word(error, "detail") or _word(error, "title") or f"HTTP {response.status_code}"
    if not response.is_client_error:
        return Outcome("unknown", code=code, detail=detail)
    if code in OPTED_OUT:
        return Outcome("opted_out", code=code, detail=detail)
    if response.status_code == 429 or code in LATER:
        return Outcome("later", code=code, detail=detail, retry_after=_wait(response))
    return Outcome("refused", code=code or str(response.status_code), detail=detail)


def genuine(account: Account, hook: Hook, now: datetime) -> bool:
    stamp = hook.headers.get("telnyx-timestamp", "")
    if not STAMP.fullmatch(stamp) or abs(now.timestamp() - int(stamp)) > FRESH.total_seconds():
        return False
    try:
        key = b64decode(account.credentials["publicKey"], validate=True)
        signature = b64decode(hook.headers.get("telnyx-signature-ed25519", ""), validate=True)
        signed = f"{stamp}|".encode() + hook.body
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (ValueError, InvalidSignature):
        return False
    return True


def read_inbound(hook: Hook) -> list[InboundText]:
    event = _part(_object(hook.body), "data")
    said = _part(event, "payload")
    receivers = _objects(said.get("to"))
    # In a group's text, the number that was called for this webhook is ours.
    ours = [one for one in receivers if one.get("status") == "webhook_delivered"] or receivers
    carrier_id = _word(said, "id")
    sender = _word(_part(said, "from"), "phone_number")
    to = _word(ours[0], "phone_number") if ours else None
    if event.get("event_type") != "message.received" or not (carrier_id and sender and to):
        return []
    media = tuple(
        Media(url, _word(item, "content_type")) for item in _objects(said.get("media")) if (url := _word(item, "url"))
    )
    return [
        InboundText(
            provider_id=carrier_id,
            sender=from_carrier(sender),
            to=from_carrier(to),
            text=_word(said, "text") or "",
            media=media,
            sent_at=_time(said, "received_at"),
            taken_as=verdict(said.get("autoresponse_type")),
        )
    ]


def read_status(hook: Hook) -> list[Receipt]:
    event = _part(_object(hook.body), "data")
    said = _part(event, "payload")
    if _word(event, "event_type") not in RECEIPTS:
        return []
    code = next((code for one in _objects(said.get("errors")) if (code := _code(one))), None)
    return [
        Receipt(
            provider_message_id=_word(said, "id"),
            status=STATUSES.get(word),
            message_id=_word(dict(hook.query), "message"),
            to=from_carrier(_word(one, "phone_number") or "") or None,
            code=code,
            opted_out=code in OPTED_OUT,
            at=_time(event, "occurred_at"),
        )
        for one in _objects(said.get("to"))
        if (word := _word(one, "status"))
    ]


def lookup(account: Account, text: Outgoing, since: datetime) -> httpx.Request | None:
    wanted = {
        "filter[record_type]": "messaging",
        "filter[direction]": "outbound",
        "filter[cld]": text.to,
        "filter[cli]": text.sender,
        "sort": "-created_at",
        "page[size]": str(RECORDS),
    }
    url = f"{_base(account)}/v2/detail_records"
    return httpx.Request("GET", url, params=wanted, headers=_auth(account))


def found(response: httpx.Response, text: Outgoing, since: datetime) -> list[Found] | None:
    # A record is written when its message is done: its absence says nothing, its webhook's
    # address, which only this text bears, everything.
    records = _objects(_object(response.content).get("data")) if response.is_success else []
    return [
        Found(carrier_id, RECORDED.get(_word(item, "status") or ""), _time(item, "created_at"))
        for item in records
        if item.get("delivery_status_webhook_url") == text.status_url and (carrier_id := _word(item, "uuid"))
    ] or None


def numbers(account: Account, page: str | None) -> httpx.Request | None:
    wanted = {"page[number]": page or "1", "page[size]": str(PAGE)}
    url = f"{_base(account)}/v2/phone_numbers/messaging"
    return httpx.Request("GET", url, params=wanted, headers=_auth(account))


def listed(response: httpx.Response) -> Listing | None:
    said = _object(response.content)
    if not response.is_success or not isinstance(said.get("data"), list):
        return None
    return Listing(
        tuple(
            Listed(from_carrier(phone), _able(_part(item, "features")))
            for item in _objects(said["data"])
            if (phone := _word(item, "phone_number"))
        ),
        next_page=_next(_part(said, "meta")),
    )


def history(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None  # the detail records have no words


def missed(response: httpx.Response, since: datetime) -> Missed | None:
    return None


def media(account: Account, url: str) -> httpx.Request:
    return httpx.Request("GET", url, headers=_auth(account) if _own(account, url) else None)


def secrets(account: Account) -> tuple[str, ...]:
    return (account.credentials["apiKey"],)


def opting_out(code: str) -> bool:
    return code in OPTED_OUT


def _base(account: Account) -> str:
    return (account.base_url or BASE).rstrip("/")


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.credentials['apiKey']}"}


def _own(account: Account, url: str) -> bool:
    asked, base = httpx.URL(url), httpx.URL(_base(account))
    vendors = asked.scheme == "https" and f".{asked.host}".endswith(".telnyx.com")
    return vendors or (asked.scheme, asked.netloc) == (base.scheme, base.netloc)


def _wait(response: httpx.Response) -> float | None:
    """What Telnyx asks us to wait: by the common header, else by its own, both in seconds."""
    names = ("retry-after", "x-ratelimit-reset")
    given = (response.headers.get(name, "") for name in names)
    return next((float(wait) for wait in given if wait.isdecimal()), None)


def _next(meta: Mapping[str, Any]) -> str | None:
    page, pages = meta.get("page_number"), meta.get("total_pages")
    if type(page) is not int or type(pages) is not int or page >= pages:
        return None
    return str(page + 1)


def _able(features: Mapping[str, Any]) -> tuple[Capability, ...]:
    able: tuple[Capability, ...] = ("sms", "mms")
    return tuple(name for name in able if features.get(name))


def _code(error: Mapping[str, Any]) -> str | None:
    code = error.get("code")
    return str(code) if type(code) is int else _word(error, "code")


def _time(said: Mapping[str, Any], name: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(_word(said, name) or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _word(said: Mapping[str, Any], name: str) -> str | None:
    """A text that is one, as a database can hold it: without NUL and half characters."""
    word = said.get(name)
    if not isinstance(word, str):
        return None
    return word.replace("\x00", "").encode("utf-8", "replace").decode() or None


def _part(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = said.get(name)
    return part if isinstance(part, dict) else {}


def _objects(items: object) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}

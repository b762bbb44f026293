"""Sinch SMS, REST API xms/v1.

https://developers.sinch.com/docs/sms/api-reference/sms
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Batches/
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Inbounds/
https://developers.sinch.com/docs/sms/api-reference/sms/tag/Delivery-reports/

A text is a batch of one. Sinch deduplicates nothing; our message id travels in client_reference,
by which batches are found and which every report repeats. Service plans live in a region: the
account's base URL names it where it is not the United States.
"""

import base64
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from app.domain.carriage import (
    Account,
    Found,
    Hook,
    InboundText,
    Listing,
    Media,
    Missed,
    Outcome,
    Outgoing,
    Receipt,
)
from app.domain.phones import NumberKind, from_carrier
from app.domain.problems import Unavailable
from app.domain.words import MessageStatus
from app.providers.addresses import address

CREDENTIALS: tuple[str, ...] = ("servicePlanId", "apiToken", "webhookSecret")
OPTIONAL: tuple[str, ...] = ()
ANSWER = ("application/json", b"{}")
BASE = "https://us.sms.api.sinch.com"
EXPIRY = (timedelta(seconds=30), timedelta(days=3) - timedelta(minutes=1))
"""It must lie ahead, three days at most, by Sinch's clock."""
PAGE = 100
SLACK = timedelta(minutes=1)
"""The clocks differ a little; the reference decides, not the time."""
OLDEST, AHEAD = timedelta(hours=48), timedelta(minutes=5)
"""Sinch repeats a webhook for 46 hours, and does not say whether it signs it anew."""
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
NO_FAULT = frozenset({"0", "400", "401"})
"""Delivered, queued, dispatched."""
BY_GET = False
ANSWERS: frozenset[str] = frozenset()
YES_RESTORES = False
RATES: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 3.0, "short": 30.0}
"""Sinch agrees rates with each customer and publishes none: these are careful figures."""
ERRORS: Mapping[str, str] = {
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
"""By the codes of reports. Others are the carrier's own (SMPP); Sinch has none for a STOP."""
STAMP = re.compile(r"[0-9]{1,12}")
MOST_MEDIA = 10


def request(account: Account, text: Outgoing, now: datetime) -> httpx.Request:
    nearest, farthest = EXPIRY
    body = {
        "to": [text.to.removeprefix("+")],
        "from": text.sender.removeprefix("+"),
        **_content(text),
        "delivery_report": "per_recipient",
        "callback_url": text.status_url,
        "client_reference": text.message_id,
        "expire_at": _written(now + min(max(text.validity, nearest), farthest)),
    }
    url = address(f"{_plan(account)}/batches")
    return httpx.Request("POST", url, headers=_auth(account), json=body)


def outcome(response: httpx.Response) -> Outcome:
    said = _object(response.content)
    if response.is_success:
        if carrier_id := _word(said, "id"):
            return Outcome("accepted", provider_message_id=carrier_id)
        return Outcome("unknown", detail="a success without a batch id")
    # The numbers of reports look like those of HTTP and mean something else.
    code = _word(said, "code") or f"http_{response.status_code}"
    detail = _word(said, "text") or f"HTTP {response.status_code}"
    if response.status_code == 429:
        wait = response.headers.get("retry-after", "")
        seconds = float(wait) if wait.isdecimal() else None
        return Outcome("later", code=code, detail=detail, retry_after=seconds)
    if response.is_client_error:
        return Outcome("refused", code=code, detail=detail)
    return Outcome("unknown", code=code, detail=detail)


def genuine(account: Account, hook: Hook, now: datetime) -> bool:
    given, nonce, stamp, algorithm = (
        hook.headers.get(f"x-sinch-webhook-signature{part}", "") for part in ("", "-nonce", "-timestamp", "-algorithm")
    )
    secret = account.credentials["webhookSecret"].encode()
    if not (secret and given and nonce and STAMP.fullmatch(stamp)):
        return False
    if algorithm.lower() not in ("", "hmacsha256"):
        return False
    said = b".".join((hook.body, nonce.encode("latin-1", "replace"), stamp.encode()))
    signature = base64.b64encode(hmac.digest(secret, said, "sha256"))
    if not hmac.compare_digest(signature, given.encode("latin-1", "replace")):
        return False
    if not (now - OLDEST).timestamp() <= int(stamp) <= (now + AHEAD).timestamp():
        # Neither a clock nor a repetition explains it. Should it be the vendor's after all, it
        # repeats after a 5xx and gives up after a 4xx.
        raise Unavailable("The webhook's signature is not of today.")
    return True


def read_inbound(hook: Hook) -> list[InboundText]:
    text = _text(_object(hook.body))
    return [text] if text else []


def read_status(hook: Hook) -> list[Receipt]:
    said = _object(hook.body)
    kind, carrier_id = _word(said, "type") or "", _word(said, "batch_id")
    if carrier_id is None:
        return []
    # The reference first: the signature covers the body, and not the address.
    ours = _word(said, "client_reference") or _word(dict(hook.query), "message")
    if kind.startswith("recipient_delivery_report_"):
        given: Any = [said]
    elif kind.startswith("delivery_report_"):
        given = said.get("statuses")
    else:
        return []
    items = given if isinstance(given, list) else []
    return [_receipt(item, carrier_id, ours) for item in items if isinstance(item, dict)]


def lookup(account: Account, text: Outgoing, since: datetime) -> httpx.Request | None:
    wanted = {
        "client_reference": text.message_id,
        "start_date": _written(since - SLACK),
        "page": "0",
        "page_size": str(PAGE),
    }
    url = f"{_plan(account)}/batches"
    return httpx.Request("GET", url, params=wanted, headers=_auth(account))


def found(response: httpx.Response, text: Outgoing, since: datetime) -> list[Found] | None:
    said = _object(response.content)
    items = said.get("batches")
    if not response.is_success or not isinstance(items, list):
        return None
    references = (text.message_id, None, "")
    left = [item for item in items if isinstance(item, dict) and item.get("client_reference") in references]
    matching = [
        Found(
            carrier_id,
            "failed" if item.get("canceled") is True else "sending",
            _at(item.get("created_at")),
        )
        for item in left
        if item.get("client_reference") and (carrier_id := _word(item, "id"))
    ]
    if not matching and (left or len(items) >= PAGE or said.get("count") != len(items)):
        return None  # a batch without id or reference; or it may stand on a later page
    return sorted(matching, key=lambda item: item.created_at or since)


def numbers(account: Account, page: str | None) -> httpx.Request | None:
    return None  # the Numbers API belongs to projects and takes no token of a service plan


def listed(response: httpx.Response) -> Listing | None:
    return None


def history(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    wanted = {"start_date": _written(since), "page": page or "0", "page_size": str(PAGE)}
    url = f"{_plan(account)}/inbounds"
    return httpx.Request("GET", url, params=wanted, headers=_auth(account))


def missed(response: httpx.Response, since: datetime) -> Missed | None:
    said = _object(response.content)
    items = said.get("inbounds")
    if not response.is_success or not isinstance(items, list):
        return None
    read = (_text(item) for item in items if isinstance(item, dict))
    texts = tuple(text for text in read if text and text.sent_at and text.sent_at >= since)
    return Missed(texts, _next(said) if items else None)


def media(account: Account, url: str) -> httpx.Request:
    return httpx.Request("GET", url, headers=_auth(account) if _own(account, url) else None)


def secrets(account: Account) -> tuple[str, ...]:
    held = (account.credentials.get(name) for name in ("apiToken", "webhookSecret"))
    return tuple(secret for secret in held if secret)


def opting_out(code: str) -> bool:
    return False


def _content(text: Outgoing) -> dict[str, Any]:
    """A text, or an attachment with the text under it. Sinch takes one attachment: the others
    are told by their addresses, so that nothing is lost."""
    if not text.media:
        return {"type": "mt_text", "body": text.text}
    first, *others = text.media
    message = "\n".join(word for word in (text.text, *others) if word)
    return {"type": "mt_media", "body": {"url": first} | ({"message": message} if message else {})}


def _next(said: Mapping[str, Any]) -> str | None:
    page, count = said.get("page"), said.get("count")
    if not (isinstance(page, int) and isinstance(count, int)):
        return None
    return str(page + 1) if (page + 1) * PAGE < count else None


def _text(said: Mapping[str, Any]) -> InboundText | None:
    carrier_id, sender, to = (_word(said, name) for name in ("id", "from", "to"))
    kind, body = said.get("type"), said.get("body")
    if not (carrier_id and sender and to):
        return None
    attached: tuple[Media, ...] = ()
    if kind == "mo_media" and isinstance(body, dict):
        items = body.get("media")
        attached = tuple(
            Media(url, _word(item, "content_type"))
            for item in (items if isinstance(items, list) else [])
            if isinstance(item, dict) and (url := _word(item, "url"))
        )[:MOST_MEDIA]
        # Not joined: a subject before it would hide a STOP.
        body = next((body[x] for x in ("message", "subject") if _is_text(body.get(x))), "")
    elif kind != "mo_text" or not isinstance(body, str):
        return None  # binary messages have no text
    return InboundText(
        provider_id=carrier_id,
        sender=from_carrier(sender),
        to=from_carrier(to),
        text=_clean(body),
        media=attached,
        sent_at=_at(said.get("received_at")),  # by Sinch's clock; sent_at is by the handset's
    )


def _receipt(item: Mapping[str, Any], carrier_id: str, ours: str | None) -> Receipt:
    code, recipient = _word(item, "code"), _word(item, "recipient")
    word = _word(item, "status") or ""  # in capitals or not, by the document that one reads
    return Receipt(
        provider_message_id=carrier_id,
        status=STATUSES.get(word.lower()),
        message_id=ours,
        to=from_carrier(recipient) if recipient else None,
        code=None if code in NO_FAULT else code,
        at=_at(item.get("at")),
    )


def _plan(account: Account) -> str:
    base = (account.base_url or BASE).rstrip("/")
    return f"{base}/xms/v1/{quote(account.credentials['servicePlanId'], safe='')}"


def _own(account: Account, url: str) -> bool:
    asked, base = urlsplit(url), urlsplit(account.base_url or BASE)
    host = asked.hostname or ""
    vendors = asked.scheme == "https" and (host == "sinch.com" or host.endswith(".sinch.com"))
    return vendors or (asked.scheme, asked.netloc) == (base.scheme, base.netloc)


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.credentials['apiToken']}"}


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _at(written: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(written) if isinstance(written, str) else None
        return at and (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _word(said: Mapping[str, Any], name: str) -> str | None:
    """An id, number, code or address: one line that can be stored; None when it is none."""
    value = said.get(name)
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return word if isinstance(word, str) and word and word.isprintable() else None


def _clean(text: str) -> str:
    """Without NUL and the halves of characters, which JSON can spell and nothing can store."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}

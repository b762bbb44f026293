"""Bandwidth Messaging, API v2.

https://dev.bandwidth.com/apis/messaging-apis/messaging
https://dev.bandwidth.com/docs/messaging/webhooks
https://dev.bandwidth.com/docs/messaging/errors

Our message id travels as the tag, which every callback of the message brings back. Callbacks
are not signed: they bear the credentials that the tenant gave the application at Bandwidth.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

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
from app.domain.words import MessageStatus
from app.providers.addresses import address

CREDENTIALS: tuple[str, ...] = (
    "accountId",
    "applicationId",
    "username",
    "password",
    "callbackUsername",
    "callbackPassword",
)
OPTIONAL: tuple[str, ...] = ()
ANSWER = ("application/json", b"{}")
BASE = "https://messaging.bandwidth.com"
SHORTEST = timedelta(seconds=10)
"""An expiration must lie in the future when Bandwidth reads it, by its own clock."""
PAGE = 100
REACH = timedelta(days=13)
"""The list goes back 14 days."""
SLACK = timedelta(seconds=2)
OPTED_OUT = frozenset({"4775"})
UNCONFIRMED = "9902"
STATUSES: dict[str, MessageStatus] = {
    "message-sending": "sending",
    "message-sent": "sent",
    "message-delivered": "delivered",
    "message-read": "delivered",
    "message-failed": "failed",
}
RECORDED: dict[str, MessageStatus] = {
    "QUEUED": "sending",
    "SENDING": "sending",
    "ACCEPTED": "sending",
    "SENT": "sent",
    "DELIVERED": "delivered",
    "UNDELIVERED": "undelivered",
    "FAILED": "failed",
}
BY_GET = False
ANSWERS: frozenset[str] = frozenset()
YES_RESTORES = False
RATES: Mapping[NumberKind, float] = {"local": 1.0, "toll_free": 1.0, "short": 1.0}
"""Bandwidth limits accounts by contract, 60 texts a minute in its own example, not numbers."""
ERRORS: Mapping[str, str] = {
    "request-validation": "Bandwidth could not read the request. Check numbers and attachments.",
    "unauthorized": "Bandwidth refused the credentials. Check user name and password.",
    "forbidden": "The Bandwidth user may not send texts. Allow it in the dashboard.",
    "max-message-queue-size-exceeded": "The account's queue is full; the text is tried again.",
    "401": "Bandwidth refused the credentials. Check user name and password.",
    "403": "The Bandwidth user may not send texts. Allow it in the dashboard.",
    "404": "Bandwidth does not know the account. Check the account id.",
    "415": "Bandwidth does not take this kind of attachment. Use a picture.",
    "4302": "The sender is not a routable number. Check the number.",
    "4303": "The recipient's number is not routable. Correct the lead's phone.",
    "4360": "The text expired in Bandwidth's queue. Send more slowly.",
    "4403": "The sender may not text: not of this account or not enabled. Check the dashboard.",
    "4404": "The recipient's number cannot take texts. Ask the lead for another one.",
    "4405": "The sender is not an active number. Check it in the dashboard.",
    "4406": "The recipient's number is assigned to nobody. Correct the lead's phone.",
    "4410": "Bandwidth could not fetch an attachment. Check its address.",
    "4411": "The attachments are too large together. Send smaller ones.",
    "4432": "The account may not text this country. Ask Bandwidth to allow it.",
    "4452": "The application id is not of this account. Correct it.",
    "4470": "Bandwidth filtered the text as spam. Change its words; check registration.",
    "4481": "Bandwidth blocked the sender. Ask Bandwidth why; use another number.",
    "4482": "The recipient's number is blocked at Bandwidth. Ask Bandwidth why.",
    "4702": "The handset could not be reached: switched off or out of coverage. Try later.",
    "4720": "The recipient's number is invalid or a landline. Correct the lead's phone.",
    "4721": "The recipient's number is out of service. Correct the lead's phone.",
    "4750": "The recipient's carrier refused the text without a reason.",
    "4770": "The carrier filtered the text as spam. Change its words; check registration.",
    "4773": "The sender's campaign (10DLC) is not active. Check its registration.",
    "4775": "The recipient opted out from this sender. Only the recipient can undo it.",
    "4780": "The brand's daily limit with T-Mobile (10DLC) is used up. Continue tomorrow.",
    "4781": "The campaign's rate with AT&T (10DLC) was exceeded. Send more slowly.",
    "4785": "The carrier's volume limit was exceeded. Send more slowly.",
    "4795": "The toll-free number is not verified yet. Finish its verification.",
    "5600": "The carrier's queue is full. Try later.",
    "9902": "No receipt came within two hours; whether it arrived is not known.",
    "9999": "The carrier failed for a reason Bandwidth does not know. Trying once may help.",
}


def request(account: Account, text: Outgoing, now: datetime) -> httpx.Request:
    expires = (now + max(text.validity, SHORTEST)).astimezone(UTC)
    body: dict[str, Any] = {
        "applicationId": account.credentials["applicationId"],
        "from": text.sender,
        "to": [text.to],
        "text": text.text,
        "tag": text.message_id,
        "expiration": expires.isoformat(timespec="seconds"),
    }
    if text.media:
        body["media"] = list(text.media)
    url = address(_messages(account))
    return httpx.Request("POST", url, headers=_auth(account), json=body)


def outcome(response: httpx.Response) -> Outcome:
    said = _object(response.content)
    if response.is_success:
        if carrier_id := _word(said, "id"):
            return Outcome("accepted", provider_message_id=carrier_id)
        return Outcome("unknown", detail="a success without a message id")
    code, detail = _word(said, "type"), _detail(said) or f"HTTP {response.status_code}"
    if not response.is_client_error:
        return Outcome("unknown", code=code, detail=detail)
    if response.status_code == 429:
        wait = response.headers.get("retry-after", "")
        seconds = float(wait) if wait.isdecimal() else None
        return Outcome("later", code=code, detail=detail, retry_after=seconds)
    return Outcome("refused", code=code or str(response.status_code), detail=detail)


def genuine(account: Account, hook: Hook, now: datetime) -> bool:
    scheme, _, given = hook.headers.get("authorization", "").partition(" ")
    expected = _basic(account, "callbackUsername", "callbackPassword")
    said = given.strip().encode("latin-1", "replace")
    return hmac.compare_digest(expected.encode(), said) and scheme.lower() == "basic"


def read_inbound(hook: Hook) -> list[InboundText]:
    return [
        InboundText(
            provider_id=carrier_id,
            sender=from_carrier(sender),
            to=from_carrier(to),
            text=_word(said, "text") or "",
            media=tuple(Media(url) for url in _words(said.get("media"))),
            sent_at=_time(said, "time"),
        )
        for event in _events(hook)
        if event.get("type") == "message-received"
        and (said := _part(event, "message"))
        and (carrier_id := _word(said, "id"))
        and (sender := _word(said, "from"))
        and (to := _word(said, "owner") or _word(event, "to"))
    ]


def read_status(hook: Hook) -> list[Receipt]:
    return [
        Receipt(
            provider_message_id=carrier_id,
            status=_status(word, code := _code(event)),
            message_id=_word(said, "tag"),
            to=from_carrier(_word(event, "to") or "") or None,
            code=code,
            opted_out=code in OPTED_OUT,
            at=_time(event, "time"),
        )
        for event in _events(hook)
        if (word := _word(event, "type")) not in (None, "message-received")
        and (said := _part(event, "message"))
        and (carrier_id := _word(said, "id"))
    ]


def lookup(account: Account, text: Outgoing, since: datetime) -> httpx.Request | None:
    # From long before the attempt: an older entry proves that a record is kept at all.
    wanted = {
        "sourceTn": text.sender,
        "destinationTn": text.to,
        "messageDirection": "OUTBOUND",
        "fromDateTime": (since - REACH).astimezone(UTC).isoformat(timespec="seconds"),
        "sort": "receiveTime:desc",
        "limit": str(PAGE),
    }
    return httpx.Request("GET", _messages(account), params=wanted, headers=_auth(account))


def found(response: httpx.Response, text: Outgoing, since: datetime) -> list[Found] | None:
    items = _object(response.content).get("messages")
    if not response.is_success or not isinstance(items, list):
        return None
    entries = _objects(items)
    older = [item for item in entries if _older(item, since)]
    left = [item for item in entries if not (_older(item, since) or _others(item, text))]
    # The list has neither words nor tag: numbers and time must do.
    matching = [
        Found(carrier_id, RECORDED.get(_word(item, "messageStatus") or ""), at, _code(item))
        for item in left
        if (at := _time(item, "receiveTime"))
        and all(_word(item, name) for name in ("sourceTn", "destinationTn"))
        and (carrier_id := _word(item, "messageId"))
    ]
    if not matching and (left or not older or len(items) >= PAGE):
        # An entry without time, id or numbers; or a list that may go on. Some accounts' texts are
        # not recorded: an empty list denies nothing.
        return None
    return sorted(matching, key=lambda item: item.created_at or since)


def numbers(account: Account, page: str | None) -> httpx.Request | None:
    return None  # they stand in another API, with other credentials


def listed(response: httpx.Response) -> Listing | None:
    return None


def history(account: Account, since: datetime, page: str | None) -> httpx.Request | None:
    return None  # the list has no words


def missed(response: httpx.Response, since: datetime) -> Missed | None:
    return None


def media(account: Account, url: str) -> httpx.Request:
    return httpx.Request("GET", url, headers=_auth(account) if _own(account, url) else None)


def secrets(account: Account) -> tuple[str, ...]:
    return (
        account.credentials["password"],
        account.credentials["callbackPassword"],
        _basic(account, "username", "password"),
        _basic(account, "callbackUsername", "callbackPassword"),
    )


def opting_out(code: str) -> bool:
    return code in OPTED_OUT


def _base(account: Account) -> str:
    return (account.base_url or BASE).rstrip("/")


def _messages(account: Account) -> str:
    return f"{_base(account)}/api/v2/users/{account.credentials['accountId']}/messages"


def _own(account: Account, url: str) -> bool:
    asked, base = httpx.URL(url), httpx.URL(_base(account))
    vendors = asked.scheme == "https" and f".{asked.host}".endswith(".bandwidth.com")
    return vendors or (asked.scheme, asked.netloc) == (base.scheme, base.netloc)


def _basic(account: Account, name: str, password: str) -> str:
    pair = f"{account.credentials[name]}:{account.credentials[password]}"
    return b64encode(pair.encode()).decode()


def _auth(account: Account) -> dict[str, str]:
    return {"Authorization": f"Basic {_basic(account, 'username', 'password')}"}


def _status(word: str | None, code: str | None) -> MessageStatus | None:
    """Only a failure's code says who failed: Bandwidth before the carrier, or the carrier
    (x7xx, x6xx and the unclear 99xx) after it."""
    status = STATUSES.get(word or "")
    if status != "failed" or code is None:
        return status
    if code == UNCONFIRMED:
        return "sent"
    return "undelivered" if code.startswith(("47", "56", "99")) else "failed"


def _older(item: Mapping[str, Any], since: datetime) -> bool:
    at = _time(item, "receiveTime")
    return at is not None and at < since - SLACK


def _others(item: Mapping[str, Any], text: Outgoing) -> bool:
    """Whether the entry says that it is of other numbers, or no text of ours."""
    numbers = (("sourceTn", text.sender), ("destinationTn", text.to))
    return item.get("messageDirection") not in ("OUTBOUND", None) or any(
        (said := _word(item, name)) and from_carrier(said) != ours for name, ours in numbers
    )


def _detail(said: Mapping[str, Any]) -> str | None:
    fields = (_word(field, "description") for field in _objects(said.get("fieldErrors")))
    return "; ".join(filter(None, (_word(said, "description"), *fields))) or None


def _events(hook: Hook) -> list[dict[str, Any]]:
    """The manuals show a list of events, the current document a single one."""
    said = _json(hook.body)
    return _objects(said if isinstance(said, list) else [said])


def _code(said: Mapping[str, Any]) -> str | None:
    code = said.get("errorCode")
    return (str(code) if code else None) if type(code) is int else _word(said, "errorCode")


def _time(said: Mapping[str, Any], name: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(_word(said, name) or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _word(said: Mapping[str, Any], name: str) -> str | None:
    return next(iter(_words([said.get(name)])), None)


def _words(items: object) -> list[str]:
    """Texts that are some, as a database can hold them: without NUL and half characters."""
    texts = [item for item in items if isinstance(item, str)] if isinstance(items, list) else []
    clean = (text.replace("\x00", "").encode("utf-8", "replace").decode() for text in texts)
    return [text for text in clean if text]


def _part(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = said.get(name)
    return part if isinstance(part, dict) else {}


def _objects(items: object) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _object(body: bytes) -> dict[str, Any]:
    said = _json(body)
    return said if isinstance(said, dict) else {}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None

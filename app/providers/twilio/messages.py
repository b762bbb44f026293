"""Twilio's API: what we ask, and what its answers mean."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from app.domain.carriage import (
    Account,
    InboundPage,
    InboundText,
    LookupMatch,
    NumberPage,
    Outcome,
    OutgoingText,
    PricedText,
    PricePage,
    VendorNumber,
)
from app.domain.phones import from_carrier
from app.domain.words import MessageStatus
from app.providers.reading import (
    CAPABILITIES,
    filter_objects,
    get_code,
    get_object,
    get_price,
    get_retry_seconds,
    get_text,
    is_older,
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
from app.providers.twilio.errors import OPT_OUT_CODES, RETRYABLE_CODES

BASE_URL = "https://api.twilio.com"
BASIC_CREDENTIALS = ("accountSid", "authToken")
VALIDITY_SECONDS = (1, 36_000)
MESSAGES_PER_PAGE = 200
MAX_PAGE_SIZE = 1000
NUMBERS_PATH, SHORT_CODES_PATH = "IncomingPhoneNumbers.json", "SMS/ShortCodes.json"
"""Twilio lists short codes apart from all other numbers."""
FOREIGN_DIRECTIONS = frozenset({"inbound", "outbound-call", "outbound-reply"})
"""Directions of texts that we did not send. Twilio's own answers are `outbound-reply`."""
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


def build_send_request(account: Account, text: OutgoingText, now: datetime) -> httpx.Request:
    form: dict[str, str | list[str]] = {
        "To": text.to,
        "From": text.sender,
        "Body": text.text,
        "StatusCallback": text.status_url,
        "ValidityPeriod": str(limit_seconds(text.validity, VALIDITY_SECONDS)),
    }
    if text.media:
        form["MediaUrl"] = list(text.media)
    url = parse_url(_get_messages_url(account))
    return httpx.Request("POST", url, headers=_build_auth_headers(account), data=form)


def read_outcome(response: httpx.Response) -> Outcome:
    answer = parse_object(response.content)
    code = get_code(answer, "code")
    detail = get_text(answer, "message") or f"HTTP {response.status_code}"
    if response.is_success:
        if sid := get_text(answer, "sid"):
            price = get_price(answer, "price", "price_unit")
            return Outcome("accepted", provider_message_id=sid, price=price)
        return Outcome("unknown", detail="a success without a message sid")
    if code in OPT_OUT_CODES:
        return Outcome("opted_out", code=code, detail=detail)
    if response.status_code == 429 or code in RETRYABLE_CODES:
        return Outcome("later", code=code, detail=detail, retry_after=get_retry_seconds(response))
    if response.is_client_error:
        return Outcome("refused", code=code or str(response.status_code), detail=detail)
    return Outcome("unknown", code=code, detail=detail)


def build_lookup_request(account: Account, text: OutgoingText, since: datetime) -> httpx.Request | None:
    # No filter on DateSent: a message that is still queued has none.
    params = {"To": text.to, "From": text.sender, "PageSize": str(MESSAGES_PER_PAGE)}
    return httpx.Request("GET", _get_messages_url(account), params=params, headers=_build_auth_headers(account))


def read_lookup(response: httpx.Response, text: OutgoingText, since: datetime) -> list[LookupMatch] | None:
    items = parse_object(response.content).get("messages")
    if not response.is_success or not isinstance(items, list):
        return None
    items = filter_objects(items)
    reaches_back = any(is_older(_get_created_at(item), since) for item in items)
    open_items = [item for item in items if not _is_other_text(item, text, since)]
    candidates = [_build_match(item, text) for item in open_items if isinstance(item.get("sid"), str)]
    if not any(candidate.sure for candidate in candidates) and (
        len(candidates) < len(open_items) or (len(items) >= MESSAGES_PER_PAGE and not reaches_back)
    ):
        # An entry has no id; or the list, newest first, may continue on a later page.
        return None
    return sorted(candidates, key=lambda item: (not item.sure, item.created_at or since))


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    if page in (None, SHORT_CODES_PATH):
        account_path = f"/2010-04-01/Accounts/{account.credentials['accountSid']}"
        page = f"{account_path}/{page or NUMBERS_PATH}?PageSize={MAX_PAGE_SIZE}"
    return _build_page_request(account, page)


def read_numbers(response: httpx.Response) -> NumberPage | None:
    are_short = response.request.url.path.endswith(SHORT_CODES_PATH)
    if are_short and response.status_code == 404:
        return NumberPage(())  # not every account has this list
    answer = parse_object(response.content)
    items = answer.get("short_codes" if are_short else "incoming_phone_numbers")
    if not response.is_success or not isinstance(items, list):
        return None
    name = "short_code" if are_short else "phone_number"
    vendor_numbers = tuple(_read_number(item, name) for item in filter_objects(items))
    next_page = _get_next_page(answer) or (None if are_short else SHORT_CODES_PATH)
    return NumberPage(tuple(n for n in vendor_numbers if n.phone_number), next_page)


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


def read_prices(response: httpx.Response) -> PricePage | None:
    """The prices in an answer to a history request; None when it is not such a list."""
    answer = parse_object(response.content)
    items = answer.get("messages")
    if not response.is_success or not isinstance(items, list):
        return None
    texts = tuple(
        PricedText(sid, price)
        for item in filter_objects(items)
        if item.get("direction") == "outbound-api"
        and isinstance(sid := item.get("sid"), str)
        and (price := get_price(item, "price", "price_unit"))
    )
    return PricePage(texts, _get_next_page(answer))


def build_media_request(account: Account, url: str) -> httpx.Request:
    return build_attachment_request(url, _build_auth_headers(account), account.base_url or BASE_URL, "twilio.com")


def list_secrets(account: Account) -> tuple[str, ...]:
    values = (account.credentials.get(name) for name in ("authToken", "sharedKeySecret"))
    return (*(secret for secret in values if secret), encode_basic(account, *BASIC_CREDENTIALS))


def _get_messages_url(account: Account) -> str:
    return f"{get_base_url(account, BASE_URL)}/2010-04-01/Accounts/{account.credentials['accountSid']}/Messages.json"


def _build_page_request(account: Account, path: str) -> httpx.Request | None:
    """The request for a page by its path, which Twilio's answer names. None for anything that is
    not a path of the API: credentials must not go to another host."""
    if not path.startswith("/2010-04-01/"):
        return None
    url = f"{get_base_url(account, BASE_URL)}{path}"
    return httpx.Request("GET", url, headers=_build_auth_headers(account))


def _get_next_page(answer: Mapping[str, Any]) -> str | None:
    path = answer.get("next_page_uri")
    return path if isinstance(path, str) and path else None


def _read_number(item: Mapping[str, Any], name: str) -> VendorNumber:
    """The entry of a number, which stands under `name`."""
    capabilities = get_object(item, "capabilities")
    return VendorNumber(
        phone_number=from_carrier(str(item.get(name) or "")),
        capabilities=tuple(name for name in CAPABILITIES if capabilities.get(name) is True),
        label=str(item["friendly_name"]) if item.get("friendly_name") else None,
        inbound_url=str(item.get("sms_url") or ""),
        inbound_method=str(item.get("sms_method") or "") or None,
    )


def _build_auth_headers(account: Account) -> dict[str, str]:
    return build_basic_auth(account, *BASIC_CREDENTIALS)


def _build_match(item: Mapping[str, Any], text: OutgoingText) -> LookupMatch:
    status, created_at = STATUSES.get(str(item.get("status"))), _get_created_at(item)
    sure = created_at is not None and item.get("body") == text.text
    price = get_price(item, "price", "price_unit")
    return LookupMatch(item["sid"], status, created_at, _get_error_code(item), sure, price)


def _is_other_text(item: Mapping[str, Any], text: OutgoingText, since: datetime) -> bool:
    """Whether the entry is surely another text, even if the words are the same."""
    numbers = ((item.get("to"), text.to), (item.get("from"), text.sender))
    return (
        is_older(_get_created_at(item), since)
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

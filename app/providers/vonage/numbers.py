"""Vonage's Numbers API: the account's numbers.

https://developer.vonage.com/en/api/numbers
"""

from collections.abc import Mapping
from typing import Any

import httpx

from app.domain.carriage import Account, NumberPage, VendorNumber
from app.domain.phones import from_carrier
from app.providers.reading import CAPABILITIES, filter_objects, get_line, parse_json
from app.providers.requests import build_basic_auth, get_base_url

BASE_URL = "https://rest.nexmo.com"
NUMBERS_PER_PAGE = 100


def build_numbers_request(account: Account, page: str | None) -> httpx.Request | None:
    return httpx.Request(
        "GET",
        f"{get_base_url(account, BASE_URL)}/account/numbers",
        params={"size": str(NUMBERS_PER_PAGE), "index": page or "1"},
        headers=build_basic_auth(account, "apiKey", "apiSecret"),
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
    return NumberPage(vendor_numbers, _get_next_page(response, count) if items and count > NUMBERS_PER_PAGE else None)


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

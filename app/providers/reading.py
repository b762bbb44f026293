"""What all carriers' files read the same way: JSON, forms, times, and texts that can be stored.

A carrier's JSON may be anything, so each reader gives an empty value where the shape is wrong,
and raises nothing.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from app.domain.carriage import Outcome, Price, WebhookRequest
from app.domain.retry_after import read_retry_after, read_seconds
from app.domain.storable import clean_text
from app.domain.words import Capability

CAPABILITIES: tuple[Capability, ...] = ("sms", "mms", "voice")
"""What a number can do, by the words of our API."""
CURRENCY_PATTERN = re.compile(r"[A-Za-z]{3}")
MILLIONTH, MAX_PRICE = Decimal("0.000001"), 1_000_000
CLOCK_TOLERANCE = timedelta(seconds=2)
"""Carriers' lists have times of whole seconds, and the clocks differ a little."""


def parse_json(body: bytes) -> Any:
    """The JSON value in `body`; None where it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; {} where there is none."""
    value = parse_json(body)
    return value if isinstance(value, dict) else {}


def get_object(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def filter_objects(items: object) -> list[dict[str, Any]]:
    """The objects of a list; [] where `items` is no list."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def get_text(data: Mapping[str, Any], name: str) -> str | None:
    """A text that can be stored; None where it is empty or no text."""
    text = data.get(name)
    return (clean_text(text) or None) if isinstance(text, str) else None


def get_line(data: Mapping[str, Any], name: str) -> str | None:
    """An id, number, code or address: one printable line; None where it is anything else."""
    value = data.get(name)
    line = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return line if isinstance(line, str) and line and line.isprintable() else None


def get_code(data: Mapping[str, Any], name: str) -> str | None:
    """A code, which some answers write as a number."""
    code = data.get(name)
    return str(code) if type(code) is int else get_text(data, name)


def get_time(data: Mapping[str, Any], name: str) -> datetime | None:
    """An ISO 8601 time, in UTC; one without a zone is taken for UTC. None where it is no time."""
    try:
        at = datetime.fromisoformat(get_text(data, name) or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def read_price(amount: object, currency: object) -> Price | None:
    """What a carrier charges for a text, in millionths at the finest. None where it does not say. Some write what
    they take with a minus."""
    if not isinstance(currency, str) or not CURRENCY_PATTERN.fullmatch(currency):
        return None
    try:
        price = abs(Decimal(str(amount)))
        return Price(price.quantize(MILLIONTH), currency.upper()) if price < MAX_PRICE else None
    except ArithmeticError:
        return None


def get_price(data: Mapping[str, Any], amount: str, currency: str) -> Price | None:
    return read_price(data.get(amount), data.get(currency))


def is_older(at: datetime | None, since: datetime) -> bool:
    """Whether an entry's time is surely before `since`."""
    return at is not None and at < since - CLOCK_TOLERANCE


def get_retry_seconds(response: httpx.Response, *headers: str) -> float | None:
    """The seconds that the carrier asks us to wait: from Retry-After, else from `headers`."""
    waits = (read_retry_after(response.headers), *(read_seconds(response.headers.get(name, "")) for name in headers))
    return next((wait for wait in waits if wait is not None), None)


def judge_failure(
    response: httpx.Response,
    code: str | None,
    detail: str | None,
    opt_out_codes: frozenset[str] = frozenset(),
    retryable_codes: frozenset[str] = frozenset(),
    *retry_headers: str,
) -> Outcome:
    """The outcome of a send that failed. Only a 4xx says that the text was surely not taken."""
    detail = detail or f"HTTP {response.status_code}"
    if not response.is_client_error:
        return Outcome("unknown", code=code, detail=detail)
    if code in opt_out_codes:
        return Outcome("opted_out", code=code, detail=detail)
    if response.status_code == 429 or code in retryable_codes:
        return Outcome("later", code=code, detail=detail, retry_after=get_retry_seconds(response, *retry_headers))
    return Outcome("refused", code=code or str(response.status_code), detail=detail)


def list_parameters(hook: WebhookRequest) -> list[tuple[str, str]]:
    """The parameters of a GET or of a form, as the carrier sent them."""
    return list(hook.query) if hook.method == "GET" else hook.form or []


def read_parameters(hook: WebhookRequest) -> dict[str, str]:
    """The parameters without NUL, which a database cannot store (but a signature covers)."""
    return {name: value.replace("\x00", "") for name, value in list_parameters(hook)}


def get_message_parameter(hook: WebhookRequest) -> str | None:
    """Our message id, which the URL of a status webhook carries."""
    return get_text(dict(hook.query), "message")

"""What all carriers' files read the same way: JSON, forms, times, and texts that can be stored.

A carrier's JSON may be anything, so each reader gives an empty value where the shape is wrong,
and raises nothing.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from app.domain.carriage import WebhookRequest
from app.domain.retry_after import read_retry_after, read_seconds


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


def clean_text(text: str) -> str:
    """`text` without NUL and lone surrogates: JSON can spell both, a database can store neither."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def get_text(data: Mapping[str, Any], name: str) -> str | None:
    """A text that can be stored; None where it is empty or no text."""
    text = data.get(name)
    return (clean_text(text) or None) if isinstance(text, str) else None


def get_line(data: Mapping[str, Any], name: str) -> str | None:
    """An id, number, code or address: one printable line; None where it is anything else."""
    value = data.get(name)
    line = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return line if isinstance(line, str) and line and line.isprintable() else None


def get_time(data: Mapping[str, Any], name: str) -> datetime | None:
    """An ISO 8601 time, in UTC; one without a zone is taken for UTC. None where it is no time."""
    try:
        at = datetime.fromisoformat(get_text(data, name) or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def get_retry_seconds(response: httpx.Response, *headers: str) -> float | None:
    """The seconds that the carrier asks us to wait: from Retry-After, else from `headers`."""
    waits = (read_retry_after(response.headers), *(read_seconds(response.headers.get(name, "")) for name in headers))
    return next((wait for wait in waits if wait is not None), None)


def list_parameters(hook: WebhookRequest) -> list[tuple[str, str]]:
    """The parameters of a GET or of a form, as the carrier sent them."""
    return list(hook.query) if hook.method == "GET" else hook.form or []


def read_parameters(hook: WebhookRequest) -> dict[str, str]:
    """The parameters without NUL, which a database cannot store (but a signature covers)."""
    return {name: value.replace("\x00", "") for name, value in list_parameters(hook)}


def is_carrier_url(url: str, base_url: str, *domains: str) -> bool:
    """Whether `url` is at `base_url`, or by https at one of the carrier's own `domains`."""
    target, base = httpx.URL(url), httpx.URL(base_url)
    is_vendor = target.scheme == "https" and any(f".{target.host}".endswith(f".{domain}") for domain in domains)
    return is_vendor or (target.scheme, target.netloc) == (base.scheme, base.netloc)

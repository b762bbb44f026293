"""Renders pages from templates: escaped, strict about names, without inline scripts or styles."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from asyncpg import Record
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.domain import media, phones
from app.domain.problems import Problem

WEB_FOLDER = Path(__file__).parents[1]
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ZONE_COOKIE = "zone"
"""The person's time zone (IANA name), set by the script in the browser."""
STATUS_WORDS = {
    "in_progress": "In progress",
    "completed": "Completed",
    "incomplete": "Incomplete",
    "follow_up": "Follow up",
    "qualified": "Qualified",
    "disqualified": "Disqualified",
    "dnc": "Do not contact",
}
DELIVERY_WORDS = {
    "scheduled": "Scheduled",
    "queued": "Queued",
    "sending": "Sending",
    "unknown": "Delivery unknown",
    "sent": "Sent",
    "delivered": "Delivered",
    "failed": "Failed",
    "undelivered": "Not delivered",
    "cancelled": "Cancelled",
}
TRIGGER_WORDS = {
    "opening": "The agent was asked to begin",
    "silence": "The lead was silent",
    "scheduled": "The agent had asked for it",
    "failed_delivery": "A text had not arrived",
}
"""Why there is a turn without texts of the lead."""
TURN_WORDS = {
    "planned": "Planned",
    "collecting": "Collecting texts",
    "delivering": "Being handed over",
    "awaiting_reply": "Waiting for the agent's reply",
    "replied": "Answered",
    "declined": "Declined: the agent had nothing to say",
    "concluded": "Concluded: the agent gave an outcome",
    "handed_off": "Handed over to a person",
    "superseded": "Replaced by a later turn",
    "cancelled": "Cancelled",
    "expired": "Expired: the agent did not answer in time",
    "failed": "Failed: the agent could not be reached",
}
REFUSAL_WORDS = {
    "STALE_TURN": "The lead had written again.",
    "TURN_CLOSED": "The turn was already closed.",
    "TURN_CANCELLED": "A person had taken over, the agent was switched off, or the lead may have opted out.",
    "NO_OPEN_TURN": "No turn was waiting for a reply.",
    "DNC_BLOCKED": "The lead may not be texted.",
    "VALIDATION_ERROR": "The answer could not be read.",
    "ANSWERED_BY_PERSON": "A person had answered this question.",
    "STATUS_BY_PERSON": "The status had been set by hand.",
}
"""Why an agent's reply did not go out."""
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""Attachments that the page shows. A browser saves any other type as a file and does not run it."""
SOURCE_WORDS = {"api": "API", "sms_agent": "AI agent", "system": "System", "manual": "By hand"}
"""Names of sources on the page. Received texts show the lead's name instead."""


class Static(StaticFiles):
    """Static files. Browsers may cache them for ever, because the address has a digest of the content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def page(request: Request, template: str, status: int = 200, /, **context: Any) -> HTMLResponse:
    """Renders a template. Its `zone` is the person's time zone, UTC until the browser has sent it."""
    html = (
        _build_environment()
        .get_template(template)
        .render(request=request, zone=get_zone(request), now=datetime.now(UTC), **context)
    )
    return HTMLResponse(html, status, {"Content-Security-Policy": CONTENT_POLICY})


def list_faults(problem: Problem | None) -> dict[str, str]:
    """Returns a problem's words by field name; under "" those that belong to no field."""
    words_by_field: dict[str, list[str]] = {}
    for detail in problem.details if problem else ():
        name, colon, words = detail.partition(": ")
        words_by_field.setdefault(name if colon else "", []).append(words if colon else detail)
    return {name: "; ".join(words) for name, words in words_by_field.items()}


def problem(request: Request, problem: Problem) -> Response:
    """Renders the page of a problem; set as `AppState.render_problem`."""
    return page(request, "problem.html", problem.status, problem=problem)


def get_zone(request: Request) -> tzinfo:
    name = request.cookies.get(ZONE_COOKIE)
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):  # unknown, or not the name of a zone
        return UTC


class _RowEnvironment(Environment):
    """Looks up a row's columns before its attributes. Jinja does it the other way round, and would
    raise and catch an AttributeError for each of the thousands of values of a page."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is Record and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@cache
def _build_environment() -> Environment:
    environment = _RowEnvironment(
        loader=FileSystemLoader(WEB_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "phone": phones.format_phone,
        "clock": _format_clock,
        "day": _format_day,
        "ago": format_ago,
        "exact": _format_exact,
        "moment": datetime.fromisoformat,
        "query": build_query,
        "pairs": _list_pairs,
        "in_words": _describe_details,
        "mark": _format_mark,
        "month": _format_month,
        "lasting": _format_duration,
        "size": media.format_size,
        "guessed_type": media.guess_type,
    }
    environment.globals |= {
        "static": _get_static_url,
        "STATUSES": STATUS_WORDS,
        "DELIVERY": DELIVERY_WORDS,
        "SOURCES": SOURCE_WORDS,
        "TURNS": TURN_WORDS,
        "TRIGGERS": TRIGGER_WORDS,
        "REFUSALS": REFUSAL_WORDS,
        "IMAGES": IMAGE_TYPES,
        "MAX_FILES": media.MAX_FILES,
        "TYPE_WORDS": media.TYPE_WORDS,
        "FILE_TYPES": ",".join((*media.EXTENSIONS, ".vcf")),
    }
    return environment


@cache
def _get_static_url(name: str) -> str:
    """Returns the address of a static file, with a digest of its content."""
    digest = hashlib.sha256((WEB_FOLDER / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"


def _format_clock(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%H:%M}"


def _format_day(at: datetime, zone: tzinfo) -> str:
    """Returns "Today", "Yesterday" or the date."""
    local = at.astimezone(zone).date()
    age = (datetime.now(zone).date() - local).days
    return {0: "Today", 1: "Yesterday"}.get(age) or f"{local:%A}, {local.day} {local:%B %Y}"


def format_ago(at: datetime, zone: tzinfo) -> str:
    """Returns how long ago `at` was, in a few characters for a list."""
    now = datetime.now(zone)
    minutes = int((now - at).total_seconds() // 60)
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{minutes} min"
    local = at.astimezone(zone)
    if local.date() == now.date():
        return f"{local:%H:%M}"
    days = (now.date() - local.date()).days
    if days == 1:
        return "yesterday"
    if days < 7:
        return f"{local:%a}"
    return f"{local.day} {local:%b}" if local.year == now.year else f"{local.day} {local:%b %Y}"


def _format_exact(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    return f"{local.day} {local:%B %Y, %H:%M:%S} {local.tzname()}"


def _format_mark(at: datetime, zone: tzinfo, span: str) -> str:
    """Returns a label of a chart's time axis: the day if the chart shows a month, else the time."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%b}" if span == "month" else f"{local:%H:%M}"


def _format_month(at: datetime) -> str:
    return f"{at.astimezone(UTC):%B %Y}"


def _format_duration(seconds: float) -> str:
    """Returns a duration in the largest unit of which there is at least one."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def build_query(params: Mapping[str, Any], **changes: Any) -> str:
    """Returns `params` with `changes` as a query string, without empty values."""
    pairs = _list_pairs({**params, **changes})
    return f"?{urlencode(pairs)}" if pairs else ""


FIELD_WORDS = {
    "message": "The text",
    "mediaUrls": "Pictures and files:",
    "from": "From",
    "to": "The phone",
    "sendAt": "Send at:",
}
"""How the page calls the fields of a text."""


def _describe_details(details: Sequence[str]) -> str:
    """Returns a problem's details with the page's own names of fields."""
    parts = [detail.partition(": ") for detail in details]
    return ". ".join(
        f"{FIELD_WORDS[name]} {words}" if name in FIELD_WORDS else f"{name}{colon}{words}"
        for name, colon, words in parts
    )


def _list_pairs(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Returns the parameters with a value, each value of a list by itself."""
    return [
        (name, one) for name, value in params.items() for one in (value if isinstance(value, list) else [value]) if one
    ]

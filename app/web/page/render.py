"""Pages out of templates: escaped, strict, and with no line of script or style inside."""

import hashlib
from collections.abc import Mapping
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

from app.domain import phones
from app.domain.problems import Problem

WEB = Path(__file__).parents[1]
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ZONE_COOKIE = "zone"
"""The person's time zone (IANA name), as the browser knows it."""
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
    "unknown": "Not known whether it arrived",
    "sent": "Sent",
    "delivered": "Delivered",
    "failed": "Failed",
    "undelivered": "Not delivered",
    "cancelled": "Cancelled",
}
TURN_WORDS = {
    "collecting": "Gathering texts",
    "delivering": "Being handed over",
    "awaiting_reply": "Waiting for the agent's reply",
    "replied": "Answered",
    "declined": "Declined: the agent had nothing to say",
    "handed_off": "Handed over to a person",
    "superseded": "Superseded by a later turn",
    "cancelled": "Cancelled",
    "expired": "Expired: the agent did not answer in time",
    "failed": "Failed: the agent could not be reached",
}
REFUSAL_WORDS = {
    "STALE_TURN": "The lead had written again.",
    "TURN_CLOSED": "The turn was closed already.",
    "TURN_CANCELLED": "A person had taken over, or the agent had been switched off.",
    "NO_OPEN_TURN": "No turn waited for a reply.",
    "DNC_BLOCKED": "The lead may not be texted.",
    "VALIDATION_ERROR": "It was no answer that can be used.",
}
"""Why an agent's reply did not go out."""
IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""What a browser may show in the page; any other attachment is saved as a file, and not run."""
SOURCE_WORDS = {"api": "API", "sms_agent": "AI agent", "system": "System", "manual": "By hand"}
"""How the page says it; received texts bear the lead's name."""


class Static(StaticFiles):
    """Files whose address changes with their content, so that they may be kept for good."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def page(request: Request, template: str, status: int = 200, /, **shown: Any) -> HTMLResponse:
    """A template as an answer. `zone` is the person's, UTC until the browser told it."""
    html = (
        _environment()
        .get_template(template)
        .render(request=request, zone=zone(request), now=datetime.now(UTC), **shown)
    )
    return HTMLResponse(html, status, {"Content-Security-Policy": POLICY})


def faults(refused: Problem | None) -> dict[str, str]:
    """What a problem says of each field, by the field's name; under "" what is of none."""
    said: dict[str, list[str]] = {}
    for detail in refused.details if refused else ():
        name, colon, words = detail.partition(": ")
        said.setdefault(name if colon else "", []).append(words if colon else detail)
    return {name: "; ".join(words) for name, words in said.items()}


def problem(request: Request, refused: Problem) -> Response:
    """The page of a problem: `app.state.page_problem`."""
    return page(request, "problem.html", refused.status, problem=refused)


def zone(request: Request) -> tzinfo:
    name = request.cookies.get(ZONE_COOKIE)
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):  # unknown, or no name of a zone at all
        return UTC


class _Rows(Environment):
    """Most of what a page shows are rows, asked for thousands of values: to look for an attribute
    first, as Jinja does, would raise at each."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is Record and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@cache
def _environment() -> Environment:
    environment = _Rows(
        loader=FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "phone": phones.shown,
        "clock": _clock,
        "day": _day,
        "ago": ago,
        "exact": _exact,
        "moment": datetime.fromisoformat,
        "query": _query,
        "mark": _mark,
        "month": _month,
        "lasting": _lasting,
    }
    environment.globals |= {
        "static": _static,
        "STATUSES": STATUS_WORDS,
        "DELIVERY": DELIVERY_WORDS,
        "SOURCES": SOURCE_WORDS,
        "TURNS": TURN_WORDS,
        "REFUSALS": REFUSAL_WORDS,
        "IMAGES": IMAGES,
    }
    return environment


@cache
def _static(name: str) -> str:
    """The address of a static file, with its content's digest."""
    digest = hashlib.sha256((WEB / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"


def _clock(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%H:%M}"


def _day(at: datetime, zone: tzinfo) -> str:
    """ "Today", "Yesterday", or the date."""
    local = at.astimezone(zone).date()
    age = (datetime.now(zone).date() - local).days
    return {0: "Today", 1: "Yesterday"}.get(age) or f"{local:%A}, {local.day} {local:%B %Y}"


def ago(at: datetime, zone: tzinfo) -> str:
    """How long ago, as short as a list of threads wants it."""
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


def _exact(at: datetime, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    return f"{local.day} {local:%B %Y, %H:%M:%S} {local.tzname()}"


def _mark(at: datetime, zone: tzinfo, span: str) -> str:
    """A mark below a chart: the day where a chart shows a month, else the time."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%b}" if span == "month" else f"{local:%H:%M}"


def _month(at: datetime) -> str:
    return f"{at.astimezone(UTC):%B %Y}"


def _lasting(seconds: float) -> str:
    """How long, in the largest unit that says something."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _query(given: Mapping[str, Any], **changed: Any) -> str:
    """`given` as a query string with some parameters changed; what is empty is left out."""
    pairs = {name: value for name, value in {**given, **changed}.items() if value}
    return f"?{urlencode(pairs)}" if pairs else ""

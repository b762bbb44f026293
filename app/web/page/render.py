"""Renders pages from templates: escaped, strict about names, without inline scripts or styles."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal
from urllib.parse import urlencode

from asyncpg import Record
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from app.commands.team import MAX_NOTE_LENGTH
from app.domain import media, phones
from app.domain.orders import MAX_TEXT_LENGTH
from app.domain.problems import Internal, Problem
from app.domain.words import Channel
from app.web import problems
from app.web.page import found_words, static_files, text_sizes, times
from app.web.page.parts_response import PartsResponse, compress_parts
from app.web.page.static_files import COMPRESSED_HEADERS, WEB_FOLDER, accepts_gzip

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
GZIP_LEVEL = 5
"""A page takes 0.4 ms; higher levels take longer and save little."""
FRAGMENTS = ("list", "opened")
"""The list of conversations; what is open beside it."""
Part = Literal["", "beginning", "rest"]
"""What of a page is rendered; "": all of it."""
STATUS_WORDS = {
    "in_progress": "In progress",
    "completed": "Completed",
    "incomplete": "Incomplete",
    "follow_up": "Follow up",
    "qualified": "Qualified",
    "disqualified": "Disqualified",
    "dnc": "Do not contact",
}
CHANNEL_WORDS: dict[Channel, str] = {"sms": "Texts", "phone": "Calls", "email": "E-mail"}
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
TICKS = {"sent": "✓", "delivered": "✓✓"}
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
CHECK_WORDS = {
    "mustContain": "Must contain",
    "mustNotContain": "Must not contain",
    "maxSegments": "Segments at most",
    "asksOneQuestion": "Must ask one question",
    "outcomeIs": "Must end",
    "judge": "The judge",
    "answer": "No answer",
}
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""Attachments that the page shows. A browser saves any other type as a file and does not run it."""
MAX_TYPED = 2 * MAX_TEXT_LENGTH
"""Characters that a box for a text takes: a long text is pasted whole, and made shorter there."""
SOURCE_WORDS = {"api": "API", "sms_agent": "AI agent", "system": "System", "manual": "By hand"}
"""Names of sources on the page. Received texts show the lead's name instead."""


def page(request: Request, template: str, status: int = 200, /, **context: Any) -> Response:
    """Renders a template. Its `zone` is the person's time zone, UTC until the browser has sent it."""
    html = _render(request, template, "", context)
    headers = {"Content-Security-Policy": CONTENT_POLICY}
    if not accepts_gzip(request.headers):
        return HTMLResponse(html, status, headers)
    content = gzip.compress(html.encode(), GZIP_LEVEL, mtime=0)
    response = HTMLResponse(content, status, headers | COMPRESSED_HEADERS)
    # Tokens and times make each rendering a few bytes shorter or longer, and HEAD is answered as GET.
    del response.headers["content-length"]
    return response


def page_in_parts(
    request: Request,
    template: str,
    first_context: Mapping[str, Any],
    build_rest: Callable[[], Awaitable[Mapping[str, Any]]],
) -> Response:
    """As `page`, but the browser gets the beginning (of `first_context`) at once, and with it the addresses of styles
    and scripts: it fetches them, and paints, while `build_rest` reads what the page shows. The status is sent by then,
    so the words of a problem take the place of the rest. After an unexpected error the answer also breaks off: no
    machine takes it for whole."""

    async def render_parts() -> AsyncIterator[bytes]:
        yield _render(request, template, "beginning", first_context).encode()
        try:
            html = _render(request, template, "rest", {**first_context, **await build_rest()})
        except Exception as error:
            problem = problems.explain_error(error)
            html = _render(request, "problem.html", "rest", {"problem": problem or Internal()})
            if not problem:
                yield html.encode()
                raise
        yield html.encode()

    headers = {"Content-Security-Policy": CONTENT_POLICY}
    if not accepts_gzip(request.headers):
        return PartsResponse(render_parts(), headers=headers, media_type="text/html")
    parts = compress_parts(render_parts(), GZIP_LEVEL)
    return PartsResponse(parts, headers=headers | COMPRESSED_HEADERS, media_type="text/html")


def _render(request: Request, name: str, part: Part, context: Mapping[str, Any]) -> str:
    template = _build_environment().get_template(name)
    return template.render(
        request=request,
        zone=times.get_zone(request),
        text_size=text_sizes.get_text_size(request),
        now=datetime.now(UTC),
        fragment=get_fragment(request),
        part=part,
        **context,
    )


async def load_templates() -> None:
    """Compiles the templates between other work: else whoever opens the first page after a start would wait."""
    environment = _build_environment()
    static_files.load_files()
    for name in environment.list_templates():
        await asyncio.sleep(0)
        environment.get_template(name)


def get_fragment(request: Request) -> str:
    """Returns the part of the page that a script asks for (`FRAGMENTS`); "": the whole page."""
    fragment = request.headers.get("x-fragment", "")
    return fragment if fragment in FRAGMENTS else ""


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
        "clock": times.format_clock,
        "local_input": times.format_local_input,
        "day": times.format_day,
        "ago": times.format_ago,
        "exact": times.format_exact,
        "when": times.format_when,
        "local_times": times.show_local_times,
        "moment": datetime.fromisoformat,
        "query": build_query,
        "pairs": _list_pairs,
        "in_words": _describe_details,
        "mark": times.format_mark,
        "month": times.format_month,
        "lasting": times.format_duration,
        "took": _format_milliseconds,
        "size": media.format_size,
        "guessed_type": media.guess_type,
        "linked": found_words.link_addresses,
        "snippet": found_words.cut_snippet,
    }
    environment.globals |= {
        "static": static_files.get_static_url,
        "STATUSES": STATUS_WORDS,
        "CHANNELS": CHANNEL_WORDS,
        "DELIVERY": DELIVERY_WORDS,
        "TICKS": TICKS,
        "SOURCES": SOURCE_WORDS,
        "TURNS": TURN_WORDS,
        "TRIGGERS": TRIGGER_WORDS,
        "REFUSALS": REFUSAL_WORDS,
        "CHECKS": CHECK_WORDS,
        "IMAGES": IMAGE_TYPES,
        "MAX_TYPED": MAX_TYPED,
        "MAX_NOTE": MAX_NOTE_LENGTH,
        "MAX_FILES": media.MAX_FILES,
        "TYPE_WORDS": media.TYPE_WORDS,
        "FILE_TYPES": ",".join((*media.EXTENSIONS, ".vcf")),
    }
    return environment


def _format_milliseconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.2g} s" if milliseconds else "0 s"


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
    """Returns a problem's details as sentences, with the page's own names of fields."""
    return " ".join(map(_describe_detail, details))


def _describe_detail(detail: str) -> str:
    name, colon, words = detail.partition(": ")
    begin = f"{FIELD_WORDS[name]} " if name in FIELD_WORDS else name + colon
    return f"{begin}{words}".removesuffix(".") + "."


def _list_pairs(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Returns the parameters with a value, each value of a list by itself."""
    return [
        (name, item)
        for name, value in params.items()
        for item in (value if isinstance(value, list) else [value])
        if item
    ]

"""What changed while a page is open: a stream says what, and the page fetches that alone."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from typing_extensions import TypedDict

from app.domain.event_bodies import RecordedEvent
from app.domain.events import parse_event_id
from app.web.feed import EventFilter
from app.web.page import visits
from app.web.page.dependencies import SignedIn
from app.web.page.list_filter import Chosen
from app.web.page.visits import VisitGet
from app.web.state import get_state

router = APIRouter(include_in_schema=False)
HEARTBEAT_SECONDS = 15.0
"""Proxies close a stream without data, so something is sent this often. The page hears it: a stream
that is silent for longer is dead."""
STREAM_SECONDS = 600.0
"""After this time the stream ends. The browser reconnects, and its session is checked again."""
Parts = Literal["", "state", "contact"]
"""What is fetched of the open thread beside texts: nothing, its state, or that and the lead."""
ON_THE_WAY = frozenset({"message.sending", "message.sent", "message.delivered"})
"""They change a text, and nothing else on the page."""
AGENT_GOES_ON = frozenset({"turn.opened", "turn.handed_over", "turn.accepted"})
UNSEEN = frozenset({"lead.created"})
UNSEEN_FAMILIES = frozenset({"account", "endpoint"})


class Change(TypedDict):
    """What changed of a thread: its row in the list, some of its texts, other parts."""

    row: bool
    texts: list[str]
    parts: Parts


@router.get("/conversations/events", response_class=EventSourceResponse)
async def stream_events(
    request: Request,
    person: SignedIn,
    after: Annotated[str | None, Query(max_length=50)] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=50)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Streams from `Last-Event-ID` on, else from `after`, so that no event is lost between the page and
    the stream, or when a connection drops."""
    feed = get_state(request.app).feed
    start_id = last_event_id or after or ""
    if parse_event_id(start_id) is None:
        start_id = await feed.get_newest_id(person.tenant_id)
    cursor = await feed.find_place(person.tenant_id, start_id)
    yield ServerSentEvent(comment="live", retry=1000, id=start_id)
    clock = asyncio.get_running_loop().time
    end = clock() + STREAM_SECONDS
    while clock() < end and not feed.is_closing:
        found_events = await feed.wait_for_events(person.tenant_id, cursor, EventFilter(), 100, HEARTBEAT_SECONDS)
        if not found_events:
            yield ServerSentEvent(event="beat", data="")
            continue
        cursor = found_events[-1].cursor
        yield ServerSentEvent(data=describe_changes(found_events), id=found_events[-1].id)


def describe_changes(events: Iterable[RecordedEvent]) -> dict[str, Change]:
    """Says what changed by thread; under "" what may concern every thread."""
    changes: dict[str, Change] = {}
    for event in events:
        name = event.name or event.type
        if name in UNSEEN or name.partition(".")[0] in UNSEEN_FAMILIES:
            continue
        change = changes.setdefault(event.interaction_id or "", Change(row=False, texts=[], parts=""))
        text_id = event.data.get("messageId")
        if text_id and text_id not in change["texts"]:
            change["texts"].append(text_id)
        change["row"] |= name not in ON_THE_WAY and name not in AGENT_GOES_ON
        change["parts"] = max(change["parts"], _find_parts(name), key=("", "state", "contact").index)
    return changes


def _find_parts(name: str) -> Parts:
    if name in ON_THE_WAY:
        return ""
    is_own = name.partition(".")[0] in ("turn", "message") and name != "message.note"
    return "state" if is_own else "contact"


@router.get("/conversations/changes")
async def show_changes(
    visit: VisitGet,
    rows: Annotated[Chosen, Query()] = [],  # noqa: B006
    texts: Annotated[Chosen, Query()] = [],  # noqa: B006
    opened: Annotated[str, Query(max_length=64)] = "",
    parts: Parts = "",
) -> Response:
    """Shows rows of the list by thread id, and what changed in the `opened` thread: texts, other parts."""
    return await visits.show_changes(visit, rows, opened, texts, parts)

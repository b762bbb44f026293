"""The event stream of the open page: which threads changed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.domain.problems import Invalid
from app.web.events import format_event_id, parse_cursor
from app.web.feed import EventFilter
from app.web.page.dependencies import SignedIn
from app.web.state import get_state

router = APIRouter(include_in_schema=False)
HEARTBEAT_SECONDS = 15.0
"""Proxies close a stream without data, so a comment is sent this often."""
STREAM_SECONDS = 600.0
"""After this time the stream ends. The browser reconnects, and its session is checked again."""


@router.get("/conversations/events", response_class=EventSourceResponse)
async def stream_events(
    request: Request,
    person: SignedIn,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=50)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Streams from `Last-Event-ID` on, so that no event is lost when a connection drops."""
    feed = get_state(request.app).feed
    try:
        cursor = parse_cursor(last_event_id) if last_event_id else await feed.get_newest_cursor(person.tenant_id)
    except Invalid:
        cursor = await feed.get_newest_cursor(person.tenant_id)
    yield ServerSentEvent(comment="live", retry=1000, id=format_event_id(*cursor))
    clock = asyncio.get_running_loop().time
    end = clock() + STREAM_SECONDS
    while clock() < end and not feed.is_closing:
        found_events = await feed.wait_for_events(person.tenant_id, cursor, EventFilter(), 100, HEARTBEAT_SECONDS)
        if not found_events:
            yield ServerSentEvent(comment="heartbeat")
            continue
        cursor = found_events[-1].cursor
        data = {"interactionIds": sorted({event.interaction_id for event in found_events if event.interaction_id})}
        yield ServerSentEvent(data=data, id=format_event_id(*cursor))

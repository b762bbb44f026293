"""What happens in the tenant, as it happens, for the open page."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.domain.problems import Invalid
from app.web.events import opened, written
from app.web.feed import Feed
from app.web.page.doors import SignedIn

router = APIRouter(include_in_schema=False)
BREATH = 15.0
"""Proxies close a stream that is silent for long."""
LASTS = 600.0
"""Then the browser comes again, and who it is is looked at anew."""


@router.get("/conversations/events", response_class=EventSourceResponse)
async def stream(
    request: Request,
    person: SignedIn,
    last: Annotated[str | None, Header(alias="Last-Event-ID", max_length=50)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """From where the browser left off: a dropped connection misses nothing."""
    feed: Feed = request.app.state.feed
    try:
        cursor = opened(last) if last else await feed.now(person.tenant_id)
    except Invalid:
        cursor = await feed.now(person.tenant_id)
    yield ServerSentEvent(comment="live", retry=1000, id=written(*cursor))
    clock = asyncio.get_running_loop().time
    until = clock() + LASTS
    while clock() < until and not feed.closing:
        rows = await feed.next(person.tenant_id, cursor, None, 100, BREATH)
        if not rows:
            yield ServerSentEvent(comment="breath")
            continue
        cursor = (rows[-1]["transaction"], rows[-1]["event_id"])
        told = {"interactionIds": sorted({r["interaction_id"] for r in rows if r["interaction_id"]})}
        yield ServerSentEvent(data=told, id=written(*cursor))

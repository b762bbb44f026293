"""The event feed for backends: everything that happened in the tenant, in one list."""

from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request

from app.domain.event_bodies import RecordedEvent, build_body
from app.domain.events import EVENT_TYPES, INCLUDES, SHORT_TYPES, WITHOUT_SHORT_TYPE, Include, parse_event_id
from app.domain.problems import Invalid
from app.store import event_words
from app.store.event_words import AskedEvent, Words
from app.store.events import FIRST_CURSOR
from app.web.dependencies import AppResources, ReadCaller
from app.web.envelope import Answer, Out
from app.web.feed import EventFilter
from app.web.filters import Values, split_values
from app.web.state import get_state

router = APIRouter(prefix="/api/v1", tags=["Events"])
MAX_POLL_SECONDS = 25
ALL_TYPES = "all"


class EventShape(Out):
    event_id: str
    """Pass it as `after` to read the events after this one. It never changes."""
    type: str
    at: datetime
    tenant_id: str
    interaction_id: str | None
    actor: str | None
    """The id of the key or person who did it, or a word for what did; null: the service, or nobody knows."""
    data: dict[str, Any]
    """Ids, and what is so now; see the webhooks for the fields of each type."""
    before: dict[str, Any] | None
    """The former values of what changed."""


class EventPage(Out):
    events: list[EventShape]
    next_cursor: str | None
    """Pass it as `after` next time. Null only if the tenant has no events yet."""
    has_more: bool


@router.get("/events", summary="Events in order; waits for the next one if there is none")
async def list_events(
    request: Request,
    caller: ReadCaller,
    resources: AppResources,
    after: Annotated[str | None, Query(max_length=50, description="`nextCursor` of the answer before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    types: Values = None,
    include: Values = None,
    wait: Annotated[int, Query(ge=0, le=MAX_POLL_SECONDS, description="Seconds.")] = MAX_POLL_SECONDS,
) -> Answer[EventPage]:
    """Without `after`, the list begins with the oldest stored event; events are stored for 30 days unless
    the operator says otherwise.

    `types` may be repeated or comma-separated. With the types of the webhooks (`message.sent`, …) or `all`,
    the events are those that webhook endpoints get, body for body. Without `types`, or with `message`,
    `receipt`, `turn`, `status` or `consent`, each event has one of these short types, and some events are
    left out. `include` adds to the ids the `text` or the `phones`, as for an endpoint."""
    wanted_types, wanted_words = split_values(types), _parse_includes(split_values(include))
    event_filter = _parse_types(wanted_types)
    feed = get_state(request.app).feed
    cursor = FIRST_CURSOR if after is None else await feed.find_place(caller.tenant_id, require_event_id(after))
    found_events = await feed.wait_for_events(caller.tenant_id, cursor, event_filter, limit + 1, wait)
    page_events = found_events[:limit]
    found_words: list[Words] = []
    if page_events:
        asked_events = [AskedEvent(caller.tenant_id, event, wanted_words) for event in page_events]
        async with resources.database.read_tx(caller.tenant_id) as read:
            found_words = await event_words.get_words(read, asked_events)
    is_short = event_filter.names is None
    shown_events = [
        _build_shape(caller.tenant_id, event, words, is_short, "phones" in wanted_words)
        for event, words in zip(page_events, found_words, strict=True)
    ]
    next_cursor = shown_events[-1].event_id if shown_events else after
    return Answer(data=EventPage(events=shown_events, next_cursor=next_cursor, has_more=len(found_events) > limit))


def _build_shape(tenant_id: str, event: RecordedEvent, words: Words, is_short: bool, has_phones: bool) -> EventShape:
    # The first form always had the phone of a `consent` event.
    body = build_body(tenant_id, event, words, has_phones or is_short)
    return EventShape.model_validate(body | {"type": event.type} if is_short else body)


def require_event_id(cursor: str) -> str:
    """Raises `Invalid` for a cursor that no feed made."""
    if parse_event_id(cursor) is None:
        raise Invalid(details=["after: is not a cursor of this feed"])
    return cursor


def _parse_types(types: list[str] | None) -> EventFilter:
    """Raises `Invalid` for an unknown type, and for short and full types together."""
    if types == [ALL_TYPES]:
        return EventFilter(names=EVENT_TYPES)
    if types is None or all(event_type in SHORT_TYPES for event_type in types):
        return EventFilter(short_types=types or SHORT_TYPES, except_names=WITHOUT_SHORT_TYPE)
    if all(event_type in EVENT_TYPES for event_type in types):
        return EventFilter(names=types)
    raise Invalid(
        details=[
            f"types: must be {ALL_TYPES}, or some of {', '.join(EVENT_TYPES)}, or some of {', '.join(SHORT_TYPES)}"
        ]
    )


def _parse_includes(includes: list[str] | None) -> set[Include]:
    for name in includes or ():
        if name not in INCLUDES:
            raise Invalid(details=[f"include: must be one of {', '.join(INCLUDES)}"])
    return cast(set[Include], set(includes or ()))

"""The event feed for backends: everything that happened in the tenant, in one list."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query, Request

from app.domain.problems import Invalid
from app.store.events import FIRST_CURSOR, EventCursor
from app.web.dependencies import ReadCaller
from app.web.envelope import Answer, Out
from app.web.filters import Values, split_values
from app.web.state import get_state

router = APIRouter(prefix="/api/v1", tags=["Events"])
Type = Literal["message", "receipt", "turn", "status", "consent"]
TYPES: tuple[Type, ...] = get_args(Type)
MAX_POLL_SECONDS = 25


class EventShape(Out):
    event_id: str
    """Pass it as `after` to read the events after this one."""
    type: Type
    interaction_id: str | None
    data: dict[str, Any]
    at: datetime


class EventPage(Out):
    events: list[EventShape]
    next_cursor: str | None
    """Pass it as `after` next time. Null only if the tenant has no events yet."""
    has_more: bool


@router.get("/events", summary="Events in order; waits for the next one if there is none")
async def list_events(
    request: Request,
    caller: ReadCaller,
    after: Annotated[str | None, Query(max_length=50, description="`nextCursor` of the answer before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    types: Values = None,
    wait: Annotated[int, Query(ge=0, le=MAX_POLL_SECONDS, description="Seconds.")] = MAX_POLL_SECONDS,
) -> Answer[EventPage]:
    """Without `after`, the list begins with the oldest stored event; events are stored for 7 days.
    `types` may be repeated or comma-separated."""
    feed = get_state(request.app).feed
    wanted_types = _check_types(split_values(types))
    found_events = await feed.wait_for_events(caller.tenant_id, parse_cursor(after), wanted_types, limit + 1, wait)
    events = [
        EventShape(
            event_id=format_event_id(*event.cursor),
            type=event.type,
            interaction_id=event.interaction_id,
            data=event.data,
            at=event.at,
        )
        for event in found_events[:limit]
    ]
    cursor = events[-1].event_id if events else after
    return Answer(data=EventPage(events=events, next_cursor=cursor, has_more=len(found_events) > limit))


def format_event_id(transaction: int, event_id: int) -> str:
    return f"{transaction}-{event_id}"


def parse_cursor(cursor: str | None) -> EventCursor:
    """Raises `Invalid` for a cursor that this feed did not make."""
    if cursor is None:
        return FIRST_CURSOR
    first, _, second = cursor.partition("-")
    if not (first.isdecimal() and second.isdecimal() and first.isascii() and second.isascii()):
        raise Invalid(details=["after: is not a cursor of this feed"])
    numbers = int(first), int(second)
    if max(numbers) >= 2**63:
        raise Invalid(details=["after: is not a cursor of this feed"])
    return numbers


def _check_types(types: list[str] | None) -> list[str] | None:
    for event_type in types or ():
        if event_type not in TYPES:
            raise Invalid(details=[f"types: must be one of {', '.join(TYPES)}"])
    return types

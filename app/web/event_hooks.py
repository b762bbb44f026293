"""The OpenAPI description of the events that are posted to webhook endpoints (docs/hearing.md). The feed
has the same bodies."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header
from pydantic import create_model
from pydantic.alias_generators import to_camel

from app.domain.event_bodies import shapes_of
from app.domain.events import ABOUT_BY_TYPE
from app.web.events import EventShape

webhooks = APIRouter()


def _build_model(event_type: str) -> type[EventShape]:
    data, before = shapes_of(event_type)
    name = "".join(word.title() for word in event_type.replace(".", "_").split("_"))
    fields: dict[str, Any] = {"type": (Literal[event_type], ...), "data": (data, ...), "before": (before, ...)}
    return create_model(
        f"{name}Event",
        __base__=EventShape,
        __module__=__name__,
        **fields,
    )


def _describe(event_type: str, about: str) -> None:
    model: Any = _build_model(event_type)

    async def post_event(
        body: model,
        webhook_id: Annotated[str, Header(description="The event's id: the same whenever the event is sent.")],
        webhook_timestamp: Annotated[str, Header(description="The time of this attempt, in Unix seconds.")],
        webhook_signature: Annotated[
            str,
            Header(
                description="`v1,` and base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`. For a day after a new"
                " secret was made there are two, with a space between."
            ),
        ],
    ) -> None:
        raise NotImplementedError("only a description; the tenant's backend serves this")

    webhooks.add_api_route(
        event_type,
        post_event,
        methods=["POST"],
        summary=about.removesuffix("."),
        description="Any 2xx takes the event. Anything else, a redirect, or an answer that takes longer than 15 s"
        " is a failure: the event is sent again after 5 s, 30 s, 2 min, 10 min, 30 min and then hourly. After 24"
        " hours, or at once after 410, the endpoint is paused.",
        tags=["Events"],
        operation_id=to_camel(f"hear_{event_type.replace('.', '_')}"),
        response_description="Taken.",
        responses={"default": {"description": "Not taken: the event is sent again later."}},
    )


for event_type, about in ABOUT_BY_TYPE.items():
    _describe(event_type, about)

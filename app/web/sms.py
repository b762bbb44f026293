"""Send a text, look at one. The first room of the way out."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, field_validator

from app.commands import outgoing
from app.domain import ids
from app.domain.orders import VALIDITY, Order, readable
from app.domain.problems import Invalid, NotFound
from app.store import messages
from app.web.doors import Held, ReadCaller, ReplyCaller, TenantRead
from app.web.envelope import Answer, Body, Out

router = APIRouter(prefix="/api/v1", tags=["Texts"])

Id = Annotated[str, Field(min_length=1, max_length=64)]
Phone = Annotated[str, Field(min_length=1, max_length=40)]


class SendBody(Body):
    """Only `leadId` and `message` are required; the rest is found."""

    lead_id: Id
    message: str
    to: Phone | None = None
    from_: Annotated[Phone | None, Field(alias="from")] = None
    campaign_id: Id | None = None
    interaction_id: Id | None = None
    source: Literal["api", "sms_agent"] | None = None
    turn_id: Id | None = None
    agent_mode: bool | None = None
    media_urls: Annotated[list[str], Field(max_length=10)] = Field(default=[])

    @field_validator("message")
    @classmethod
    def _readable(cls, text: str) -> str:
        try:
            return readable(text)
        except Invalid as problem:
            raise ValueError(problem.details[0].removeprefix("message: ")) from None


class Rung(Out):
    field: str
    rule: str
    value: str | None


class Queued(Out):
    message_id: str
    interaction_id: str
    status: str
    to: str
    from_: Annotated[str, Field(alias="from")]
    campaign_id: str | None
    provider: str
    encoding: str
    segments: int
    resolution: list[Rung]


@router.post("/sms/send", status_code=202, summary="Send a text to a lead")
async def send(body: SendBody, caller: ReplyCaller, held: Held) -> Answer[Queued]:
    """The text is safely owed to the carrier when this answers 202."""
    order = Order(
        tenant_id=caller.tenant_id,
        message_id=ids.make("msg"),
        thread_id=ids.make("int"),
        lead_id=body.lead_id,
        text=body.message,
        source="sms_agent" if body.source == "sms_agent" else caller.source,
        actor=caller.actor,
        to=body.to,
        sender=body.from_,
        campaign_id=body.campaign_id,
        interaction_id=body.interaction_id,
        agent_mode=body.agent_mode,
        turn_id=body.turn_id,
        media=tuple(body.media_urls),
        validity=VALIDITY,
    )
    # Opened here and not in a dependency: what a refusal records must be committed.
    async with held.database.system() as tx:
        [result] = await outgoing.texts(tx, caller, [order])
    return Answer(data=Queued.model_validate(outgoing.accepted(result)))


class Step(Out):
    status: str
    at: datetime


class Try(Out):
    at: datetime
    outcome: str
    http_status: int | None
    duration_ms: int | None
    detail: str | None


class MessageShape(Out):
    message_id: str
    interaction_id: str
    lead_id: str
    seq: int | None
    role: str
    source: str
    message: str
    media: list[dict[str, Any]]
    status: str
    to: str | None
    from_: Annotated[str | None, Field(alias="from")]
    provider: str | None
    provider_message_id: str | None
    encoding: str | None
    segments: int | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    send_at: datetime | None
    held_until: datetime | None
    history: list[Step]
    attempts: list[Try]


@router.get("/messages/{message_id}", summary="One text, its steps and attempts")
async def message(message_id: str, caller: ReadCaller, read: TenantRead) -> Answer[MessageShape]:
    row = await messages.get(read, caller.tenant_id, message_id)
    if row is None:
        raise NotFound
    attempts = await messages.attempts(read, caller.tenant_id, message_id)
    told = {
        **dict(row),
        "message": row["text"],
        "to": row["to_phone"],
        "from": row["from_phone"],
        "history": sorted(row["status_history"], key=lambda step: step["at"]),
        "attempts": [dict(attempt) for attempt in attempts],
    }
    return Answer(data=MessageShape.model_validate(told))

"""Send texts, one or a thousand; look at one, cancel it. The first room of the way out."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from starlette.responses import Response

from app import traces
from app.commands import bulk as bulk_commands
from app.commands import outgoing, send
from app.domain import ids
from app.domain.callers import Caller
from app.domain.orders import (
    LANE_BULK,
    LANE_REPLY,
    VALIDITY,
    VALIDITY_BULK,
    Order,
    Refused,
    Sent,
)
from app.domain.problems import Invalid, NotFound, Problem
from app.store import idempotency as kept
from app.store import messages
from app.store.engine import Read
from app.web.doors import (
    ApiCaller,
    Held,
    ReadCaller,
    ReplyCaller,
    TenantRead,
    TenantTx,
)
from app.web.envelope import Answer, Body, Error, Moment, Out, Outgoing
from app.web.idempotency import Key, begin, identified
from app.web.problems import details_of

router = APIRouter(prefix="/api/v1", tags=["Texts"])

Id = Annotated[str, Field(min_length=1, max_length=64)]
Phone = Annotated[str, Field(min_length=1, max_length=40)]
ROUTE = "POST /api/v1/sms/send"
MOST = 1000
"""Texts of one bulk send."""
IN_ONE_GO = 100
"""So many of them are read before others have the event loop again."""


class SendBody(Body):
    """Only `leadId` and `message` are required; the rest is found."""

    lead_id: Id
    message: Outgoing
    to: Phone | None = None
    from_: Annotated[Phone | None, Field(alias="from")] = None
    campaign_id: Id | None = None
    interaction_id: Id | None = None
    source: Literal["api", "sms_agent"] | None = None
    turn_id: Id | None = None
    agent_mode: bool | None = None
    send_at: Moment | None = None
    cancel_on_reply: bool = False
    validity_seconds: Annotated[int, Field(ge=60, le=36_000)] | None = None
    media_urls: Annotated[list[str], Field(max_length=10)] = Field(default=[])
    dry_run: bool = False

    @field_validator("media_urls")
    @classmethod
    def _dialable(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if not url.startswith(("https://", "http://")) or len(url) > 2048:
                raise ValueError("must be http or https addresses of at most 2048 characters")
        return urls

    @field_validator("cancel_on_reply")
    @classmethod
    def _scheduled(cls, given: bool, info: ValidationInfo) -> bool:
        if given and info.data.get("send_at") is None:
            raise ValueError("needs sendAt")
        return given


class BulkEntry(SendBody):
    """As a single send, and owed for longer."""

    validity_seconds: Annotated[int, Field(ge=60, le=86_400)] | None = None

    @field_validator("dry_run", "turn_id", "source")
    @classmethod
    def _plain(cls, given: object, info: ValidationInfo) -> object:
        if given and (info.field_name, given) != ("source", "api"):
            raise ValueError("is not for bulk sends")
        return given


class Rung(Out):
    field: str
    rule: str
    value: str | None


class Found(Out):
    """What was found for a text: what a dry run answers."""

    to: str
    from_: Annotated[str, Field(alias="from")]
    campaign_id: str | None
    provider: str
    encoding: str
    segments: int
    held_until: datetime | None = None
    resolution: list[Rung]


class Queued(Found):
    message_id: str
    interaction_id: str
    status: str


class Caught(Out):
    """The answer to a reply of a replay, shadow or test: kept, never sent."""

    status: Literal["caught"]
    turn_id: str


class DryRun(Found):
    status: str
    culprit: str | None
    """The first character that forces UCS-2."""
    earliest_at: datetime
    """When it would leave at the earliest."""


def ordered(caller: Caller, body: SendBody, bulk_id: str | None = None) -> Order:
    """The order that a body makes, by itself or as one of many."""
    seconds = body.validity_seconds
    default = VALIDITY_BULK if bulk_id else VALIDITY
    return Order(
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
        validity=default if seconds is None else timedelta(seconds=seconds),
        lane=LANE_BULK if bulk_id else LANE_REPLY,
        bulk_id=bulk_id,
        send_at=body.send_at,
        cancel_on_reply=body.cancel_on_reply,
    )


@router.post(
    "/sms/send",
    status_code=202,
    summary="Send a text to a lead",
    responses={200: {"model": Answer[DryRun], "description": "Dry run: nothing is stored."}},
)
async def send_one(
    request: Request, body: SendBody, caller: ReplyCaller, held: Held, key: Key = None
) -> Answer[Queued | Caught]:
    """The text is safely owed to the carrier when this answers 202."""
    order = ordered(caller, body)
    if body.dry_run:
        return await _dry_run(caller, order, held)  # type: ignore[return-value]
    keyed = await identified(request, ROUTE, key)
    if order.source == "api" and order.turn_id is None:
        sent = await request.app.state.sends.put(replace(order, keyed=keyed))
        return Answer(data=Queued.model_validate(outgoing.accepted(sent)))
    # Opened here and not in a dependency: what a refusal records must be committed.
    async with held.database.system() as tx:
        if keyed:
            await begin(tx, caller.tenant_id, keyed)
        [result] = await outgoing.texts(tx, caller, [order])
        if isinstance(result, Refused):
            if keyed:
                await kept.forget(tx, caller.tenant_id, keyed)
        else:
            caught = result["status"] == "caught"
            answer = Answer[Queued | Caught](data=(Caught if caught else Queued)(**result))
            if keyed:
                plain = answer.model_dump(mode="json", by_alias=True)
                await kept.finish(tx, caller.tenant_id, keyed, 202, plain)
    if isinstance(result, Refused):
        raise result.problem
    if order.turn_id:
        traces.point("reply", order.turn_id, message=str(result.get("messageId")))
    return answer


async def _dry_run(caller: Caller, order: Order, held: Held) -> Response:
    """The same judgement as a real send, of which nothing is kept. An agent's reply is judged
    as a plain text of its lead: turns stand and fall with a real answer only."""
    async with held.database.system() as tx:
        [result] = await send.resolve(tx, [order])
    if isinstance(result, Refused):
        raise result.problem
    told = DryRun.model_validate(send.forecast(result))
    return JSONResponse({"success": True, "data": told.model_dump(mode="json", by_alias=True)}, 200)


class BulkBody(Body):
    """Entries are judged one by one: a refused one never spoils another."""

    messages: Annotated[list[Any], Field(min_length=1, max_length=MOST)]


class BulkResult(Out):
    """Either the two ids or an error."""

    index: int
    message_id: str | None = None
    interaction_id: str | None = None
    error: Error | None = None


class BulkAccepted(Out):
    bulk_id: str
    accepted: int
    refused: int
    results: list[BulkResult]


BULK_SCHEMA = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["messages"],
                    "additionalProperties": False,
                    "properties": {
                        "messages": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MOST,
                            "items": BulkEntry.model_json_schema(),
                        }
                    },
                }
            }
        }
    }
}


@router.post(
    "/sms/send/bulk",
    status_code=202,
    summary="Send up to 1,000 texts",
    openapi_extra=BULK_SCHEMA,
    response_model_exclude_none=True,
)
async def send_bulk(
    request: Request, body: BulkBody, caller: ApiCaller, held: Held, key: Key = None
) -> Answer[BulkAccepted]:
    """Refusals stand beside acceptances, in the order given. Replies overtake bulk sends."""
    bulk_id = ids.make("bulk")
    keyed = await identified(request, f"{ROUTE}/bulk", key)
    request.app.state.rates.charge(caller, len(body.messages) - 1)  # one is the request itself
    entries = await _entries(caller, bulk_id, body.messages)
    async with held.database.system() as tx:
        if keyed:
            await begin(tx, caller.tenant_id, keyed)
        results = await bulk_commands.texts(tx, caller, bulk_id, entries)
        answer = Answer[BulkAccepted](data=_bulk_answer(bulk_id, results))
        if keyed:
            plain = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
            await kept.finish(tx, caller.tenant_id, keyed, 202, plain)
    return answer


async def _entries(caller: Caller, bulk_id: str, given: Sequence[Any]) -> list[Order | Refused]:
    entries: list[Order | Refused] = []
    for i, entry in enumerate(given):
        if i % IN_ONE_GO == 0:
            await asyncio.sleep(0)
        if not isinstance(entry, dict):
            entries.append(Refused(Invalid(details=[f"messages[{i}]: must be an object"])))
            continue
        try:
            entries.append(ordered(caller, BulkEntry.model_validate(entry), bulk_id))
        except ValidationError as error:
            named = [f"messages[{i}].{detail}" for detail in details_of(list(error.errors()))]
            entries.append(Refused(Invalid(details=named)))
    return entries


def _bulk_answer(bulk_id: str, results: Sequence[Sent | Refused]) -> BulkAccepted:
    told = [
        BulkResult(index=i, error=_error(result.problem, i))
        if isinstance(result, Refused)
        else BulkResult(index=i, message_id=result.message_id, interaction_id=result.interaction_id)
        for i, result in enumerate(results)
    ]
    refused = sum(result.error is not None for result in told)
    return BulkAccepted(bulk_id=bulk_id, accepted=len(told) - refused, refused=refused, results=told)


def _error(problem: Problem, i: int) -> Error:
    details = [d if d.startswith("messages[") else f"messages[{i}].{d}" for d in problem.details]
    return Error(code=problem.code, message=problem.message, details=details)


class BulkShape(Out):
    bulk_id: str
    accepted: int
    refused: int
    created_at: datetime
    statuses: dict[str, int]
    """How many texts stand in each status."""


@router.get("/sms/bulk/{bulk_id}", summary="How far a bulk send is")
async def bulk(bulk_id: str, caller: ReadCaller, read: TenantRead) -> Answer[BulkShape]:
    row = await messages.bulk(read, caller.tenant_id, bulk_id)
    if row is None:
        raise NotFound
    return Answer(data=BulkShape.model_validate(dict(row)))


class BulkCancelled(Out):
    bulk_id: str
    cancelled: int


@router.post("/sms/bulk/{bulk_id}/cancel", summary="Cancel what of a bulk send is unsent")
async def cancel_bulk(bulk_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[BulkCancelled]:
    cancelled = await bulk_commands.cancel(tx, caller, bulk_id)
    return Answer(data=BulkCancelled(bulk_id=bulk_id, cancelled=cancelled))


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
    held_reason: str | None
    history: list[Step]
    attempts: list[Try]


@router.get("/messages/{message_id}", summary="One text, its steps and attempts")
async def message(message_id: str, caller: ReadCaller, read: TenantRead) -> Answer[MessageShape]:
    return Answer(data=await _told(read, caller, message_id))


@router.post("/messages/{message_id}/cancel", summary="Cancel a text that is not sent yet")
async def cancel(message_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[MessageShape]:
    """While it is `scheduled` or `queued`."""
    await bulk_commands.cancel_one(tx, caller, message_id)
    return Answer(data=await _told(tx, caller, message_id))


async def _told(read: Read, caller: Caller, message_id: str) -> MessageShape:
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
    return MessageShape.model_validate(told)

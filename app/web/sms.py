"""Sending one text or many; looking at a text and cancelling it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from app import traces
from app.commands import answered_turns, outgoing, resolve
from app.commands import bulk as bulk_commands
from app.domain import ids
from app.domain.callers import Caller
from app.domain.idempotency import IdempotencyKey
from app.domain.orders import (
    BULK_VALIDITY,
    LANE_BULK,
    LANE_REPLY,
    REPLY_VALIDITY,
    AcceptedText,
    Order,
    RefusedOrder,
    ResolvedOrder,
)
from app.domain.problems import Invalid, NotFound, Problem, RuleBroken
from app.resources import Resources
from app.store import messages
from app.web.dependencies import (
    ApiCaller,
    AppResources,
    ReadCaller,
    ReplyCaller,
    TenantRead,
    TenantTx,
)
from app.web.envelope import Answer, Error, Verdict
from app.web.hot_routes import HotRoute
from app.web.idempotency import Key, build_key, claim_key
from app.web.problems import list_error_details
from app.web.sms_shapes import (
    BULK_SCHEMA,
    BulkAccepted,
    BulkBody,
    BulkCancelled,
    BulkEntry,
    BulkForecast,
    BulkResult,
    BulkShape,
    Caught,
    DryRun,
    ForecastEntry,
    Queued,
    SendBody,
)
from app.web.state import get_state

send_router = APIRouter(prefix="/api/v1", tags=["Texts"], route_class=HotRoute)
router = APIRouter(prefix="/api/v1", tags=["Texts"])

ROUTE = "POST /api/v1/sms/send"
ENTRIES_PER_SLICE = 100
"""How many entries of a bulk send are parsed before other requests get the event loop again."""


def build_order(
    caller: Caller, body: SendBody, bulk_id: str | None = None, idempotency_key: IdempotencyKey | None = None
) -> Order:
    """Builds the order of a single send, or of an entry of the bulk send `bulk_id`."""
    seconds = body.validity_seconds
    default = BULK_VALIDITY if bulk_id else REPLY_VALIDITY
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
        media=tuple(body.media_urls or ()),
        validity=default if seconds is None else timedelta(seconds=seconds),
        lane=LANE_BULK if bulk_id else LANE_REPLY,
        bulk_id=bulk_id,
        send_at=body.send_at,
        cancel_on_reply=bool(body.cancel_on_reply),
        purpose=body.purpose,
        idempotency_key=idempotency_key,
    )


@send_router.post(
    "/sms/send",
    status_code=202,
    response_model=Answer[Queued | Caught],
    summary="Send a text to a lead",
    responses={200: {"model": Answer[DryRun], "description": "A dry run: nothing is stored."}},
)
async def send_text(request: Request, body: SendBody, caller: ReplyCaller, key: Key = None) -> Response:
    """202 means that the text is stored and will be sent."""
    state = get_state(request.app)
    order = build_order(caller, body, idempotency_key=await build_key(request, ROUTE, key))
    if body.dry_run:
        return _build_response(Answer(data=await _forecast_send(caller, order, state.resources)), 200)
    if order.source == "api" and order.turn_id is None:
        data = outgoing.unwrap_answer(await state.send_batcher.submit(order))
        traces.record_point("send", str(data.get("messageId")))
        return _build_response(Answer(data=Queued.model_validate(data)))
    return _build_response(await _send_reply(caller, order, state.resources))


def _build_response(answer: Answer[Any], status: int = 202) -> Response:
    return Response(answer.model_dump_json(by_alias=True), status, media_type="application/json")


async def _forecast_send(caller: Caller, order: Order, resources: Resources) -> DryRun:
    """What a real send would answer. An agent's reply is checked like a plain text to its lead,
    because only a real reply may settle a turn; an agent's key asks about the threads of its turns alone."""
    async with resources.database.system_tx() as tx:
        if caller.agent_id:
            order = await answered_turns.place_in_thread(tx, order, caller.agent_id)
        [result] = await bulk_commands.forecast_bulk(tx, [order])
    if isinstance(result, RefusedOrder):
        raise result.problem
    return DryRun.model_validate(resolve.build_forecast(result))


async def _send_reply(caller: Caller, order: Order, resources: Resources) -> Answer[Queued | Caught]:
    async with resources.database.system_tx() as tx:
        idempotency = await claim_key(tx, caller.tenant_id, order.idempotency_key)
        result = await outgoing.dispatch_text(tx, caller, replace(order, idempotency_key=None))
        if isinstance(result, RefusedOrder):
            await idempotency.free_key()  # the refusal may have written rows, and they are committed
        else:
            shape = Caught if result["status"] == "caught" else Queued
            answer = Answer[Queued | Caught](data=shape.model_validate(result))
            await idempotency.store_answer(answer, 202)
    if isinstance(result, RefusedOrder):
        raise result.problem
    if order.turn_id:
        traces.record_point("reply", order.turn_id, message=str(result.get("messageId")))
    return answer


@router.post(
    "/sms/send/bulk",
    status_code=202,
    summary="Send up to 1,000 texts",
    openapi_extra=BULK_SCHEMA,
    response_model=Answer[BulkAccepted],
    response_model_exclude_none=True,
    responses={200: {"model": Answer[BulkForecast], "description": "A dry run: nothing is stored."}},
)
async def send_bulk(
    request: Request, body: BulkBody, caller: ApiCaller, resources: AppResources, key: Key = None
) -> Answer[BulkAccepted] | Response:
    """Results come in the order of the entries. Replies overtake bulk sends. With `dryRun` beside the messages, the
    answer says what each would be told, and counts the rules that hold or refuse them."""
    bulk_id = ids.make("bulk")
    idempotency_key = await build_key(request, f"{ROUTE}/bulk", key)
    get_state(request.app).rates.charge(caller, len(body.messages) - 1)  # one is the request itself
    entries = await _read_entries(caller, bulk_id, body.messages)
    if body.dry_run:
        async with resources.database.system_tx() as tx:
            forecast = await bulk_commands.forecast_bulk(tx, entries)
        return _build_response(Answer(data=_build_bulk_forecast(forecast)), 200)
    async with resources.database.system_tx() as tx:
        idempotency = await claim_key(tx, caller.tenant_id, idempotency_key)
        results = await bulk_commands.accept_bulk(tx, caller, bulk_id, entries)
        answer = Answer[BulkAccepted](data=_build_bulk_answer(bulk_id, results))
        return await idempotency.store_answer(answer, 202, exclude_none=True)


async def _read_entries(caller: Caller, bulk_id: str, raw_entries: Sequence[Any]) -> list[Order | RefusedOrder]:
    entries: list[Order | RefusedOrder] = []
    for i, entry in enumerate(raw_entries):
        if i % ENTRIES_PER_SLICE == 0:
            await asyncio.sleep(0)
        if not isinstance(entry, dict):
            entries.append(RefusedOrder(Invalid(details=[f"messages[{i}]: must be an object"])))
            continue
        try:
            entries.append(build_order(caller, BulkEntry.model_validate(entry), bulk_id))
        except ValidationError as error:
            details = [f"messages[{i}].{detail}" for detail in list_error_details(list(error.errors()))]
            entries.append(RefusedOrder(Invalid(details=details)))
    return entries


def _build_bulk_answer(bulk_id: str, results: Sequence[AcceptedText | RefusedOrder]) -> BulkAccepted:
    entries = [
        BulkResult(index=i, error=_build_error(result.problem, i))
        if isinstance(result, RefusedOrder)
        else BulkResult(index=i, message_id=result.message_id, interaction_id=result.interaction_id)
        for i, result in enumerate(results)
    ]
    refused_count = sum(result.error is not None for result in entries)
    return BulkAccepted(
        bulk_id=bulk_id,
        accepted=len(entries) - refused_count,
        refused=refused_count,
        results=entries,
    )


def _build_bulk_forecast(outcomes: Sequence[ResolvedOrder | RefusedOrder]) -> BulkForecast:
    results = [
        ForecastEntry(index=i, error=_build_error(outcome.problem, i))
        if isinstance(outcome, RefusedOrder)
        else ForecastEntry.model_validate({"index": i, **resolve.build_forecast(outcome)})
        for i, outcome in enumerate(outcomes)
    ]
    reasons: Counter[str] = Counter()
    for result in results:
        verdict = result.error.verdict if result.error else result.verdict
        if verdict:
            reasons.update(reason.rule for reason in verdict.reasons)
        elif result.error:
            reasons[result.error.code] += 1
    refused_count = sum(result.error is not None for result in results)
    return BulkForecast(
        accepted=len(results) - refused_count,
        refused=refused_count,
        held=sum(result.held_until is not None for result in results),
        reasons=dict(reasons.most_common()),
        results=results,
    )


def _build_error(problem: Problem, i: int) -> Error:
    details = [d if d.startswith("messages[") else f"messages[{i}].{d}" for d in problem.details]
    verdict = Verdict.model_validate(problem.verdict) if isinstance(problem, RuleBroken) and problem.verdict else None
    return Error(code=problem.code, message=problem.message, details=details, verdict=verdict)


@router.get("/sms/bulk/{bulk_id}", summary="The progress of a bulk send")
async def get_bulk(bulk_id: str, caller: ReadCaller, read: TenantRead) -> Answer[BulkShape]:
    progress = await messages.get_bulk(read, caller.tenant_id, bulk_id)
    if progress is None:
        raise NotFound
    return Answer(data=BulkShape.model_validate(progress))


@router.post("/sms/bulk/{bulk_id}/cancel", summary="Cancel the unsent texts of a bulk send")
async def cancel_bulk(bulk_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[BulkCancelled]:
    cancelled_count = await bulk_commands.cancel_bulk(tx, caller, bulk_id)
    return Answer(data=BulkCancelled(bulk_id=bulk_id, cancelled=cancelled_count))

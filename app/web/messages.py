"""Texts: lists of them, one with its attempts, cancelling it, and deciding whether it is an opt-out."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, get_args

from fastapi import APIRouter
from pydantic import Field

from app.commands import bulk as bulk_commands
from app.commands import opt_out_decisions
from app.commands.phones import read_phone
from app.domain.callers import Caller
from app.domain.law.gates import explain_hold
from app.domain.problems import NotFound
from app.domain.words import MessageStatus, Purpose, Source
from app.store import messages
from app.store.engine import ReadTx
from app.store.messages import Message, MessageFilter
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.envelope import Answer, Out, RuleReason
from app.web.filters import CommonParams, LeadId, PhoneFilter, Values, require_known, split_values
from app.web.paging import PageParams, page_of
from app.web.sms_shapes import OptOutDecision

router = APIRouter(prefix="/api/v1", tags=["Texts"])
LISTED_STATUSES = tuple(status for status in get_args(MessageStatus) if status != "note")


class Step(Out):
    status: str
    at: datetime


class TextAttempt(Out):
    at: datetime
    outcome: str
    http_status: int | None
    duration_ms: int | None
    detail: str | None


class ListedMessage(Out):
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
    held_rule: str | None
    """The rule that holds the text, or last did."""
    purpose: Purpose | None
    """Null: nobody gave one, and no rule asked for it."""
    possible_opt_out: bool
    opt_out: bool | None
    """What a person decided; null while nobody has."""
    awaits_decision: bool
    """The text goes to no agent before a person has decided whether the lead opted out."""


class MessagePage(Out):
    messages: list[ListedMessage]
    next_cursor: str | None
    has_more: bool


class MessageShape(ListedMessage):
    held_by: RuleReason | None
    """Why the rule holds the text, or last did."""
    history: list[Step]
    attempts: list[TextAttempt]


@router.get("/messages", summary="Texts of all threads, newest first")
async def list_messages(
    caller: ReadCaller,
    read: TenantRead,
    page_query: PageParams,
    common: CommonParams,
    status: Values = None,
    source: Values = None,
    lead_id: LeadId = None,
    number: PhoneFilter = None,
    phone: PhoneFilter = None,
) -> Answer[MessagePage]:
    """Lists may be repeated or comma-separated. `number` is one of yours, `phone` a lead's. Campaign, client
    and offer are the thread's. Dates are half-open and compare `createdAt`. Notes are left out."""
    filters = MessageFilter(
        **common,
        statuses=require_known("status", split_values(status), LISTED_STATUSES),
        sources=require_known("source", split_values(source), get_args(Source)),
        lead_id=lead_id,
        our_number=number and await read_phone(read, caller.tenant_id, number, "number"),
        lead_phone=phone and await read_phone(read, caller.tenant_id, phone),
    )
    texts = await messages.list_page(read, caller.tenant_id, filters, page_query.get_id_below(), page_query.fetch_limit)
    return page_of(
        MessagePage,
        page_query,
        texts,
        key=lambda text: [text.message_id],
        show=lambda text: ListedMessage.model_validate(_list_fields(text)),
    )


@router.get("/messages/{message_id}", summary="One text with its status history and attempts")
async def get_message(message_id: str, caller: ReadCaller, read: TenantRead) -> Answer[MessageShape]:
    return Answer(data=await _get_message(read, caller, message_id))


@router.post("/messages/{message_id}/cancel", summary="Cancel a text that is not sent yet")
async def cancel_message(message_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[MessageShape]:
    """Possible while the text is `scheduled` or `queued`."""
    await bulk_commands.cancel_text(tx, caller, message_id)
    return Answer(data=await _get_message(tx, caller, message_id))


@router.post("/messages/{message_id}/opt-out-decision", summary="Decide whether an unclear text is an opt-out")
async def decide_opt_out(
    message_id: str, body: OptOutDecision, caller: ApiCaller, tx: TenantTx
) -> Answer[MessageShape]:
    """An opt-out is obeyed like STOP. If it is none, the agent gets the text and those that waited with it."""
    await opt_out_decisions.decide(tx, caller, message_id, is_opt_out=body.opt_out)
    return Answer(data=await _get_message(tx, caller, message_id))


async def _get_message(read: ReadTx, caller: Caller, message_id: str) -> MessageShape:
    text = await messages.get(read, caller.tenant_id, message_id)
    if text is None:
        raise NotFound
    fields = {
        **_list_fields(text),
        "held_by": explain_hold(text.held_rule, text.held_reason, text.held_until) if text.held_rule else None,
        "history": sorted(text.status_history, key=lambda step: step["at"]),
        "attempts": await messages.list_attempts(read, caller.tenant_id, message_id),
    }
    return MessageShape.model_validate(fields)


def _list_fields(text: Message) -> dict[str, Any]:
    return {**asdict(text), "message": text.text, "to": text.to_phone, "from": text.from_phone}

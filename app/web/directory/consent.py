"""Consent of a phone: its record, and suppression by hand (`docs/contract.md`, section 7)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from app.commands import consent as commands
from app.commands import dnc, opt_out_decisions
from app.commands.phones import read_phone
from app.domain.words import Cause
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.envelope import Answer, Body, Line, Out
from app.web.idempotency import Idempotent

router = APIRouter(prefix="/api/v1", tags=["Consent"])
Phone = Annotated[str, Field(min_length=1, max_length=250)]
Reason = Annotated[str | None, Query(max_length=500)]


class ConsentEvent(Out):
    event: str
    cause: Cause | None
    rule: str | None
    text: str | None
    message_id: str | None
    actor: str
    at: datetime


class ConsentShape(Out):
    phone: str
    suppressed: bool
    causes: list[Cause]
    events: list[ConsentEvent]


def build_answer(record: commands.Consent) -> Answer[ConsentShape]:
    fields: dict[str, Any] = {
        "phone": record.phone,
        "suppressed": record.is_suppressed,
        "causes": record.causes,
        "events": record.events,
    }
    return Answer(data=ConsentShape.model_validate(fields))


@router.get("/consent/{phone}", summary="Whether a phone may be texted, and its consent record")
async def get_consent(phone: str, caller: ReadCaller, read: TenantRead) -> Answer[ConsentShape]:
    """An unknown phone has no causes and no events."""
    stored_phone = await read_phone(read, caller.tenant_id, phone)
    return build_answer(await commands.get_consent(read, caller.tenant_id, stored_phone))


class Suppress(Body):
    phones: Annotated[list[Phone], Field(min_length=1, max_length=1000)]
    reason: Line | None = None


class Suppressed(Out):
    phones: list[str]
    """In E.164, in the given order, without duplicates."""


@router.post("/suppressions", status_code=201, summary="Suppress phones that opted out elsewhere")
async def suppress_phones(
    body: Suppress, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[Suppressed]:
    """Suppresses all phones, or none if one of them is not a phone number. Also short codes, and
    whatever else has texted you, can be suppressed."""
    phones = await dnc.normalize_phones(tx, caller, body.phones)
    await dnc.suppress(tx, caller, phones, body.reason)
    return await idempotency.store_answer(Answer(data=Suppressed(phones=phones)))


@router.delete("/suppressions/{phone}", summary="Lift a suppression that was set by hand")
async def lift_suppression(phone: str, caller: ApiCaller, tx: TenantTx, reason: Reason = None) -> Answer[ConsentShape]:
    """If the lead opted out, only the lead can opt in again."""
    stored_phone = await read_phone(tx, caller.tenant_id, phone, "phones[0]")
    await dnc.release(tx, caller, [stored_phone], reason)
    return build_answer(await commands.get_consent(tx, caller.tenant_id, stored_phone))


class Undo(Body):
    reason: Annotated[Line, Field(min_length=1, pattern=r"\S")]


@router.post("/suppressions/{phone}/undo", summary="Undo an opt-out that was a mistake")
async def undo_opt_out(phone: str, body: Undo, caller: ApiCaller, tx: TenantTx) -> Answer[ConsentShape]:
    """Only for an opt-out that a sentence was taken for, or that a person decided: never for a word such as
    STOP, or for what a carrier said."""
    stored_phone = await read_phone(tx, caller.tenant_id, phone)
    await opt_out_decisions.undo(tx, caller, stored_phone, body.reason)
    return build_answer(await commands.get_consent(tx, caller.tenant_id, stored_phone))

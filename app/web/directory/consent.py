"""Consent of a phone: its record, and suppression by hand (`docs/contract.md`, section 7)."""

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, ValidationInfo, field_validator

from app.commands import consent as commands
from app.commands import consents, dnc, opt_out_decisions
from app.commands.consents import GivenConsent
from app.commands.phones import read_phone
from app.domain.consent import SCOPES, find_standing, get_basis
from app.domain.words import Cause, ConsentBasis, ConsentScope
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.envelope import Answer, Body, Line, Moment, Out
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
    basis: ConsentBasis | None
    scopes: list[ConsentScope] | None
    source: str | None
    wording_hash: str | None
    proof: str | None
    obtained_at: datetime | None
    at: datetime


class StandingConsent(Out):
    """What the phone consents to at present."""

    scope: ConsentScope
    basis: ConsentBasis
    since: datetime


class ConsentShape(Out):
    phone: str
    suppressed: bool
    causes: list[Cause]
    standing: list[StandingConsent]
    """Present consents, by scope. A suppressed phone is not texted whatever stands here."""
    events: list[ConsentEvent]


def build_answer(record: commands.Consent) -> Answer[ConsentShape]:
    fields: dict[str, Any] = {
        "phone": record.phone,
        "suppressed": record.is_suppressed,
        "causes": record.causes,
        "standing": [
            {"scope": scope, "basis": get_basis(event), "since": event.obtained_at or event.at}
            for scope, event in find_standing(record.events).items()
        ],
        "events": record.events,
    }
    return Answer(data=ConsentShape.model_validate(fields))


@router.get("/consent/{phone}", summary="Whether a phone may be texted, and its consent record")
async def get_consent(phone: str, caller: ReadCaller, read: TenantRead) -> Answer[ConsentShape]:
    """An unknown phone has no causes and no events."""
    stored_phone = await read_phone(read, caller.tenant_id, phone)
    return build_answer(await commands.get_consent(read, caller.tenant_id, stored_phone))


class NewConsent(Body):
    """A consent that somebody gave. Its entry never changes: to correct one, record another."""

    basis: ConsentBasis
    """`none`: there is none, whatever was recorded before."""
    scopes: Annotated[list[ConsentScope], Field(min_length=1, max_length=2)] = Field(default=[*SCOPES])
    source: Line | None = None
    """Where it was given, such as the address of a form."""
    wording: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    """The words that were agreed to. Only their SHA-256 is kept."""
    wording_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """In place of `wording`: its SHA-256, in hex."""
    proof: Line | None = None
    """An address or id under which you keep the proof."""
    obtained_at: Moment | None = None
    """Null: now."""

    @field_validator("wording_hash")
    @classmethod
    def _require_one(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and info.data.get("wording"):
            raise ValueError("is not needed beside wording")
        return value


def build_given_consent(phone: str, body: NewConsent) -> GivenConsent:
    return GivenConsent(
        phone=phone,
        basis=body.basis,
        scopes=body.scopes,
        source=body.source,
        wording_hash=sha256(body.wording.encode()).hexdigest() if body.wording else body.wording_hash,
        proof=body.proof,
        obtained_at=body.obtained_at,
    )


@router.post("/consent/{phone}", status_code=201, summary="Record a consent that the phone's owner gave")
async def record_consent(
    phone: str, body: NewConsent, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[ConsentShape]:
    """An opt-out that came after the consent was given revokes it, whenever it is recorded. A consent lifts no
    suppression."""
    stored_phone = await consents.record(tx, caller, build_given_consent(phone, body))
    answer = build_answer(await commands.get_consent(tx, caller.tenant_id, stored_phone))
    return await idempotency.store_answer(answer)


class Revoke(Body):
    scopes: Annotated[list[ConsentScope], Field(min_length=1, max_length=2)] = Field(default=[*SCOPES])
    reason: Line | None = None


@router.post("/consent/{phone}/revoke", summary="Record that a consent was taken back")
async def revoke_consent(phone: str, body: Revoke, caller: ApiCaller, tx: TenantTx) -> Answer[ConsentShape]:
    """Unsent texts that needed it are cancelled. Who wants no texts at all is suppressed instead."""
    stored_phone = await read_phone(tx, caller.tenant_id, phone)
    await consents.revoke(tx, caller, stored_phone, body.scopes, body.reason)
    return build_answer(await commands.get_consent(tx, caller.tenant_id, stored_phone))


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

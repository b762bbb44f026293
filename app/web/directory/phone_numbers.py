"""Numbers of ours."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, Field

from app.commands import brakes
from app.commands import numbers as commands
from app.commands.directory import found
from app.domain.words import Capability
from app.store import numbers
from app.store.engine import Row
from app.web.directory import Deleted, Pause
from app.web.doors import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.envelope import Answer, AnyId, Body, Line, Out
from app.web.idempotency import Once
from app.web.paging import Paged

router = APIRouter(prefix="/api/v1/phone-numbers", tags=["Phone numbers"])
Capabilities = Annotated[
    list[Capability], Field(max_length=3), AfterValidator(lambda given: list(dict.fromkeys(given)))
]


class NumberChange(Body):
    provider_account_id: AnyId | None = None
    """None: any account of the preferred provider carries its texts."""
    capabilities: Capabilities | None = None
    active: bool | None = None
    label: Line | None = None
    messages_per_second: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Segments a second; null: the provider's default for the number's type."""


class NewNumber(NumberChange):
    phone_number: Annotated[str, Field(min_length=1, max_length=64)]
    """Any readable form; kept as E.164."""


class NumberShape(Out):
    phone_number_id: str
    phone_number: str
    provider_account_id: str | None
    capabilities: list[Capability]
    active: bool
    label: str | None
    messages_per_second: float | None
    paused_at: datetime | None
    paused_reason: str | None
    created_at: datetime
    updated_at: datetime


class Numbers(Out):
    phone_numbers: list[NumberShape]
    next_cursor: str | None
    has_more: bool


def shape(row: Row) -> NumberShape:
    return NumberShape.model_validate({**row, "provider_account_id": row["account_id"]})


def columns(body: NumberChange) -> dict[str, Any]:
    given = body.given()
    if "provider_account_id" in given:
        given["account_id"] = given.pop("provider_account_id")
    return given


@router.post("", status_code=201, summary="Add a number")
async def add(body: NewNumber, caller: ApiCaller, tx: TenantTx, once: Once) -> Answer[NumberShape]:
    row = await commands.add(tx, caller, columns(body))
    return await once.keep(Answer(data=shape(row)))


@router.get("", summary="Numbers, newest first")
async def listed(caller: ReadCaller, read: TenantRead, paged: Paged) -> Answer[Numbers]:
    rows = await numbers.listed(read, caller.tenant_id, paged.below(), paged.fetch)
    shown, cursor = paged.cut(rows, lambda row: [row["phone_number_id"]])
    return Answer(
        data=Numbers(
            phone_numbers=[shape(row) for row in shown],
            next_cursor=cursor,
            has_more=cursor is not None,
        )
    )


@router.get("/{phone_number_id}", summary="One number")
async def get(phone_number_id: str, caller: ReadCaller, read: TenantRead) -> Answer[NumberShape]:
    return Answer(data=shape(found(await numbers.get(read, caller.tenant_id, phone_number_id))))


@router.patch("/{phone_number_id}", summary="Change what is given; null clears")
async def change(phone_number_id: str, body: NumberChange, caller: ApiCaller, tx: TenantTx) -> Answer[NumberShape]:
    return Answer(data=shape(await commands.change(tx, caller, phone_number_id, columns(body))))


@router.post("/{phone_number_id}/pause", summary="Brake: nothing leaves from the number")
async def pause(phone_number_id: str, body: Pause, caller: ApiCaller, tx: TenantTx) -> Answer[NumberShape]:
    row = await brakes.pause(tx, caller, "number", phone_number_id, body.reason)
    return Answer(data=shape(row))


@router.post("/{phone_number_id}/resume", summary="Let what is queued go on")
async def resume(phone_number_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[NumberShape]:
    return Answer(data=shape(await brakes.resume(tx, caller, "number", phone_number_id)))


@router.delete("/{phone_number_id}", summary="Remove a number that nothing refers to")
async def remove(phone_number_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, phone_number_id)
    return Answer(data=Deleted())

"""Phone numbers of the tenant."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, Field

from app.commands import brakes
from app.commands import numbers as commands
from app.commands.directory import require_found
from app.domain.words import Capability
from app.store import numbers
from app.store.engine import Row
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted, Pause
from app.web.envelope import Answer, AnyId, Body, Line, Out
from app.web.idempotency import Idempotent
from app.web.paging import PageParams

router = APIRouter(prefix="/api/v1/phone-numbers", tags=["Phone numbers"])
Capabilities = Annotated[
    list[Capability],
    Field(max_length=3),
    AfterValidator(lambda values: list(dict.fromkeys(values))),
]


class NumberChange(Body):
    provider_account_id: AnyId | None = None
    """Null: its texts go through any account of the preferred provider."""
    capabilities: Capabilities | None = None
    active: bool | None = None
    label: Line | None = None
    messages_per_second: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Segments per second. Null: the provider's default for this type of number."""


class NewNumber(NumberChange):
    phone_number: Annotated[str, Field(min_length=1, max_length=64)]
    """Any common format; stored in E.164."""


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


def build_shape(row: Row) -> NumberShape:
    return NumberShape.model_validate({**row, "provider_account_id": row["account_id"]})


def get_columns(body: NumberChange) -> dict[str, Any]:
    fields = body.get_named_fields()
    if "provider_account_id" in fields:
        fields["account_id"] = fields.pop("provider_account_id")
    return fields


@router.post("", status_code=201, summary="Add a number")
async def add(body: NewNumber, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent) -> Answer[NumberShape]:
    row = await commands.add(tx, caller, get_columns(body))
    return await idempotency.store_answer(Answer(data=build_shape(row)))


@router.get("", summary="Numbers, newest first")
async def listed(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Numbers]:
    rows = await numbers.list_page(read, caller.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    page_rows, cursor = page_query.cut_page(rows, lambda row: [row["phone_number_id"]])
    return Answer(
        data=Numbers(
            phone_numbers=[build_shape(row) for row in page_rows],
            next_cursor=cursor,
            has_more=cursor is not None,
        )
    )


@router.get("/{phone_number_id}", summary="One number")
async def get(phone_number_id: str, caller: ReadCaller, read: TenantRead) -> Answer[NumberShape]:
    return Answer(data=build_shape(require_found(await numbers.get(read, caller.tenant_id, phone_number_id))))


@router.patch("/{phone_number_id}", summary="Change the given fields; null clears a field")
async def change(phone_number_id: str, body: NumberChange, caller: ApiCaller, tx: TenantTx) -> Answer[NumberShape]:
    return Answer(data=build_shape(await commands.change(tx, caller, phone_number_id, get_columns(body))))


@router.post("/{phone_number_id}/pause", summary="Pause: no text leaves from the number")
async def pause(phone_number_id: str, body: Pause, caller: ApiCaller, tx: TenantTx) -> Answer[NumberShape]:
    row = await brakes.pause(tx, caller, "number", phone_number_id, body.reason)
    return Answer(data=build_shape(row))


@router.post("/{phone_number_id}/resume", summary="Resume: queued texts leave again")
async def resume(phone_number_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[NumberShape]:
    return Answer(data=build_shape(await brakes.resume(tx, caller, "number", phone_number_id)))


@router.delete("/{phone_number_id}", summary="Remove a number that is not in use")
async def remove(phone_number_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, phone_number_id)
    return Answer(data=Deleted())

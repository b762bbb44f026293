"""Phone numbers of the tenant."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, Field

from app.commands import brakes
from app.commands import numbers as commands
from app.commands.directory import require_found
from app.domain.words import Capability
from app.providers import REGISTRY
from app.store import directory
from app.store.engine import Tx
from app.store.schema import PhoneNumber
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted, Pause, list_rows
from app.web.envelope import Answer, AnyId, Body, Line, Out
from app.web.idempotency import Idempotent
from app.web.paging import PageParams
from app.web.shapes import show_fields_of
from app.web.versions import VersionedRoute, guarded_by, lock_row_of

router = APIRouter(prefix="/api/v1/phone-numbers", route_class=VersionedRoute, tags=["Phone numbers"])
NAME_PROVIDERS = frozenset(name for name, provider in REGISTRY.items() if provider.TAKES_NAMES)
Capabilities = Annotated[
    list[Capability], Field(max_length=3), AfterValidator(lambda values: list(dict.fromkeys(values)))
]


class NumberChange(Body):
    account_id: Annotated[AnyId | None, Field(alias="providerAccountId")] = None
    """Null: its texts go through any account of the preferred provider."""
    capabilities: Capabilities | None = None
    active: bool | None = None
    label: Line | None = None
    messages_per_second: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Segments per second. Null: the provider's default for this type of number."""


class NewNumber(NumberChange):
    phone_number: Annotated[str, Field(min_length=1, max_length=64)]
    """Any common format; stored in E.164. A short code of 3 to 8 digits is stored as it is, and so is a
    sender's name of up to 11 letters and digits, in an account whose provider sends from names."""


@show_fields_of(NumberChange, PhoneNumber, after="phone_number")
class NumberShape(Out):
    phone_number_id: str
    phone_number: str
    paused_at: datetime | None
    paused_reason: str | None
    created_at: datetime
    updated_at: datetime


class Numbers(Out):
    phone_numbers: list[NumberShape]
    next_cursor: str | None
    has_more: bool


@router.post("", status_code=201, summary="Add a number")
async def add_phone_number(
    body: NewNumber, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[NumberShape]:
    number = await commands.add(tx, caller, body.get_named_fields(), NAME_PROVIDERS)
    return await idempotency.store_answer(Answer(data=NumberShape.of(number)))


@router.get("", summary="Numbers, newest first")
async def list_phone_numbers(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Numbers]:
    return await list_rows(read, caller, page_query, PhoneNumber, Numbers, NumberShape.of)


@router.get("/{phone_number_id}", summary="One number")
async def get_phone_number(phone_number_id: str, caller: ReadCaller, read: TenantRead) -> Answer[NumberShape]:
    number = require_found(await directory.get(read, PhoneNumber, caller.tenant_id, phone_number_id))
    return Answer(data=NumberShape.of(number))


NumberTx = Annotated[Tx, guarded_by(get_phone_number, lock_row_of(PhoneNumber))]


@router.patch("/{phone_number_id}", summary="Change the given fields; null clears a field")
async def change_phone_number(
    phone_number_id: str, body: NumberChange, caller: ApiCaller, tx: NumberTx
) -> Answer[NumberShape]:
    number = await commands.change(tx, caller, phone_number_id, body.get_named_fields(), NAME_PROVIDERS)
    return Answer(data=NumberShape.of(number))


@router.post("/{phone_number_id}/pause", summary="Pause: no text leaves from the number")
async def pause_phone_number(phone_number_id: str, body: Pause, caller: ApiCaller, tx: TenantTx) -> Answer[NumberShape]:
    number = await brakes.pause(tx, caller, PhoneNumber, phone_number_id, body.reason)
    return Answer(data=NumberShape.of(number))


@router.post("/{phone_number_id}/resume", summary="Resume: queued texts leave again")
async def resume_phone_number(phone_number_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[NumberShape]:
    return Answer(data=NumberShape.of(await brakes.resume(tx, caller, PhoneNumber, phone_number_id)))


@router.delete("/{phone_number_id}", summary="Remove a number that is not in use")
async def remove_phone_number(phone_number_id: str, caller: ApiCaller, tx: NumberTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, phone_number_id)
    return Answer(data=Deleted())

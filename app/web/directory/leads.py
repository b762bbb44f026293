"""Leads."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from app.commands import erase
from app.commands import leads as commands
from app.commands.directory import require_found
from app.store import leads
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted
from app.web.envelope import Answer, AnyId, Body, Line, Name, Out, OwnId
from app.web.idempotency import Idempotent
from app.web.paging import PageParams

router = APIRouter(prefix="/api/v1/leads", tags=["Leads"])
Status = Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")]
Zone = Annotated[str, Field(min_length=1, max_length=64)]


class Answered(Body):
    key: Name
    question: Annotated[str, Field(max_length=2000)]
    answer: Annotated[str, Field(max_length=10_000)]


class LeadBody(Body):
    first_name: Line | None = None
    last_name: Line | None = None
    email: Line | None = None
    phone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Any common format; stored in E.164."""
    status: Status | None = None
    is_test: bool | None = None
    campaign_id: AnyId | None = None
    timezone: Zone | None = None
    questionnaire: Annotated[list[Answered], Field(max_length=200)] | None = None


class NewLead(LeadBody):
    lead_id: OwnId | None = None


class AnsweredShape(Out):
    key: str
    question: str
    answer: str


class LeadShape(Out):
    lead_id: str
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    status: str
    is_test: bool
    campaign_id: str | None
    timezone: str | None
    questionnaire: list[AnsweredShape]
    is_dnc: bool
    is_placeholder: bool
    created_at: datetime
    updated_at: datetime


class Leads(Out):
    leads: list[LeadShape]
    next_cursor: str | None
    has_more: bool


def build_answer(lead: leads.Lead) -> Answer[LeadShape]:
    return Answer(data=LeadShape.model_validate(lead))


@router.post("", status_code=201, summary="Add a lead")
async def add(body: NewLead, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent) -> Answer[LeadShape]:
    return await idempotency.store_answer(build_answer(await commands.add(tx, caller, body.get_named_fields())))


@router.get("", summary="Leads, newest ids first")
async def listed(
    caller: ReadCaller,
    read: TenantRead,
    page_query: PageParams,
    search: Annotated[
        str | None, Query(max_length=200, description="Searches name, digits of the phone, e-mail and id.")
    ] = None,
) -> Answer[Leads]:
    rows = await leads.list_page(read, caller.tenant_id, page_query.get_id_below(), page_query.fetch_limit, search)
    page_rows, cursor = page_query.cut_page(rows, lambda lead: [lead["lead_id"]])
    return Answer(
        data=Leads(
            leads=[LeadShape.model_validate(lead) for lead in page_rows],
            next_cursor=cursor,
            has_more=cursor is not None,
        )
    )


@router.get("/{lead_id}", summary="One lead")
async def get(lead_id: str, caller: ReadCaller, read: TenantRead) -> Answer[LeadShape]:
    return build_answer(require_found(await leads.get(read, caller.tenant_id, lead_id)))


@router.put(
    "/{lead_id}",
    summary="Add or replace a lead; 201 when it is new",
    responses={201: {"model": Answer[LeadShape], "description": "The lead is new."}},
)
async def put(lead_id: OwnId, body: LeadBody, caller: ApiCaller, tx: TenantTx, response: Response) -> Answer[LeadShape]:
    lead = await commands.put(tx, caller, lead_id, body.get_named_fields())
    response.status_code = 201 if lead["created"] else 200
    return build_answer(lead)


@router.patch("/{lead_id}", summary="Change the given fields; null clears a field")
async def change(lead_id: str, body: LeadBody, caller: ApiCaller, tx: TenantTx) -> Answer[LeadShape]:
    return build_answer(await commands.change(tx, caller, lead_id, body.get_named_fields()))


class Erased(Out):
    erased: bool = True
    interactions: int
    """The number of erased threads."""


@router.post("/{lead_id}/erase", summary="Erase a lead and all its conversations")
async def erased(lead_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Erased]:
    """Deletes the lead with its threads, texts, turns and attempts for good. Its phone is erased,
    too, unless another lead has the same one. A suppressed phone stays suppressed; only a keyed
    hash of it is stored."""
    return Answer(data=Erased(interactions=await erase.erase_lead(tx, caller, lead_id)))


@router.delete("/{lead_id}", summary="Remove a lead that has no interactions")
async def remove(lead_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, lead_id)
    return Answer(data=Deleted())

"""Leads."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, Field, ValidationError

from app.commands import erase
from app.commands import leads as commands
from app.commands import merge as merges
from app.commands.directory import Fields, require_found
from app.commands.phones import read_phone
from app.domain.callers import Caller
from app.domain.problems import Invalid, Problem
from app.store import directory, lead_lists, leads
from app.store.engine import ReadTx, Tx
from app.store.lead_lists import LeadFilter
from app.store.schema import Lead
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted
from app.web.directory.lead_fields import FieldFilters, GivenFields, ShownValue, Tags, parse_field_filters
from app.web.envelope import Answer, AnyId, Body, Line, Name, Out, OwnId
from app.web.filters import CommonParams, PhoneFilter, Value, Values, split_values
from app.web.idempotency import Idempotent
from app.web.paging import PageParams, page_of
from app.web.problems import list_error_details
from app.web.shapes import show_fields_of
from app.web.versions import VersionedRoute, guarded_by

router = APIRouter(prefix="/api/v1/leads", route_class=VersionedRoute, tags=["Leads"])
Status = Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")]
EMAIL_PATTERN = re.compile(r"[^@\s]+@[^@\s]+")
Place = Annotated[str, Field(max_length=64)]
Zone = Annotated[str, Field(min_length=1, max_length=64)]


def _require_email(value: str) -> str:
    if value and not EMAIL_PATTERN.fullmatch(value):
        raise ValueError("is not an e-mail address")
    return value


Email = Annotated[Line, AfterValidator(_require_email)]
"""May be empty: what other systems send for a lead without one."""


class Answered(Body):
    key: Name
    question: Annotated[str, Field(max_length=2000)]
    answer: Annotated[str, Field(max_length=10_000)]


class LeadBody(Body):
    first_name: Line | None = None
    last_name: Line | None = None
    email: Email | None = None
    phone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Any common format; stored in E.164."""
    status: Status | None = None
    is_test: bool | None = None
    campaign_id: AnyId | None = None
    timezone: Zone | None = None
    state: Place | None = None
    """Where the lead lives, such as `FL` or `Florida`: the rules of the law there count."""
    postal_code: Place | None = None
    questionnaire: Annotated[list[Answered], Field(max_length=200)] | None = None
    tags: Tags | None = None
    custom_fields: GivenFields | None = None


class NewLead(LeadBody):
    lead_id: OwnId | None = None


def parse_row(row: Mapping[str, Any]) -> Fields | Problem:
    """The fields of a row of a file, or what the API would refuse in them."""
    try:
        return NewLead.model_validate(row).get_named_fields()
    except ValidationError as error:
        return Invalid(details=list_error_details(list(error.errors())))


class AnsweredShape(Out):
    key: str
    question: str
    answer: str


@show_fields_of(LeadBody, Lead, after="lead_id", questionnaire=list[AnsweredShape], custom_fields=dict[str, ShownValue])
class LeadShape(Out):
    lead_id: str
    is_dnc: bool
    is_placeholder: bool
    created_at: datetime
    updated_at: datetime


class Leads(Out):
    leads: list[LeadShape]
    next_cursor: str | None
    has_more: bool


async def build_shape(read: ReadTx, lead: Lead) -> LeadShape:
    return LeadShape.of(lead, is_dnc=bool(await leads.find_dnc(read, [lead])))


@router.post("", status_code=201, summary="Add a lead")
async def add_lead(body: NewLead, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent) -> Answer[LeadShape]:
    lead = await commands.add(tx, caller, body.get_named_fields())
    return await idempotency.store_answer(Answer(data=await build_shape(tx, lead)))


@router.get("", summary="Leads, newest ids first")
async def list_leads(
    caller: ReadCaller,
    read: TenantRead,
    page_query: PageParams,
    common: CommonParams,
    status: Values = None,
    phone: PhoneFilter = None,
    tags: Annotated[Values, Query(description="Leads that have all these tags.")] = None,
    custom_field: FieldFilters = None,
    is_dnc: Annotated[
        bool | None,
        Query(alias="isDnc", description="Leads that must not be contacted in some way, or only the others."),
    ] = None,
    search: Annotated[
        Value | None,
        Query(max_length=200, description="Searches name, e-mail and id; digits are also searched in the phone."),
    ] = None,
) -> Answer[Leads]:
    """Lists may be repeated or comma-separated. Dates are half-open and compare when the lead was
    added. `phone` in any form finds the leads that have exactly this phone. Tags and custom fields compare exactly."""
    filters = LeadFilter(
        **common,
        statuses=split_values(status),
        phone=phone and await read_phone(read, caller.tenant_id, phone),
        tags=split_values(tags),
        custom_fields=parse_field_filters(custom_field),
        is_dnc=is_dnc,
        search=search,
    )
    below, limit = page_query.get_id_below(), page_query.fetch_limit
    rows = await lead_lists.list_page(read, caller.tenant_id, filters, below, limit)
    dnc_ids = await leads.find_dnc(read, rows)
    return page_of(
        Leads,
        page_query,
        rows,
        key=lambda lead: [lead.lead_id],
        show=lambda lead: LeadShape.of(lead, is_dnc=lead.lead_id in dnc_ids),
    )


@router.get("/{lead_id}", summary="One lead")
async def get_lead(lead_id: str, caller: ReadCaller, read: TenantRead) -> Answer[LeadShape]:
    lead = require_found(await directory.get(read, Lead, caller.tenant_id, lead_id))
    return Answer(data=await build_shape(read, lead))


async def _lock_lead(tx: Tx, caller: Caller, lead_id: str) -> object:
    return await leads.lock(tx, caller.tenant_id, lead_id)


LeadTx = Annotated[Tx, guarded_by(get_lead, _lock_lead)]


@router.put(
    "/{lead_id}",
    summary="Add or replace a lead; 201 when it is new",
    responses={201: {"model": Answer[LeadShape], "description": "The lead is new."}},
)
async def put_lead(
    lead_id: OwnId, body: LeadBody, caller: ApiCaller, tx: LeadTx, response: Response
) -> Answer[LeadShape]:
    lead, is_new = await commands.add_or_replace(tx, caller, lead_id, body.get_named_fields())
    response.status_code = 201 if is_new else 200
    return Answer(data=await build_shape(tx, lead))


@router.patch("/{lead_id}", summary="Change the given fields; null clears a field")
async def change_lead(lead_id: str, body: LeadBody, caller: ApiCaller, tx: LeadTx) -> Answer[LeadShape]:
    lead = await commands.change(tx, caller, lead_id, body.get_named_fields())
    return Answer(data=await build_shape(tx, lead))


class Merge(Body):
    from_lead_id: Annotated[AnyId, Field(alias="from")]
    """The lead that becomes part of this one."""


@router.post("/{lead_id}/merge", summary="Merge another lead into this one")
async def merge_lead(
    lead_id: str, body: Merge, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[LeadShape]:
    """For two leads that are one person. The other lead's threads, texts, answers, tags and custom fields
    become this lead's; of two values this lead's stays, of two answers the newest, or the one that a
    person gave. Channels that either may not be contacted by stay blocked. The other id is unknown
    afterwards."""
    lead = await merges.merge_leads(tx, caller, lead_id, body.from_lead_id)
    return await idempotency.store_answer(Answer(data=await build_shape(tx, lead)), status=200)


class Erased(Out):
    erased: bool = True
    interactions: int
    """The number of erased threads."""


@router.post("/{lead_id}/erase", summary="Erase a lead and all its conversations")
async def erase_lead(lead_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Erased]:
    """Deletes the lead with its threads, texts, turns and attempts for good. Its phone is erased,
    too, unless another lead has the same one. A suppressed phone stays suppressed; only a keyed
    hash of it is stored."""
    return Answer(data=Erased(interactions=await erase.erase_lead(tx, caller, lead_id)))


@router.delete("/{lead_id}", summary="Remove a lead that has no interactions")
async def remove_lead(lead_id: str, caller: ApiCaller, tx: LeadTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, lead_id)
    return Answer(data=Deleted())

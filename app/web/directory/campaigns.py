"""Campaigns."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from app.commands import campaigns as commands
from app.commands.directory import require_found
from app.store import campaigns
from app.store.engine import Row
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted
from app.web.envelope import Answer, AnyId, Body, Line, Name, Out, OwnId, ProviderName
from app.web.idempotency import Idempotent
from app.web.paging import PageParams

router = APIRouter(prefix="/api/v1/campaigns", tags=["Campaigns"])


class Question(Body):
    key: Name
    question: Annotated[str, Field(max_length=2000)]


class CampaignChange(Body):
    name: Name | None = None
    active: bool | None = None
    client_id: AnyId | None = None
    client_name: Line | None = None
    offer_id: AnyId | None = None
    offer_name: Line | None = None
    phone_number_id: AnyId | None = None
    provider: ProviderName | None = None
    sms_agent_id: AnyId | None = None
    test_sms_agent_id: AnyId | None = None
    questionnaire: Annotated[list[Question], Field(max_length=200)] | None = None


class CampaignBody(CampaignChange):
    name: Name


class NewCampaign(CampaignBody):
    campaign_id: OwnId | None = None


class QuestionShape(Out):
    key: str
    question: str


class CampaignShape(Out):
    campaign_id: str
    name: str
    active: bool
    client_id: str | None
    client_name: str | None
    offer_id: str | None
    offer_name: str | None
    phone_number_id: str | None
    provider: ProviderName | None
    sms_agent_id: str | None
    test_sms_agent_id: str | None
    questionnaire: list[QuestionShape]
    created_at: datetime
    updated_at: datetime


class Campaigns(Out):
    campaigns: list[CampaignShape]
    next_cursor: str | None
    has_more: bool


def build_answer(row: Row) -> Answer[CampaignShape]:
    return Answer(data=CampaignShape.model_validate(dict(row)))


@router.post("", status_code=201, summary="Add a campaign")
async def add(body: NewCampaign, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent) -> Answer[CampaignShape]:
    return await idempotency.store_answer(build_answer(await commands.add(tx, caller, body.get_named_fields())))


@router.get("", summary="Campaigns, newest ids first")
async def listed(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Campaigns]:
    rows = await campaigns.list_page(read, caller.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    page_rows, cursor = page_query.cut_page(rows, lambda row: [row["campaign_id"]])
    return Answer(
        data=Campaigns(
            campaigns=[CampaignShape.model_validate(dict(row)) for row in page_rows],
            next_cursor=cursor,
            has_more=cursor is not None,
        )
    )


@router.get("/{campaign_id}", summary="One campaign")
async def get(campaign_id: str, caller: ReadCaller, read: TenantRead) -> Answer[CampaignShape]:
    return build_answer(require_found(await campaigns.get(read, caller.tenant_id, campaign_id)))


@router.put(
    "/{campaign_id}",
    summary="Add or replace a campaign; 201 when it is new",
    responses={201: {"model": Answer[CampaignShape], "description": "The campaign is new."}},
)
async def put(
    campaign_id: OwnId, body: CampaignBody, caller: ApiCaller, tx: TenantTx, response: Response
) -> Answer[CampaignShape]:
    row = await commands.put(tx, caller, campaign_id, body.get_named_fields())
    response.status_code = 201 if row["created"] else 200
    return build_answer(row)


@router.patch("/{campaign_id}", summary="Change the given fields; null clears a field")
async def change(campaign_id: str, body: CampaignChange, caller: ApiCaller, tx: TenantTx) -> Answer[CampaignShape]:
    return build_answer(await commands.change(tx, caller, campaign_id, body.get_named_fields()))


@router.delete("/{campaign_id}", summary="Remove a campaign that is not in use")
async def remove(campaign_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, campaign_id)
    return Answer(data=Deleted())

"""Campaigns."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from app.commands import campaigns as commands
from app.commands.directory import found
from app.store import campaigns
from app.store.engine import Row
from app.web.directory import Deleted
from app.web.doors import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.envelope import Answer, AnyId, Body, Line, Name, Out, OwnId, ProviderName
from app.web.idempotency import Once
from app.web.paging import Paged

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


def shape(row: Row) -> Answer[CampaignShape]:
    return Answer(data=CampaignShape.model_validate(dict(row)))


@router.post("", status_code=201, summary="Add a campaign")
async def add(body: NewCampaign, caller: ApiCaller, tx: TenantTx, once: Once) -> Answer[CampaignShape]:
    return await once.keep(shape(await commands.add(tx, caller, body.given())))


@router.get("", summary="Campaigns, newest ids first")
async def listed(caller: ReadCaller, read: TenantRead, paged: Paged) -> Answer[Campaigns]:
    rows = await campaigns.listed(read, caller.tenant_id, paged.below(), paged.fetch)
    shown, cursor = paged.cut(rows, lambda row: [row["campaign_id"]])
    return Answer(
        data=Campaigns(
            campaigns=[CampaignShape.model_validate(dict(row)) for row in shown],
            next_cursor=cursor,
            has_more=cursor is not None,
        )
    )


@router.get("/{campaign_id}", summary="One campaign")
async def get(campaign_id: str, caller: ReadCaller, read: TenantRead) -> Answer[CampaignShape]:
    return shape(found(await campaigns.get(read, caller.tenant_id, campaign_id)))


@router.put(
    "/{campaign_id}",
    summary="Add or replace a campaign; 201 when it is new",
    responses={201: {"model": Answer[CampaignShape], "description": "It is new."}},
)
async def put(
    campaign_id: OwnId, body: CampaignBody, caller: ApiCaller, tx: TenantTx, response: Response
) -> Answer[CampaignShape]:
    row = await commands.put(tx, caller, campaign_id, body.given())
    response.status_code = 201 if row["created"] else 200
    return shape(row)


@router.patch("/{campaign_id}", summary="Change what is given; null clears")
async def change(campaign_id: str, body: CampaignChange, caller: ApiCaller, tx: TenantTx) -> Answer[CampaignShape]:
    return shape(await commands.change(tx, caller, campaign_id, body.given()))


@router.delete("/{campaign_id}", summary="Remove a campaign that nothing refers to")
async def remove(campaign_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, campaign_id)
    return Answer(data=Deleted())

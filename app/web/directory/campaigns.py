"""Campaigns."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field

from app.commands import campaigns as commands
from app.commands.directory import require_found
from app.domain.words import DemandedBasis, Purpose
from app.store import directory
from app.store.engine import Tx
from app.store.schema import Campaign
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted, list_rows
from app.web.envelope import Answer, AnyId, Body, Line, Name, Out, OwnId, ProviderName
from app.web.idempotency import Idempotent
from app.web.paging import PageParams
from app.web.shapes import show_fields_of
from app.web.versions import VersionedRoute, guarded_by, lock_row_of

router = APIRouter(prefix="/api/v1/campaigns", route_class=VersionedRoute, tags=["Campaigns"])


class Question(Body):
    key: Name
    question: Annotated[str, Field(max_length=2000)]


class ConsentDemands(Body):
    marketing: DemandedBasis | None = None
    conversational: DemandedBasis | None = None
    transactional: DemandedBasis | None = None


def _drop_empty(demands: ConsentDemands | None) -> ConsentDemands | None:
    return demands if demands and any(demands.model_dump().values()) else None


class CampaignChange(Body):
    name: Name | None = None
    active: bool | None = None
    client_id: AnyId | None = None
    client_name: Line | None = None
    offer_id: AnyId | None = None
    offer_name: Line | None = None
    phone_number_id: AnyId | None = None
    provider: ProviderName | None = None
    purpose: Purpose | None = None
    """What its texts are for, if they answer nobody and say nothing else."""
    require_consent: Annotated[ConsentDemands | None, AfterValidator(_drop_empty)] = None
    """By purpose, the basis that a phone's consent must at least have. Null: none is asked for."""
    sms_agent_id: AnyId | None = None
    test_sms_agent_id: AnyId | None = None
    questionnaire: Annotated[list[Question], Field(max_length=200)] | None = None


class CampaignBody(CampaignChange):
    name: Name


class NewCampaign(CampaignBody):
    campaign_id: OwnId | None = None


class ConsentDemandsShape(Out):
    marketing: DemandedBasis | None = None
    conversational: DemandedBasis | None = None
    transactional: DemandedBasis | None = None


class QuestionShape(Out):
    key: str
    question: str


@show_fields_of(
    CampaignChange,
    Campaign,
    after="campaign_id",
    provider=ProviderName | None,
    purpose=Purpose,
    require_consent=ConsentDemandsShape | None,
    questionnaire=list[QuestionShape],
)
class CampaignShape(Out):
    campaign_id: str
    created_at: datetime
    updated_at: datetime


class Campaigns(Out):
    campaigns: list[CampaignShape]
    next_cursor: str | None
    has_more: bool


@router.post("", status_code=201, summary="Add a campaign")
async def add_campaign(
    body: NewCampaign, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[CampaignShape]:
    campaign = await commands.add(tx, caller, body.get_named_fields())
    return await idempotency.store_answer(Answer(data=CampaignShape.of(campaign)))


@router.get("", summary="Campaigns, newest ids first")
async def list_campaigns(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Campaigns]:
    return await list_rows(read, caller, page_query, Campaign, Campaigns, CampaignShape.of)


@router.get("/{campaign_id}", summary="One campaign")
async def get_campaign(campaign_id: str, caller: ReadCaller, read: TenantRead) -> Answer[CampaignShape]:
    campaign = require_found(await directory.get(read, Campaign, caller.tenant_id, campaign_id))
    return Answer(data=CampaignShape.of(campaign))


CampaignTx = Annotated[Tx, guarded_by(get_campaign, lock_row_of(Campaign))]


@router.put(
    "/{campaign_id}",
    summary="Add or replace a campaign; 201 when it is new",
    responses={201: {"model": Answer[CampaignShape], "description": "The campaign is new."}},
)
async def put_campaign(
    campaign_id: OwnId, body: CampaignBody, caller: ApiCaller, tx: CampaignTx, response: Response
) -> Answer[CampaignShape]:
    campaign, is_new = await commands.add_or_replace(tx, caller, campaign_id, body.get_named_fields())
    response.status_code = 201 if is_new else 200
    return Answer(data=CampaignShape.of(campaign))


@router.patch("/{campaign_id}", summary="Change the given fields; null clears a field")
async def change_campaign(
    campaign_id: str, body: CampaignChange, caller: ApiCaller, tx: CampaignTx
) -> Answer[CampaignShape]:
    campaign = await commands.change(tx, caller, campaign_id, body.get_named_fields())
    return Answer(data=CampaignShape.of(campaign))


@router.delete("/{campaign_id}", summary="Remove a campaign that is not in use")
async def remove_campaign(campaign_id: str, caller: ApiCaller, tx: CampaignTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, campaign_id)
    return Answer(data=Deleted())

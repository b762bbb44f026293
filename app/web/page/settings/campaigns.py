"""Campaigns: their number, their provider, and their two agents."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.commands import campaigns as commands
from app.commands.directory import require_found
from app.domain.problems import NotFound, Problem
from app.store import directory
from app.store.engine import ReadTx, Tx
from app.store.schema import Campaign
from app.web.directory.campaigns import CampaignChange, CampaignShape, NewCampaign
from app.web.page.settings import admin_request, choices, forms
from app.web.page.settings.admin_request import (
    FORM_CHECKS,
    AdminGet,
    AdminPost,
    AdminRequest,
    Item,
    redirect_back,
)
from app.web.page.settings.forms import Field, Group
from app.web.paging import PageParams

router = APIRouter(include_in_schema=False)
BASE_PATH = "/settings/campaigns"
ABOUT_TEXT = "Each lead can belong to a campaign. The campaign names the number and the agents of its texts."
GROUPS = [
    Group(
        "Campaign",
        [
            Field("campaignId", "Id", hint="The id in your own system. If empty, one is created."),
            Field("name", "Name", required=True),
            Field("active", "Active", "switch"),
        ],
    ),
    Group(
        "Sending",
        [
            Field("phoneNumberId", "Number", "choice"),
            Field(
                "provider",
                "Provider",
                "choice",
                choices=choices.PROVIDERS,
                hint="Used to choose a number if none is named.",
            ),
        ],
    ),
    Group(
        "Agents",
        [
            Field("smsAgentId", "Production", "choice"),
            Field(
                "testSmsAgentId",
                "Test",
                "choice",
                hint="For test leads. If empty or inactive, the production agent answers them.",
            ),
        ],
    ),
    Group(
        "Client and offer",
        [
            Field("clientName", "Client"),
            Field("clientId", "Client id"),
            Field("offerName", "Offer"),
            Field("offerId", "Offer id"),
        ],
    ),
    Group(
        "Questionnaire",
        [
            Field(
                "questionnaire",
                "Questions",
                "pairs",
                pair=("key", "question"),
                hint="What the agent should find out. Save to get more rows.",
            ),
        ],
    ),
]


async def _build_groups(admin: AdminRequest, is_existing: bool) -> list[Group]:
    async def read_choices(read: ReadTx) -> list[Group]:
        agents = await choices.list_agents(read, admin.tenant_id)
        return forms.with_choices(
            GROUPS,
            phoneNumberId=await choices.list_numbers(read, admin.tenant_id),
            smsAgentId=agents,
            testSmsAgentId=agents,
        )

    groups: list[Group] = await admin.run_read(read_choices)
    return forms.drop_fields(groups, "campaignId") if is_existing else groups


@router.get(BASE_PATH)
async def list_campaigns(admin: AdminGet, page_query: PageParams) -> Response:
    async def read_rows(read: ReadTx) -> tuple[list[Campaign], choices.Choices, choices.Choices]:
        return (
            await directory.list_page(
                read, Campaign, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
            ),
            await choices.list_numbers(read, admin.tenant_id),
            await choices.list_agents(read, admin.tenant_id),
        )

    rows, number_choices, agent_choices = await admin.run_read(read_rows)
    page, cursor = page_query.cut_page(rows, lambda row: [row.campaign_id])
    items = [
        Item(
            row.campaign_id,
            row.name,
            [
                row.client_name or "",
                dict(number_choices).get(row.phone_number_id, ""),
                dict(agent_choices).get(row.sms_agent_id, ""),
                row.campaign_id,
            ],
            [("off", "Inactive")] * (not row.active),
        )
        for row in page
    ]
    return admin.show_list("campaigns", ABOUT_TEXT, items, cursor, "No campaigns yet.", "Add a campaign")


@router.get(BASE_PATH + "/new")
async def show_new_form(admin: AdminGet) -> Response:
    groups = await _build_groups(admin, False)
    return _render_new_form(admin, admin_request.Form(f"{BASE_PATH}/new", groups, {"active": True}, {}, "Add"))


def _render_new_form(admin: AdminRequest, form: admin_request.Form, status: int = 200) -> Response:
    return admin.show_page("form", "campaigns", status, title="New campaign", about=None, form=form, removable=None)


@router.post(BASE_PATH + "/new", dependencies=FORM_CHECKS)
async def add_campaign(admin: AdminPost) -> Response:
    form = await forms.read_form(admin.request, await _build_groups(admin, False))
    try:
        body = forms.parse_body(NewCampaign, form.get_plain_values())

        async def add_row(tx: Tx) -> str:
            return str((await commands.add(tx, admin.caller, body.get_named_fields())).campaign_id)

        await admin.run_once(form, add_row)
    except Problem as problem:
        return _render_new_form(
            admin,
            admin_request.refill_form(form, f"{BASE_PATH}/new", problem, "Add"),
            problem.status,
        )
    return redirect_back("campaigns", "added")


@router.get(BASE_PATH + "/{campaign_id}")
async def show_campaign(admin: AdminGet, campaign_id: str) -> Response:
    return await _render_campaign(admin, campaign_id)


async def _render_campaign(
    admin: AdminRequest,
    campaign_id: str,
    form: admin_request.Form | None = None,
    status: int = 200,
    **results: Any,
) -> Response:
    row = require_found(await admin.run_read(lambda read: directory.get(read, Campaign, admin.tenant_id, campaign_id)))
    groups = await _build_groups(admin, True)
    here = f"{BASE_PATH}/{campaign_id}"
    values = forms.get_values(groups, CampaignShape.of(row))
    return admin.show_page(
        "changed",
        "campaigns",
        status,
        title=row.name,
        about=campaign_id,
        form=form or admin_request.Form(here, groups, values, {}),
        here=here,
        removable="Remove this campaign",
        removal_hint="Only a campaign without leads can be removed. You can make it inactive instead.",
        told={"refused": None} | results,
    )


@router.post(BASE_PATH + "/{campaign_id}", dependencies=FORM_CHECKS)
async def change_campaign(admin: AdminPost, campaign_id: str) -> Response:
    form = await forms.read_form(admin.request, await _build_groups(admin, True))
    try:
        body = forms.parse_body(CampaignChange, form.get_plain_values())
        await admin.run_change(lambda tx: commands.change(tx, admin.caller, campaign_id, body.get_named_fields()))
    except NotFound:
        raise
    except Problem as problem:
        refilled_form = admin_request.refill_form(form, f"{BASE_PATH}/{campaign_id}", problem, "Save")
        return await _render_campaign(admin, campaign_id, refilled_form, problem.status)
    return redirect_back("campaigns", "saved")


@router.post(BASE_PATH + "/{campaign_id}/remove", dependencies=FORM_CHECKS)
async def remove_campaign(admin: AdminPost, campaign_id: str) -> Response:
    try:
        await admin.run_change(lambda tx: commands.remove(tx, admin.caller, campaign_id))
    except NotFound:
        raise
    except Problem as problem:
        return await _render_campaign(admin, campaign_id, None, problem.status, refused=problem)
    return redirect_back("campaigns", "removed")

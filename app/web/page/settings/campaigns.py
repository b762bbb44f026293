"""Campaigns: their number, their provider, and their two agents."""

from starlette.responses import Response

from app.commands import campaigns as commands
from app.commands.directory import require_found
from app.store import directory
from app.store.engine import ReadTx
from app.store.schema import Campaign
from app.web.directory.campaigns import CampaignChange, CampaignShape, NewCampaign
from app.web.page import forms
from app.web.page.forms import Field, Group, Heading, SubmittedForm, group_fields
from app.web.page.settings import choices
from app.web.page.settings.admin_request import AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, build_router
from app.web.paging import PageQuery

GROUPS = group_fields(
    Heading("Campaign"),
    Field("campaignId", "Id", hint="The id in your own system. If empty, one is created."),
    Field("name", "Name", required=True),
    Field("active", "Active", "switch"),
    Heading("Sending"),
    Field("phoneNumberId", "Number", "choice"),
    Field(
        "provider", "Provider", "choice", choices=choices.PROVIDERS, hint="Used to choose a number if none is named."
    ),
    Field(
        "purpose",
        "What its texts are for",
        "choice",
        required=True,
        choices=choices.PURPOSES,
        hint="Of texts that are no answer. The law is stricter about marketing.",
    ),
    Field("requireConsent.marketing", "Consent to marketing texts", "choice", choices=choices.CONSENT_BASES),
    Field("requireConsent.conversational", "Consent to other texts", "choice", choices=choices.CONSENT_BASES),
    Heading("Agents"),
    Field("smsAgentId", "Production", "choice"),
    Field(
        "testSmsAgentId",
        "Test",
        "choice",
        hint="For test leads. If empty or inactive, the production agent answers them.",
    ),
    Heading("Client and offer"),
    Field("clientName", "Client"),
    Field("clientId", "Client id"),
    Field("offerName", "Offer"),
    Field("offerId", "Offer id"),
    Heading("Questionnaire"),
    Field(
        "questionnaire",
        "Questions",
        "rows",
        parts=("key", "question"),
        part_words=("Key", "Question"),
        hint="What the agent should find out. Save to get more rows.",
    ),
)


async def _add_choices(admin: AdminRequest, read: ReadTx) -> list[Group]:
    agents = await choices.list_agents(read, admin.tenant_id)
    numbers = await choices.list_numbers(read, admin.tenant_id)
    return forms.with_choices(GROUPS, phoneNumberId=numbers, smsAgentId=agents, testSmsAgentId=agents)


async def list_campaigns(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    rows = await directory.list_page(read, Campaign, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    numbers = dict(await choices.list_numbers(read, admin.tenant_id))
    agents = dict(await choices.list_agents(read, admin.tenant_id))
    return [
        Item(
            row.campaign_id,
            row.name,
            [
                row.client_name or "",
                numbers.get(row.phone_number_id or "", ""),
                agents.get(row.sms_agent_id or "", ""),
                row.campaign_id,
            ],
            [("off", "Inactive")] * (not row.active),
        )
        for row in rows
    ]


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    return FormPage("New campaign", await _add_choices(admin, read), {"active": True})


async def build_campaign_page(admin: AdminRequest, read: ReadTx, campaign_id: str) -> FormPage:
    row = require_found(await directory.get(read, Campaign, admin.tenant_id, campaign_id))
    groups = forms.drop_fields(await _add_choices(admin, read), "campaignId")
    values = forms.get_values(groups, CampaignShape.of(row))
    return FormPage(row.name, groups, values)


async def add_campaign(admin: AdminRequest, form: SubmittedForm) -> Response:
    fields = form.parse_body(NewCampaign).get_named_fields()
    await admin.run_once(form, lambda tx: commands.add(tx, admin.caller, fields), lambda row: row.campaign_id)
    return redirect_back("campaigns", "added")


async def change_campaign(admin: AdminRequest, campaign_id: str, form: SubmittedForm) -> Response:
    fields = form.parse_body(CampaignChange).get_named_fields()
    await admin.run_change(lambda tx: commands.change(tx, admin.caller, campaign_id, fields))
    return redirect_back("campaigns", "saved")


PAGE = SettingsPage(
    "campaigns",
    about="Each lead can belong to a campaign. The campaign names the number and the agents of its texts.",
    empty_text="No campaigns yet. Add one to say which number and which agent its leads get.",
    add_label="Add a campaign",
    list_items=list_campaigns,
    build_new_page=build_new_page,
    build_item_page=build_campaign_page,
    add=add_campaign,
    change=change_campaign,
    remove=commands.remove,
    removal_label="Remove this campaign",
    removal_hint="Only a campaign without leads can be removed. You can make it inactive instead.",
)
router = build_router(PAGE)

"""Campaigns: their number, their provider, and the two agent slots."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.commands import campaigns as commands
from app.commands.directory import found
from app.domain.problems import NotFound, Problem
from app.store import campaigns
from app.store.engine import Read, Row, Tx
from app.web.directory.campaigns import CampaignChange, CampaignShape, NewCampaign
from app.web.page.settings import choices, desk, forms
from app.web.page.settings.desk import OURS, Desk, Item, Reading, Writing, back
from app.web.page.settings.forms import Field, Group
from app.web.paging import Paged

router = APIRouter(include_in_schema=False)
HERE = "/settings/campaigns"
ABOUT = "What leads belong to. A campaign names the number and the agents of their texts."
GROUPS = [
    Group(
        "Campaign",
        [
            Field("campaignId", "Id", hint="Your own system's, if it has one."),
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
                hint="Chooses among numbers where no number is named.",
            ),
        ],
    ),
    Group(
        "Agents",
        [
            Field("smsAgentId", "Production", "choice"),
            Field("testSmsAgentId", "Test", "choice", hint="For test leads; empty or inactive: the production agent."),
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
                hint="What the agent is to find out. Save to get more rows.",
            ),
        ],
    ),
]


async def _groups(sat: Desk, known: bool) -> list[Group]:
    async def look(read: Read) -> list[Group]:
        agents = await choices.of_agents(read, sat.tenant_id)
        return forms.with_choices(
            GROUPS,
            phoneNumberId=await choices.of_numbers(read, sat.tenant_id),
            smsAgentId=agents,
            testSmsAgentId=agents,
        )

    groups: list[Group] = await sat.read(look)
    return forms.without(groups, "campaignId") if known else groups


@router.get(HERE)
async def listed(sat: Reading, paged: Paged) -> Response:
    async def look(read: Read) -> tuple[list[Row], choices.Choices, choices.Choices]:
        return (
            await campaigns.listed(read, sat.tenant_id, paged.below(), paged.fetch),
            await choices.of_numbers(read, sat.tenant_id),
            await choices.of_agents(read, sat.tenant_id),
        )

    rows, ours, agents = await sat.read(look)
    page, cursor = paged.cut(rows, lambda row: [row["campaign_id"]])
    items = [
        Item(
            row["campaign_id"],
            row["name"],
            [
                row["client_name"] or "",
                dict(ours).get(row["phone_number_id"], ""),
                dict(agents).get(row["sms_agent_id"], ""),
                row["campaign_id"],
            ],
            [("off", "Inactive")] * (not row["active"]),
        )
        for row in page
    ]
    return sat.listed("campaigns", ABOUT, items, cursor, "No campaigns yet.", "Add a campaign")


@router.get(HERE + "/new")
async def new(sat: Reading) -> Response:
    groups = await _groups(sat, False)
    return _new(sat, desk.Form(f"{HERE}/new", groups, {"active": True}, {}, "Add"))


def _new(sat: Desk, form: desk.Form, status: int = 200) -> Response:
    return sat.page("form", "campaigns", status, title="New campaign", about=None, form=form, removable=None)


@router.post(HERE + "/new", dependencies=OURS)
async def add(sat: Writing) -> Response:
    form = await forms.sent(sat.request, await _groups(sat, False))
    try:
        body = forms.body(NewCampaign, form.plain())

        async def work(tx: Tx) -> str:
            return str((await commands.add(tx, sat.caller, body.given()))["campaign_id"])

        await sat.add(form, work)
    except Problem as refused:
        return _new(sat, desk.refilled(form, f"{HERE}/new", refused, "Add"), refused.status)
    return back("campaigns", "added")


@router.get(HERE + "/{campaign_id}")
async def one(sat: Reading, campaign_id: str) -> Response:
    return await _one(sat, campaign_id)


async def _one(sat: Desk, campaign_id: str, form: desk.Form | None = None, status: int = 200, **told: Any) -> Response:
    row = found(await sat.read(lambda read: campaigns.get(read, sat.tenant_id, campaign_id)))
    groups = await _groups(sat, True)
    here = f"{HERE}/{campaign_id}"
    known = forms.values(groups, CampaignShape.model_validate(dict(row)))
    return sat.page(
        "changed",
        "campaigns",
        status,
        title=row["name"],
        about=campaign_id,
        form=form or desk.Form(here, groups, known, {}),
        here=here,
        removable="Remove this campaign",
        removal_hint="Only a campaign without leads can be removed; switch it off instead.",
        told={"refused": None} | told,
    )


@router.post(HERE + "/{campaign_id}", dependencies=OURS)
async def change(sat: Writing, campaign_id: str) -> Response:
    form = await forms.sent(sat.request, await _groups(sat, True))
    try:
        body = forms.body(CampaignChange, form.plain())
        await sat.change(lambda tx: commands.change(tx, sat.caller, campaign_id, body.given()))
    except NotFound:
        raise
    except Problem as refused:
        again = desk.refilled(form, f"{HERE}/{campaign_id}", refused, "Save")
        return await _one(sat, campaign_id, again, refused.status)
    return back("campaigns", "saved")


@router.post(HERE + "/{campaign_id}/remove", dependencies=OURS)
async def remove(sat: Writing, campaign_id: str) -> Response:
    try:
        await sat.change(lambda tx: commands.remove(tx, sat.caller, campaign_id))
    except NotFound:
        raise
    except Problem as refused:
        return await _one(sat, campaign_id, None, refused.status, refused=refused)
    return back("campaigns", "removed")

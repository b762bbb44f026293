"""SMS agents: their form, signing secret, pause, test and shadow report."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.responses import Response

from app.commands import brakes
from app.commands import sms_agents as commands
from app.commands.directory import require_found
from app.domain import windows
from app.domain.phones import format_phone
from app.domain.problems import NotFound, Problem
from app.store import directory
from app.store.engine import ReadTx, Tx
from app.store.schema import PhoneNumber, SmsAgent
from app.web import turns
from app.web.directory.sms_agents import (
    AgentChange,
    NewAgent,
    build_shape,
    get_shadow_report,
    make_signing_secret,
)
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
BASE_PATH = "/settings/agents"
ABOUT_TEXT = "Agents answer leads by themselves. A lead's texts are collected and sent to the agent's webhook."
STALE_REPLY_CHOICES = [
    ("rerun", "Refuse it, and show it to the agent in the next turn"),
    ("send", "Send it anyway"),
    ("hold", "Hold it for a person to decide"),
]
DAY_CHOICES = [
    ("1", "Mon"),
    ("2", "Tue"),
    ("3", "Wed"),
    ("4", "Thu"),
    ("5", "Fri"),
    ("6", "Sat"),
    ("7", "Sun"),
]
HOURS_FIELD = "businessHours"
GROUPS = [
    Group(
        "Agent",
        [
            Field("name", "Name", required=True),
            Field("description", "Description", "area", lines=2),
            Field("webhookUrl", "Webhook", required=True, hint="The address to which turns are posted."),
            Field("phoneNumberId", "Number", "choice", hint="The agent's texts are sent from this number."),
            Field(
                "isTest",
                "A test agent",
                "switch",
                hint="Answers test leads of the campaigns that name it as test agent.",
            ),
            Field("active", "Active", "switch"),
        ],
    ),
    Group(
        "Inbound texts",
        [
            Field("inboundEnabled", "Answer texts that come to its number", "switch"),
            Field(
                "inboundCampaignIds",
                "Campaigns",
                "ranked",
                hint="Searched for the sender, in this order. An unknown sender becomes a lead of the first.",
            ),
            Field("agentModeByDefault", "Agent mode is on in new conversations", "switch"),
        ],
    ),
    Group(
        "Turns",
        [
            Field(
                "batchWindowMs",
                "Collect texts for",
                "whole",
                unit="ms",
                required=True,
                hint="Counted from the newest text. 1000 to 60000.",
            ),
            Field("maxWaitMs", "At most for", "whole", unit="ms", hint="If empty, five times as long."),
            Field("replyDelayMs", "Pause before each text of a reply", "whole", unit="ms", required=True),
            Field(
                "staleReply",
                "When a reply comes after the lead wrote again",
                "choice",
                required=True,
                choices=STALE_REPLY_CHOICES,
            ),
            Field(
                "resumeAfterMinutes",
                "Agent mode comes back after",
                "whole",
                unit="minutes",
                hint="Counted from the last text by a person. If empty, it stays off.",
            ),
            Field("maxTurnsPerDay", "Turns per day in a conversation", "whole", unit="turns", required=True),
        ],
    ),
    Group(
        "Business hours",
        [
            Field(f"{HOURS_FIELD}.start", "Turns are handed over from", "time"),
            Field(f"{HOURS_FIELD}.end", "Until", "time"),
            Field(f"{HOURS_FIELD}.timezone", "Time zone", hint="For example America/New_York."),
            Field(f"{HOURS_FIELD}.days", "On", "several", choices=DAY_CHOICES),
        ],
        "If all are empty, turns are handed over at any time.",
    ),
    Group(
        "Shadow",
        [
            Field(
                "shadowWebhookUrl",
                "Shadow webhook",
                hint="Gets a copy of every turn. Its answers are recorded for comparison and never sent.",
            ),
        ],
    ),
]
DEFAULTS = {
    "active": True,
    "inboundEnabled": True,
    "batchWindowMs": str(windows.WINDOW_MS),
    "replyDelayMs": "0",
    "staleReply": "rerun",
    "maxTurnsPerDay": "50",
}


async def _build_groups(admin: AdminRequest) -> list[Group]:
    async def read_choices(read: ReadTx) -> list[Group]:
        return forms.with_choices(
            GROUPS,
            phoneNumberId=await choices.list_numbers(read, admin.tenant_id),
            inboundCampaignIds=await choices.list_campaigns(read, admin.tenant_id),
        )

    groups: list[Group] = await admin.run_read(read_choices)
    return groups


def _get_plain_values(form: forms.SubmittedForm) -> dict[str, Any]:
    """Returns the values for the API: days as numbers, and None for empty business hours."""
    plain = form.get_plain_values()
    hours = plain[HOURS_FIELD]
    hours["days"] = [int(day) for day in hours["days"] if day.isdigit()]
    if not any(hours.values()):
        plain[HOURS_FIELD] = None
    return plain


@router.get(BASE_PATH)
async def list_agents(admin: AdminGet, page_query: PageParams) -> Response:
    async def read_rows(read: ReadTx) -> tuple[list[SmsAgent], list[PhoneNumber]]:
        rows = await directory.list_page(
            read, SmsAgent, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
        )
        return rows, await directory.list_page(read, PhoneNumber, admin.tenant_id, None, choices.MAX_CHOICES)

    rows, number_rows = await admin.run_read(read_rows)
    phones = {row.phone_number_id: format_phone(row.phone_number) for row in number_rows}
    page, cursor = page_query.cut_page(rows, lambda row: [row.sms_agent_id])
    items = [
        Item(
            row.sms_agent_id,
            row.name,
            [phones.get(row.phone_number_id, ""), row.webhook_url],
            [("agent", "Test")] * row.is_test
            + [("stopped", "Paused")] * bool(row.paused_at)
            + [("off", "Inactive")] * (not row.active),
        )
        for row in page
    ]
    return admin.show_list("agents", ABOUT_TEXT, items, cursor, "No agents yet.", "Add an agent")


@router.get(BASE_PATH + "/new")
async def show_new_form(admin: AdminGet) -> Response:
    return _render_new_form(
        admin,
        admin_request.Form(f"{BASE_PATH}/new", await _build_groups(admin), DEFAULTS, {}, "Add"),
    )


def _render_new_form(admin: AdminRequest, form: admin_request.Form, status: int = 200) -> Response:
    about = "A signing secret is created and shown once."
    return admin.show_page("form", "agents", status, title="New SMS agent", about=about, form=form, removable=None)


@router.post(BASE_PATH + "/new", dependencies=FORM_CHECKS)
async def add_agent(admin: AdminPost) -> Response:
    form = await forms.read_form(admin.request, await _build_groups(admin))
    secret = make_signing_secret()
    try:
        plain = {name: value for name, value in _get_plain_values(form).items() if value is not None}
        body = forms.parse_body(NewAgent, plain)

        async def add_row(tx: Tx) -> str:
            sealed_secret = admin.resources.seal.close(secret.encode())
            return str((await commands.add(tx, admin.caller, body.get_named_fields(), sealed_secret)).sms_agent_id)

        agent_id, is_new = await admin.run_once(form, add_row)
    except Problem as problem:
        return _render_new_form(
            admin,
            admin_request.refill_form(form, f"{BASE_PATH}/new", problem, "Add"),
            problem.status,
        )
    return _render_secret(admin, agent_id, f"{body.name} was added", secret if is_new else None)


def _render_secret(admin: AdminRequest, agent_id: str, title: str, secret: str | None) -> Response:
    return admin.show_page(
        "once",
        "agents",
        title=title,
        about="With this secret the agent verifies that a turn comes from LeadSail SMS.",
        label="Signing secret",
        secret=secret,
        otherwise="You can make a new secret on the agent's page.",
        onward=f"{BASE_PATH}/{agent_id}",
    )


@router.get(BASE_PATH + "/{agent_id}")
async def show_agent(admin: AdminGet, agent_id: str) -> Response:
    return await _render_agent(admin, agent_id)


async def _get_agent(admin: AdminRequest, agent_id: str) -> SmsAgent:
    row: SmsAgent = require_found(
        await admin.run_read(lambda read: directory.get(read, SmsAgent, admin.tenant_id, agent_id))
    )
    return row


async def _render_agent(
    admin: AdminRequest,
    agent_id: str,
    form: admin_request.Form | None = None,
    status: int = 200,
    **results: Any,
) -> Response:
    row = await _get_agent(admin, agent_id)
    groups = await _build_groups(admin)
    here = f"{BASE_PATH}/{agent_id}"
    values = forms.get_values(groups, build_shape(row))
    if row.max_wait_ms is None:
        values["maxWaitMs"] = ""
    return admin.show_page(
        "agent",
        "agents",
        status,
        title=row.name,
        about=row.sms_agent_id,
        form=form or admin_request.Form(here, groups, values, {}),
        here=here,
        braked=row,
        what="the texts of this agent",
        removable="Remove this agent",
        removal_hint="Only an agent without turns can be removed. You can make it inactive instead.",
        told={"refused": None, "tested": None} | results,
    )


@router.post(BASE_PATH + "/{agent_id}", dependencies=FORM_CHECKS)
async def change_agent(admin: AdminPost, agent_id: str) -> Response:
    form = await forms.read_form(admin.request, await _build_groups(admin))
    try:
        body = forms.parse_body(AgentChange, _get_plain_values(form))
        await admin.run_change(lambda tx: commands.change(tx, admin.caller, agent_id, body.get_named_fields()))
    except NotFound:
        raise
    except Problem as problem:
        refilled_form = admin_request.refill_form(form, f"{BASE_PATH}/{agent_id}", problem, "Save")
        return await _render_agent(admin, agent_id, refilled_form, problem.status)
    return redirect_back(f"agents/{agent_id}", "saved")


@router.post(BASE_PATH + "/{agent_id}/remove", dependencies=FORM_CHECKS)
async def remove_agent(admin: AdminPost, agent_id: str) -> Response:
    try:
        await admin.run_change(lambda tx: commands.remove(tx, admin.caller, agent_id))
    except NotFound:
        raise
    except Problem as problem:
        return await _render_agent(admin, agent_id, None, problem.status, refused=problem)
    return redirect_back("agents", "removed")


@router.post(BASE_PATH + "/{agent_id}/rotate-secret", dependencies=FORM_CHECKS)
async def rotate_secret(admin: AdminPost, agent_id: str) -> Response:
    secret = make_signing_secret()
    form = await forms.read_form(admin.request, [])

    async def rotate_row(tx: Tx) -> str:
        row = await commands.rotate_secret(tx, admin.caller, agent_id, admin.resources.seal.close(secret.encode()))
        return str(row.name)

    name, is_new = await admin.run_once(form, rotate_row)
    return _render_secret(admin, agent_id, f"{name} has a new secret", secret if is_new else None)


@router.post(BASE_PATH + "/{agent_id}/test", dependencies=FORM_CHECKS)
async def test_agent(admin: AdminPost, agent_id: str) -> Response:
    """Sends the agent a sample turn, with no transaction open. No text is sent."""
    dry_turn = await turns.test_agent(admin.resources, admin.tenant_id, agent_id)
    return await _render_agent(admin, agent_id, tested=dry_turn)


@router.get(BASE_PATH + "/{agent_id}/shadow")
async def show_shadow_report(admin: AdminGet, agent_id: str) -> Response:
    row = await _get_agent(admin, agent_id)
    report = await admin.run_read(lambda read: get_shadow_report(read, admin.tenant_id, agent_id))
    return admin.show_page("shadow", "agents", agent=row, here=f"{BASE_PATH}/{agent_id}", report=report)


@router.post(BASE_PATH + "/{agent_id}/pause", dependencies=FORM_CHECKS)
async def pause_agent(admin: AdminPost, agent_id: str, reason: Annotated[str, Form(max_length=500)] = "") -> Response:
    await admin.run_change(lambda tx: brakes.pause(tx, admin.caller, SmsAgent, agent_id, reason.strip() or None))
    return redirect_back(f"agents/{agent_id}", "paused")


@router.post(BASE_PATH + "/{agent_id}/resume", dependencies=FORM_CHECKS)
async def resume_agent(admin: AdminPost, agent_id: str) -> Response:
    await admin.run_change(lambda tx: brakes.resume(tx, admin.caller, SmsAgent, agent_id))
    return redirect_back(f"agents/{agent_id}", "resumed")

"""SMS agents: their form, signing secret, pause, test and shadow report."""

from typing import Any

from starlette.responses import Response

from app.commands import sms_agents as commands
from app.commands.directory import require_found
from app.domain import windows
from app.domain.phones import format_phone
from app.store import directory, experiments
from app.store.engine import ReadTx
from app.store.schema import PhoneNumber, SmsAgent
from app.web import dry_turns
from app.web.directory.sms_agents import AgentChange, NewAgent, build_shape, get_shadow_report
from app.web.experiments import build_shape as build_experiment
from app.web.page import forms
from app.web.page.forms import Field, Group, Heading, SubmittedForm, group_fields
from app.web.page.settings import choices
from app.web.page.settings.admin_request import AdminGet, AdminPost, AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, add_pause_routes, build_router, show_item
from app.web.page.settings.signing import SecretPage, add_rotation_route, store_secret
from app.web.paging import PageQuery

STALE_REPLY_CHOICES = [
    ("rerun", "Refuse it, and show it to the agent in the next turn"),
    ("send", "Send it anyway"),
    ("hold", "Hold it for a person to decide"),
]
DAY_CHOICES = [("1", "Mon"), ("2", "Tue"), ("3", "Wed"), ("4", "Thu"), ("5", "Fri"), ("6", "Sat"), ("7", "Sun")]
HOURS_FIELD = "businessHours"
FOLLOW_UPS_FIELD = "followUps"
GROUPS = group_fields(
    Heading("Agent"),
    Field("name", "Name", required=True),
    Field("description", "Description", "area", lines=2),
    Field("webhookUrl", "Webhook", required=True, hint="The address to which turns are posted."),
    Field("phoneNumberId", "Number", "choice", hint="The agent's texts are sent from this number."),
    Field("isTest", "A test agent", "switch", hint="Answers test leads of the campaigns that name it as test agent."),
    Field("active", "Active", "switch"),
    Heading("Inbound texts"),
    Field("inboundEnabled", "Answer texts that come to its number", "switch"),
    Field(
        "inboundCampaignIds",
        "Campaigns",
        "ranked",
        hint="Searched for the sender, in this order. An unknown sender becomes a lead of the first.",
    ),
    Field("agentModeByDefault", "Agent mode is on in new conversations", "switch"),
    Heading("Turns"),
    Field(
        "batchWindowMs",
        "Collect texts for",
        "seconds",
        unit="seconds",
        required=True,
        hint="Counted from the newest text. 1 to 60.",
    ),
    Field("maxWaitMs", "At most for", "seconds", unit="seconds", hint="If empty, five times as long."),
    Field("replyDelayMs", "Pause before each text of a reply", "seconds", unit="seconds", required=True),
    Field(
        "staleReply",
        "When a reply comes after the lead wrote again",
        "choice",
        required=True,
        choices=STALE_REPLY_CHOICES,
    ),
    Field(
        "disclosure",
        "Its first text says that it is an automated assistant",
        "choice",
        required=True,
        choices=choices.DISCLOSURES,
        hint="The sentence stands in the general settings.",
    ),
    Field(
        "resumeAfterMinutes",
        "Agent mode comes back after",
        "whole",
        unit="minutes",
        hint="Counted from the last text by a person. If empty, it stays off.",
    ),
    Field("maxTurnsPerDay", "Turns per day in a conversation", "whole", unit="turns", required=True),
    Heading("Follow-ups", "When a lead stays silent, the agent gets a turn and may write again. At most five."),
    Field(
        FOLLOW_UPS_FIELD,
        "Minutes of silence, and conditions",
        "rows",
        parts=("afterMinutes", "onlyIf"),
        part_words=("Minutes", "Only if"),
        hint="Counted from our newest text. Conditions, if any: no_reply, replied, unanswered_question.",
    ),
    Field("failedDeliveryTurns", "It also gets a turn when a text does not arrive", "switch"),
    Heading("Business hours", "If all are empty, turns are handed over at any time."),
    Field(f"{HOURS_FIELD}.start", "Turns are handed over from", "time"),
    Field(f"{HOURS_FIELD}.end", "Until", "time"),
    Field(f"{HOURS_FIELD}.timezone", "Time zone", hint="For example America/New_York."),
    Field(f"{HOURS_FIELD}.days", "On", "several", choices=DAY_CHOICES),
    Heading("Shadow"),
    Field(
        "shadowWebhookUrl",
        "Shadow webhook",
        hint="Gets a copy of every turn. Its answers are recorded for comparison and never sent.",
    ),
)
DEFAULTS = {
    "active": True,
    "inboundEnabled": True,
    "batchWindowMs": f"{windows.WINDOW_MS / 1000:g}",
    "replyDelayMs": "0",
    "staleReply": "rerun",
    "maxTurnsPerDay": "50",
}


async def _build_groups(admin: AdminRequest, read: ReadTx) -> list[Group]:
    return forms.with_choices(
        GROUPS,
        phoneNumberId=await choices.list_numbers(read, admin.tenant_id),
        inboundCampaignIds=await choices.list_campaigns(read, admin.tenant_id),
    )


def _get_plain_values(form: forms.SubmittedForm) -> dict[str, Any]:
    """Returns the values for the API: days as numbers, and None for empty business hours."""
    plain = form.get_plain_values()
    hours = plain[HOURS_FIELD]
    hours["days"] = [int(day) for day in hours["days"] if day.isdigit()]
    if not any(hours.values()):
        plain[HOURS_FIELD] = None
    if f"{FOLLOW_UPS_FIELD}.afterMinutes" in form.data:
        plain[FOLLOW_UPS_FIELD] = [_read_step(step) for step in plain[FOLLOW_UPS_FIELD]]
    else:  # the page was loaded before it had them
        del plain[FOLLOW_UPS_FIELD]
    return plain


def _read_step(step: dict[str, str]) -> dict[str, Any]:
    minutes, conditions = step["afterMinutes"], step["onlyIf"].replace(",", " ").split()
    return {"afterMinutes": int(minutes) if minutes.isdecimal() else minutes, "onlyIf": conditions}


async def list_agents(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    number_rows = await directory.list_page(read, PhoneNumber, admin.tenant_id, None, choices.MAX_CHOICES)
    phones = {row.phone_number_id: format_phone(row.phone_number) for row in number_rows}
    return [
        Item(
            row.sms_agent_id,
            row.name,
            [phones.get(row.phone_number_id or "", ""), row.webhook_url],
            [("agent", "Test")] * row.is_test
            + [("stopped", "Paused")] * bool(row.paused_at)
            + [("off", "Inactive")] * (not row.active),
        )
        for row in await directory.list_page(
            read, SmsAgent, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
        )
    ]


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    groups = await _build_groups(admin, read)
    return FormPage("New SMS agent", groups, DEFAULTS, about="A signing secret is created and shown once.")


async def _get_agent(admin: AdminRequest, read: ReadTx, agent_id: str) -> SmsAgent:
    return require_found(await directory.get(read, SmsAgent, admin.tenant_id, agent_id))


async def build_agent_page(admin: AdminRequest, read: ReadTx, agent_id: str) -> FormPage:
    row = await _get_agent(admin, read, agent_id)
    groups = await _build_groups(admin, read)
    values = forms.get_values(groups, build_shape(row))
    values[FOLLOW_UPS_FIELD] = [
        [str(minutes), ", ".join(conditions)] for minutes, conditions in values[FOLLOW_UPS_FIELD]
    ]
    if row.max_wait_ms is None:
        values["maxWaitMs"] = ""
    test = await experiments.get_of_agent(read, admin.tenant_id, agent_id)
    context = {"braked": row, "what": "the texts of this agent", "test": test and build_experiment(test)}
    return FormPage(row.name, groups, values, about=row.description, template="agent", context=context)


SECRET_PAGE = SecretPage(
    "agents", "With this secret the agent verifies that a turn comes from LeadSail SMS.", "the agent's page"
)


async def add_agent(admin: AdminRequest, form: SubmittedForm) -> Response:
    plain = {name: value for name, value in _get_plain_values(form).items() if value is not None}
    body = forms.parse_body(NewAgent, plain)
    agent_id, secret = await store_secret(
        admin,
        form,
        lambda tx, sealed_secret: commands.add(tx, admin.caller, body.get_named_fields(), sealed_secret),
        lambda row: row.sms_agent_id,
    )
    return SECRET_PAGE.show(admin, agent_id, secret, f"{body.name} was added")


async def change_agent(admin: AdminRequest, agent_id: str, form: SubmittedForm) -> Response:
    fields = forms.parse_body(AgentChange, _get_plain_values(form)).get_named_fields()
    await admin.run_change(lambda tx: commands.change(tx, admin.caller, agent_id, fields))
    return redirect_back(f"agents/{agent_id}", "saved")


PAGE = SettingsPage(
    "agents",
    about="Agents answer leads by themselves. A lead's texts are collected and sent to the agent's webhook.",
    empty_text="No agents yet. Add the address of yours, and test it here before it answers anybody.",
    add_label="Add an agent",
    list_items=list_agents,
    build_new_page=build_new_page,
    build_item_page=build_agent_page,
    add=add_agent,
    change=change_agent,
    remove=commands.remove,
    removal_label="Remove this agent",
    removal_hint="Only an agent without turns can be removed. You can make it inactive instead.",
)
router = build_router(PAGE)
add_pause_routes(router, "agents", SmsAgent)
add_rotation_route(router, SECRET_PAGE, SmsAgent, lambda row: row.name)


@router.post("/{agent_id}/test")
async def test_agent(admin: AdminPost, agent_id: str) -> Response:
    """Sends the agent a sample turn, with no transaction open. No text is sent."""
    tried_turn = await dry_turns.try_agent(admin.resources, admin.tenant_id, agent_id)
    return await show_item(admin, PAGE, agent_id, tested=tried_turn)


@router.get("/{agent_id}/shadow")
async def show_shadow_report(admin: AdminGet, agent_id: str) -> Response:
    row = await admin.run_read(lambda read: _get_agent(admin, read, agent_id))
    report = await admin.run_read(lambda read: get_shadow_report(read, admin.tenant_id, agent_id))
    return admin.show_page("shadow", "agents", agent=row, here=f"/settings/agents/{agent_id}", report=report)

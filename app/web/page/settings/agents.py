"""SMS agents: the webhook, the window, the hours, the brake; a test, the shadow's report."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.responses import Response

from app.commands import brakes
from app.commands import sms_agents as commands
from app.commands.directory import found
from app.domain import windows
from app.domain.phones import shown
from app.domain.problems import NotFound, Problem
from app.store import numbers, sms_agents
from app.store.engine import Read, Row, Tx
from app.web.directory import sms_agents as api
from app.web.directory.sms_agents import AgentChange, NewAgent, shape, signing_secret
from app.web.page.settings import choices, desk, forms
from app.web.page.settings.desk import OURS, Desk, Item, Reading, Writing, back
from app.web.page.settings.forms import Field, Group
from app.web.paging import Paged

router = APIRouter(include_in_schema=False)
HERE = "/settings/agents"
ABOUT = "Who answers by itself: texts of a lead are gathered and handed to the agent's webhook."
STALE = [
    ("rerun", "Refuse it, and tell the agent with the next turn"),
    ("send", "Send it all the same"),
    ("hold", "Keep it for a person"),
]
DAYS = [
    ("1", "Mon"),
    ("2", "Tue"),
    ("3", "Wed"),
    ("4", "Thu"),
    ("5", "Fri"),
    ("6", "Sat"),
    ("7", "Sun"),
]
HOURS = "businessHours"
GROUPS = [
    Group(
        "Agent",
        [
            Field("name", "Name", required=True),
            Field("description", "Description", "area", lines=2),
            Field("webhookUrl", "Webhook", required=True, hint="Turns are POSTed there."),
            Field("phoneNumberId", "Number", "choice", hint="Its texts go from it."),
            Field("isTest", "A test agent", "switch", hint="Serves test leads where a campaign names it."),
            Field("active", "Active", "switch"),
        ],
    ),
    Group(
        "Inbound texts",
        [
            Field("inboundEnabled", "Take texts that come to its number", "switch"),
            Field(
                "inboundCampaignIds",
                "Campaigns",
                "ranked",
                hint="Searched in this order for who wrote; strangers become leads of the first.",
            ),
            Field("agentModeByDefault", "Agent mode is on in new conversations", "switch"),
        ],
    ),
    Group(
        "Turns",
        [
            Field(
                "batchWindowMs",
                "Gather texts for",
                "whole",
                unit="ms",
                required=True,
                hint="After the newest text; 1000 to 60000.",
            ),
            Field("maxWaitMs", "At most for", "whole", unit="ms", hint="Empty: five times as long."),
            Field("replyDelayMs", "Pause before each text of a reply", "whole", unit="ms", required=True),
            Field(
                "staleReply", "When a reply comes after the lead wrote again", "choice", required=True, choices=STALE
            ),
            Field(
                "resumeAfterMinutes",
                "Agent mode comes back after",
                "whole",
                unit="minutes",
                hint="Without a text by a person. Empty: it does not.",
            ),
            Field("maxTurnsPerDay", "Turns a day in a conversation", "whole", unit="turns", required=True),
        ],
    ),
    Group(
        "Business hours",
        [
            Field(f"{HOURS}.start", "Turns are handed over from", "time"),
            Field(f"{HOURS}.end", "Until", "time"),
            Field(f"{HOURS}.timezone", "Time zone", hint="Such as America/New_York."),
            Field(f"{HOURS}.days", "On", "several", choices=DAYS),
        ],
        "All empty: at any time.",
    ),
    Group(
        "Shadow",
        [
            Field(
                "shadowWebhookUrl",
                "Webhook of the shadow",
                hint="Gets every turn too; its answers are kept to be compared, and never sent.",
            ),
        ],
    ),
]
FRESH = {
    "active": True,
    "inboundEnabled": True,
    "batchWindowMs": str(windows.WINDOW_MS),
    "replyDelayMs": "0",
    "staleReply": "rerun",
    "maxTurnsPerDay": "50",
}


async def _groups(sat: Desk) -> list[Group]:
    async def look(read: Read) -> list[Group]:
        return forms.with_choices(
            GROUPS,
            phoneNumberId=await choices.of_numbers(read, sat.tenant_id),
            inboundCampaignIds=await choices.of_campaigns(read, sat.tenant_id),
        )

    groups: list[Group] = await sat.read(look)
    return groups


def _plain(form: forms.Sent) -> dict[str, Any]:
    """As the API wants it: days are numbers, and no hours at all are none."""
    plain = form.plain()
    hours = plain[HOURS]
    hours["days"] = [int(day) for day in hours["days"] if day.isdigit()]
    if not any(hours.values()):
        plain[HOURS] = None
    return plain


@router.get(HERE)
async def listed(sat: Reading, paged: Paged) -> Response:
    async def look(read: Read) -> tuple[list[Row], list[Row]]:
        rows = await sms_agents.listed(read, sat.tenant_id, paged.below(), paged.fetch)
        return rows, await numbers.listed(read, sat.tenant_id, None, choices.MOST)

    rows, ours = await sat.read(look)
    phones = {row["phone_number_id"]: shown(row["phone_number"]) for row in ours}
    page, cursor = paged.cut(rows, lambda row: [row["sms_agent_id"]])
    items = [
        Item(
            row["sms_agent_id"],
            row["name"],
            [phones.get(row["phone_number_id"], ""), row["webhook_url"]],
            [("agent", "Test")] * row["is_test"]
            + [("stopped", "Paused")] * bool(row["paused_at"])
            + [("off", "Inactive")] * (not row["active"]),
        )
        for row in page
    ]
    return sat.listed("agents", ABOUT, items, cursor, "No agents yet.", "Add an agent")


@router.get(HERE + "/new")
async def new(sat: Reading) -> Response:
    return _new(sat, desk.Form(f"{HERE}/new", await _groups(sat), FRESH, {}, "Add"))


def _new(sat: Desk, form: desk.Form, status: int = 200) -> Response:
    about = "Its signing secret is made and shown once."
    return sat.page("form", "agents", status, title="New SMS agent", about=about, form=form, removable=None)


@router.post(HERE + "/new", dependencies=OURS)
async def add(sat: Writing) -> Response:
    form = await forms.sent(sat.request, await _groups(sat))
    secret = signing_secret()
    try:
        plain = {name: value for name, value in _plain(form).items() if value is not None}
        body = forms.body(NewAgent, plain)

        async def work(tx: Tx) -> str:
            closed = sat.held.seal.close(secret.encode())
            return str((await commands.add(tx, sat.caller, body.given(), closed))["sms_agent_id"])

        agent_id, fresh = await sat.add(form, work)
    except Problem as refused:
        return _new(sat, desk.refilled(form, f"{HERE}/new", refused, "Add"), refused.status)
    return _secret(sat, agent_id, f"{body.name} was added", secret if fresh else None)


def _secret(sat: Desk, agent_id: str, title: str, secret: str | None) -> Response:
    return sat.page(
        "once",
        "agents",
        title=title,
        about="With this secret the agent checks that a turn comes from here.",
        label="Signing secret",
        secret=secret,
        otherwise="Make another secret on the agent's page.",
        onward=f"{HERE}/{agent_id}",
    )


@router.get(HERE + "/{agent_id}")
async def one(sat: Reading, agent_id: str) -> Response:
    return await _one(sat, agent_id)


async def _known(sat: Desk, agent_id: str) -> Row:
    row: Row = found(await sat.read(lambda read: sms_agents.get(read, sat.tenant_id, agent_id)))
    return row


async def _one(sat: Desk, agent_id: str, form: desk.Form | None = None, status: int = 200, **told: Any) -> Response:
    row = await _known(sat, agent_id)
    groups = await _groups(sat)
    here = f"{HERE}/{agent_id}"
    known = forms.values(groups, shape(row))
    if row["max_wait_ms"] is None:
        known["maxWaitMs"] = ""
    return sat.page(
        "agent",
        "agents",
        status,
        title=row["name"],
        about=row["sms_agent_id"],
        form=form or desk.Form(here, groups, known, {}),
        here=here,
        braked=row,
        what="what this agent sends",
        removable="Remove this agent",
        removal_hint="Only an agent without turns can be removed; switch it off instead.",
        told={"refused": None, "tested": None} | told,
    )


@router.post(HERE + "/{agent_id}", dependencies=OURS)
async def change(sat: Writing, agent_id: str) -> Response:
    form = await forms.sent(sat.request, await _groups(sat))
    try:
        body = forms.body(AgentChange, _plain(form))
        await sat.change(lambda tx: commands.change(tx, sat.caller, agent_id, body.given()))
    except NotFound:
        raise
    except Problem as refused:
        again = desk.refilled(form, f"{HERE}/{agent_id}", refused, "Save")
        return await _one(sat, agent_id, again, refused.status)
    return back(f"agents/{agent_id}", "saved")


@router.post(HERE + "/{agent_id}/remove", dependencies=OURS)
async def remove(sat: Writing, agent_id: str) -> Response:
    try:
        await sat.change(lambda tx: commands.remove(tx, sat.caller, agent_id))
    except NotFound:
        raise
    except Problem as refused:
        return await _one(sat, agent_id, None, refused.status, refused=refused)
    return back("agents", "removed")


@router.post(HERE + "/{agent_id}/rotate-secret", dependencies=OURS)
async def rotate(sat: Writing, agent_id: str) -> Response:
    secret = signing_secret()
    form = await forms.sent(sat.request, [])

    async def work(tx: Tx) -> str:
        row = await commands.rotate(tx, sat.caller, agent_id, sat.held.seal.close(secret.encode()))
        return str(row["name"])

    name, fresh = await sat.add(form, work)
    return _secret(sat, agent_id, f"{name} has a new secret", secret if fresh else None)


@router.post(HERE + "/{agent_id}/test", dependencies=OURS)
async def test(sat: Writing, agent_id: str) -> Response:
    """Hands the agent a made-up turn, with no transaction open; nothing of its answer is sent."""
    tested = (await api.test(agent_id, sat.caller, sat.held)).data
    return await _one(sat, agent_id, tested=tested)


@router.get(HERE + "/{agent_id}/shadow")
async def shadow(sat: Reading, agent_id: str) -> Response:
    row = await _known(sat, agent_id)
    told = await sat.read(lambda read: api.report(agent_id, sat.caller, read))
    return sat.page("shadow", "agents", agent=row, here=f"{HERE}/{agent_id}", report=told.data)


@router.post(HERE + "/{agent_id}/pause", dependencies=OURS)
async def pause(sat: Writing, agent_id: str, reason: Annotated[str, Form(max_length=500)] = "") -> Response:
    await sat.change(lambda tx: brakes.pause(tx, sat.caller, "agent", agent_id, reason.strip() or None))
    return back(f"agents/{agent_id}", "paused")


@router.post(HERE + "/{agent_id}/resume", dependencies=OURS)
async def resume(sat: Writing, agent_id: str) -> Response:
    await sat.change(lambda tx: brakes.resume(tx, sat.caller, "agent", agent_id))
    return back(f"agents/{agent_id}", "resumed")

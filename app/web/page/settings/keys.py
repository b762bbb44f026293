"""API keys: shown once, when they are made."""

from fastapi import APIRouter
from starlette.responses import Response

from app.access import keys as access
from app.commands import api_keys as commands
from app.commands.directory import found
from app.domain.problems import NotFound, Problem
from app.store import api_keys
from app.store.engine import Tx
from app.web.directory.api_keys import KeyChange, NewKey, shape
from app.web.doors import Ring
from app.web.page import render
from app.web.page.settings import choices, desk, forms
from app.web.page.settings.desk import OURS, Desk, Item, Reading, Writing, back
from app.web.page.settings.forms import Field, Group
from app.web.paging import Paged

router = APIRouter(include_in_schema=False)
HERE = "/settings/keys"
ABOUT = "For your own systems and your agents, in the header X-API-Key."
SCOPES = [
    ("api", "api: send, read, leads, campaigns, numbers, agents"),
    ("read", "read: look at what api may look at"),
    ("agent", "agent: answer one agent's turns"),
    ("admin", "admin: everything, also keys, accounts and settings"),
]
LIMIT = Field(
    "requestsPerSecond",
    "Limit",
    "whole",
    unit="requests a second",
    hint="A bulk send counts its entries. Empty: any number.",
)
NEW = [
    Group(
        "Key",
        [
            Field("name", "Name", required=True, hint="Who uses it."),
            Field("scope", "Scope", "choice", required=True, choices=SCOPES),
            Field("smsAgentId", "SMS agent", "choice", hint="With scope agent only."),
            LIMIT,
        ],
    ),
]
KNOWN = [Group("Key", [Field("name", "Name", required=True), LIMIT])]


async def _new_groups(sat: Desk) -> list[Group]:
    agents = await sat.read(lambda read: choices.of_agents(read, sat.tenant_id))
    return forms.with_choices(NEW, smsAgentId=agents)


@router.get(HERE)
async def listed(sat: Reading, paged: Paged) -> Response:
    rows = await sat.read(lambda read: api_keys.listed(read, sat.tenant_id, paged.below(), paged.fetch))
    page, cursor = paged.cut(rows, lambda row: [row["key_id"]])
    zone = render.zone(sat.request)
    items = [
        Item(
            row["key_id"],
            row["name"],
            [
                f"{row['prefix']}_…",
                f"last used {render.ago(row['last_used_at'], zone)}" if row["last_used_at"] else "never used",
                f"{row['requests_per_second']} requests a second" if row["requests_per_second"] else "",
            ],
            [("stopped" if row["scope"] == "admin" else "", row["scope"])],
        )
        for row in page
    ]
    return sat.listed("keys", ABOUT, items, cursor, "No keys.", "Add a key")


@router.get(HERE + "/new")
async def new(sat: Reading) -> Response:
    made = {"scope": "api"}
    return _new(sat, desk.Form(f"{HERE}/new", await _new_groups(sat), made, {}, "Add"))


def _new(sat: Desk, form: desk.Form, status: int = 200) -> Response:
    about = "The key is made and shown once."
    return sat.page("form", "keys", status, title="New API key", about=about, form=form, removable=None)


@router.post(HERE + "/new", dependencies=OURS)
async def add(sat: Writing) -> Response:
    form = await forms.sent(sat.request, await _new_groups(sat))
    key = access.make()
    try:
        body = forms.body(NewKey, form.plain())

        async def work(tx: Tx) -> str:
            row = await commands.add(
                tx,
                sat.caller,
                body.name,
                body.scope,
                body.sms_agent_id,
                key.prefix,
                key.digest,
                body.requests_per_second,
            )
            return str(row["key_id"])

        _, fresh = await sat.add(form, work)
    except Problem as refused:
        return _new(sat, desk.refilled(form, f"{HERE}/new", refused, "Add"), refused.status)
    return sat.page(
        "once",
        "keys",
        title=f"{body.name} was added",
        about="This is the key.",
        label="API key",
        secret=key.whole if fresh else None,
        otherwise="Revoke it and add another one.",
        onward=HERE,
    )


@router.get(HERE + "/{key_id}")
async def one(sat: Reading, key_id: str) -> Response:
    return await _one(sat, key_id)


async def _one(sat: Desk, key_id: str, form: desk.Form | None = None, status: int = 200) -> Response:
    row = found(await sat.read(lambda read: api_keys.get(read, sat.tenant_id, key_id)))
    here = f"{HERE}/{key_id}"
    return sat.page(
        "form",
        "keys",
        status,
        title=row["name"],
        about=f"{row['prefix']}_… · {row['scope']}",
        form=form or desk.Form(here, KNOWN, forms.values(KNOWN, shape(row)), {}),
        here=here,
        removable="Revoke this key",
        removal_hint="Whoever uses it is turned away within five seconds.",
    )


@router.post(HERE + "/{key_id}", dependencies=OURS)
async def change(sat: Writing, key_id: str) -> Response:
    form = await forms.sent(sat.request, KNOWN)
    try:
        body = forms.body(KeyChange, form.plain())
        await sat.change(lambda tx: commands.change(tx, sat.caller, key_id, body.given()))
    except NotFound:
        raise
    except Problem as refused:
        again = desk.refilled(form, f"{HERE}/{key_id}", refused, "Save")
        return await _one(sat, key_id, again, refused.status)
    return back("keys", "saved")


@router.post(HERE + "/{key_id}/remove", dependencies=OURS)
async def revoke(sat: Writing, key_id: str, ring: Ring) -> Response:
    await sat.change(lambda tx: commands.revoke(tx, sat.caller, key_id))
    ring.forget(key_id)
    return back("keys", "revoked")

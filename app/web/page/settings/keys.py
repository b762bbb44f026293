"""API keys. A key is shown once, when it is created."""

from fastapi import APIRouter
from starlette.responses import Response

from app.access import keys as access
from app.commands import api_keys as commands
from app.commands.directory import require_found
from app.domain.problems import NotFound, Problem
from app.store import directory
from app.store.api_keys import NOT_REVOKED
from app.store.engine import Tx
from app.store.schema import ApiKey
from app.web.dependencies import AppKeyCache
from app.web.directory.api_keys import KeyChange, KeyShape, NewKey
from app.web.page import render
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
BASE_PATH = "/settings/keys"
ABOUT_TEXT = "For your systems and your agents. They send the key in the header X-API-Key."
SCOPE_CHOICES = [
    ("api", "api: send, read, leads, campaigns, numbers, agents"),
    ("read", "read: see what api can see, change nothing"),
    ("agent", "agent: answer one agent's turns"),
    ("admin", "admin: everything, including keys, accounts and settings"),
]
LIMIT_FIELD = Field(
    "requestsPerSecond",
    "Limit",
    "whole",
    unit="requests per second",
    hint="A bulk send counts as many requests as it has texts. If empty, no limit.",
)
NEW_GROUPS = [
    Group(
        "Key",
        [
            Field("name", "Name", required=True, hint="Who uses the key."),
            Field("scope", "Scope", "choice", required=True, choices=SCOPE_CHOICES),
            Field("smsAgentId", "SMS agent", "choice", hint="Only with the scope agent."),
            LIMIT_FIELD,
        ],
    ),
]
EDIT_GROUPS = [Group("Key", [Field("name", "Name", required=True), LIMIT_FIELD])]


async def _build_new_groups(admin: AdminRequest) -> list[Group]:
    agents = await admin.run_read(lambda read: choices.list_agents(read, admin.tenant_id))
    return forms.with_choices(NEW_GROUPS, smsAgentId=agents)


@router.get(BASE_PATH)
async def list_keys(admin: AdminGet, page_query: PageParams) -> Response:
    rows = await admin.run_read(
        lambda read: directory.list_page(
            read, ApiKey, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit, NOT_REVOKED
        )
    )
    page, cursor = page_query.cut_page(rows, lambda row: [row.key_id])
    zone = render.get_zone(admin.request)
    items = [
        Item(
            row.key_id,
            row.name,
            [
                f"{row.prefix}_…",
                f"last used {render.format_ago(row.last_used_at, zone)}" if row.last_used_at else "never used",
                f"{row.requests_per_second} requests per second" if row.requests_per_second else "",
            ],
            [("stopped" if row.scope == "admin" else "", row.scope)],
        )
        for row in page
    ]
    return admin.show_list("keys", ABOUT_TEXT, items, cursor, "No keys yet.", "Add a key")


@router.get(BASE_PATH + "/new")
async def show_new_form(admin: AdminGet) -> Response:
    initial_values = {"scope": "api"}
    return _render_new_form(
        admin,
        admin_request.Form(f"{BASE_PATH}/new", await _build_new_groups(admin), initial_values, {}, "Add"),
    )


def _render_new_form(admin: AdminRequest, form: admin_request.Form, status: int = 200) -> Response:
    about = "The key is created and shown once."
    return admin.show_page("form", "keys", status, title="New API key", about=about, form=form, removable=None)


@router.post(BASE_PATH + "/new", dependencies=FORM_CHECKS)
async def add_key(admin: AdminPost) -> Response:
    form = await forms.read_form(admin.request, await _build_new_groups(admin))
    key = access.make()
    try:
        body = forms.parse_body(NewKey, form.get_plain_values())

        async def add_row(tx: Tx) -> str:
            row = await commands.add(
                tx,
                admin.caller,
                body.name,
                body.scope,
                body.sms_agent_id,
                key.prefix,
                key.digest,
                body.requests_per_second,
            )
            return str(row.key_id)

        _, is_new = await admin.run_once(form, add_row)
    except Problem as problem:
        return _render_new_form(
            admin,
            admin_request.refill_form(form, f"{BASE_PATH}/new", problem, "Add"),
            problem.status,
        )
    return admin.show_page(
        "once",
        "keys",
        title=f"{body.name} was added",
        about="This is the new key.",
        label="API key",
        secret=key.full_key if is_new else None,
        otherwise="Revoke this key and add another one.",
        onward=BASE_PATH,
    )


@router.get(BASE_PATH + "/{key_id}")
async def show_key(admin: AdminGet, key_id: str) -> Response:
    return await _render_key(admin, key_id)


async def _render_key(
    admin: AdminRequest, key_id: str, form: admin_request.Form | None = None, status: int = 200
) -> Response:
    row = require_found(
        await admin.run_read(lambda read: directory.get(read, ApiKey, admin.tenant_id, key_id, NOT_REVOKED))
    )
    here = f"{BASE_PATH}/{key_id}"
    return admin.show_page(
        "form",
        "keys",
        status,
        title=row.name,
        about=f"{row.prefix}_… · {row.scope}",
        form=form or admin_request.Form(here, EDIT_GROUPS, forms.get_values(EDIT_GROUPS, KeyShape.of(row)), {}),
        here=here,
        removable="Revoke this key",
        removal_hint="Requests with this key are refused within five seconds.",
    )


@router.post(BASE_PATH + "/{key_id}", dependencies=FORM_CHECKS)
async def change_key(admin: AdminPost, key_id: str) -> Response:
    form = await forms.read_form(admin.request, EDIT_GROUPS)
    try:
        body = forms.parse_body(KeyChange, form.get_plain_values())
        await admin.run_change(lambda tx: commands.change(tx, admin.caller, key_id, body.get_named_fields()))
    except NotFound:
        raise
    except Problem as problem:
        refilled_form = admin_request.refill_form(form, f"{BASE_PATH}/{key_id}", problem, "Save")
        return await _render_key(admin, key_id, refilled_form, problem.status)
    return redirect_back("keys", "saved")


@router.post(BASE_PATH + "/{key_id}/remove", dependencies=FORM_CHECKS)
async def revoke_key(admin: AdminPost, key_id: str, key_cache: AppKeyCache) -> Response:
    await admin.run_change(lambda tx: commands.revoke(tx, admin.caller, key_id))
    key_cache.forget(key_id)
    return redirect_back("keys", "revoked")

"""API keys. A key is shown once, when it is created."""

from starlette.responses import Response

from app.access import keys as access
from app.commands import api_keys as commands
from app.commands.directory import require_found
from app.store import directory
from app.store.api_keys import NOT_REVOKED
from app.store.engine import ReadTx
from app.store.schema import ApiKey
from app.web.dependencies import AppKeyCache
from app.web.directory.api_keys import KeyChange, KeyShape, NewKey
from app.web.page import forms, times
from app.web.page.forms import Field, Heading, SubmittedForm, group_fields
from app.web.page.settings import choices
from app.web.page.settings.admin_request import AdminPost, AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, build_router
from app.web.paging import PageQuery

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
NEW_GROUPS = group_fields(
    Heading("Key"),
    Field("name", "Name", required=True, hint="Who uses the key."),
    Field("scope", "Scope", "choice", required=True, choices=SCOPE_CHOICES),
    Field("smsAgentId", "SMS agent", "choice", hint="Only with the scope agent."),
    LIMIT_FIELD,
)
EDIT_GROUPS = group_fields(Heading("Key"), Field("name", "Name", required=True), LIMIT_FIELD)


async def list_keys(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    below, limit = page_query.get_id_below(), page_query.fetch_limit
    rows = await directory.list_page(read, ApiKey, admin.tenant_id, below, limit, NOT_REVOKED)
    zone = times.get_zone(admin.request)
    return [
        Item(
            row.key_id,
            row.name,
            [
                f"{row.prefix}_…",
                f"last used {times.format_when(row.last_used_at, zone)}" if row.last_used_at else "never used",
                f"{row.requests_per_second} requests per second" if row.requests_per_second else "",
            ],
            [("stopped" if row.scope == "admin" else "", row.scope)],
        )
        for row in rows
    ]


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    groups = forms.with_choices(NEW_GROUPS, smsAgentId=await choices.list_agents(read, admin.tenant_id))
    return FormPage("New API key", groups, {"scope": "api"}, about="The key is created and shown once.")


async def build_key_page(admin: AdminRequest, read: ReadTx, key_id: str) -> FormPage:
    row = require_found(await directory.get(read, ApiKey, admin.tenant_id, key_id, NOT_REVOKED))
    about = f"{row.prefix}_… · {row.scope}"
    return FormPage(row.name, EDIT_GROUPS, forms.get_values(EDIT_GROUPS, KeyShape.of(row)), about)


async def add_key(admin: AdminRequest, form: SubmittedForm) -> Response:
    key = access.make(admin.resources.settings.cell)
    body = form.parse_body(NewKey)
    _, is_new = await admin.run_once(
        form,
        lambda tx: commands.add(
            tx, admin.caller, body.name, body.scope, body.sms_agent_id, key.prefix, key.digest, body.requests_per_second
        ),
        lambda row: row.key_id,
    )
    return admin.show_page(
        "once",
        "keys",
        title=f"{body.name} was added",
        about="This is the new key.",
        label="API key",
        secret=key.full_key if is_new else None,
        otherwise="Revoke this key and add another one.",
        onward="/settings/keys",
    )


async def change_key(admin: AdminRequest, key_id: str, form: SubmittedForm) -> Response:
    fields = form.parse_body(KeyChange).get_named_fields()
    await admin.run_change(lambda tx: commands.change(tx, admin.caller, key_id, fields))
    return redirect_back("keys", "saved")


PAGE = SettingsPage(
    "keys",
    about="For your systems and your agents. They send the key in the header X-API-Key.",
    empty_text="No keys yet. Add one for each system that sends or reads.",
    add_label="Add a key",
    list_items=list_keys,
    build_new_page=build_new_page,
    build_item_page=build_key_page,
    add=add_key,
    change=change_key,
    removal_label="Revoke this key",
    removal_hint="Requests with this key are refused within five seconds.",
)
router = build_router(PAGE)


@router.post("/{key_id}/remove")
async def revoke_key(admin: AdminPost, key_id: str, key_cache: AppKeyCache) -> Response:
    await admin.run_change(lambda tx: commands.revoke(tx, admin.caller, key_id))
    key_cache.forget(key_id)
    return redirect_back("keys", "revoked")

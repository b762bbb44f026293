"""Provider accounts: credentials, webhook check and number sync."""

import re
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.commands import accounts as commands
from app.commands.directory import require_found
from app.domain.problems import NotFound, Problem
from app.providers import REGISTRY
from app.store import directory
from app.store.engine import Tx
from app.store.schema import ProviderAccount
from app.web.directory import vendor
from app.web.directory.provider_accounts import (
    AccountChange,
    AccountShape,
    NewAccount,
    build_shape,
    require_real,
    seal_credentials,
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
BASE_PATH = "/settings/accounts"
ABOUT_TEXT = "Your accounts with carriers. Texts are sent and received through them."
ABBREVIATIONS = {"sid": "SID", "id": "ID", "api": "API"}
MULTILINE_KEYS = {"privateKey", "publicKey"}
"""Credentials with several lines: they get a text area."""


def build_groups(provider: str, hints: dict[str, str] | None = None) -> list[Group]:
    """Returns the form of an account with this provider. `hints` are the last characters of its stored
    credentials; None for a new account."""
    carrier = REGISTRY[provider]
    credentials = [
        _build_credential_field(name, name in carrier.OPTIONAL_CREDENTIALS, hints)
        for name in (*carrier.CREDENTIALS, *carrier.OPTIONAL_CREDENTIALS)
    ]
    hint = "Stored encrypted and never shown again."
    if hints:
        hint += " Leave a field empty to keep its value."
    return [
        Group(
            "Account",
            [
                Field("name", "Name", required=True),
                Field(
                    "default",
                    "The default account with this provider",
                    "switch",
                    hint="There is always one default account. To change it, make another account the default.",
                ),
                Field("active", "Active", "switch"),
                Field("baseUrl", "Address of its API", hint="If empty, the provider's own address."),
            ],
        ),
        Group("Credentials", credentials, hint),
    ]


def _build_credential_field(name: str, optional: bool, hints: dict[str, str] | None) -> Field:
    stored_hint = (hints or {}).get(name)
    return Field(
        f"credentials.{name}",
        _build_label(name) + (" (optional)" if optional else ""),
        "secret",
        hint=f"Stored: {stored_hint}" if stored_hint else "",
        required=not optional and not stored_hint,
        lines=4 if name in MULTILINE_KEYS else 1,
    )


def _build_label(name: str) -> str:
    """Returns the label of a credential: "Account SID" for accountSid."""
    words = re.sub(r"([A-Z])", r" \1", name).lower().split()
    first, *more_words = [ABBREVIATIONS.get(word, word) for word in words]
    return " ".join([first[:1].upper() + first[1:], *more_words])


@router.get(BASE_PATH)
async def list_accounts(admin: AdminGet, page_query: PageParams) -> Response:
    rows = await admin.run_read(
        lambda read: directory.list_page(
            read, ProviderAccount, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
        )
    )
    page, cursor = page_query.cut_page(rows, lambda row: [row.account_id])
    items = [
        Item(
            row.account_id,
            row.name,
            [choices.PROVIDER_NAMES[row.provider], row.account_id],
            [("agent", "Default")] * row.is_default
            + [("failed", "Missed texts not fetched")] * bool(row.missing_since and row.failing_since)
            + [("off", "Inactive")] * (not row.active),
        )
        for row in page
    ]
    return admin.show_list("accounts", ABOUT_TEXT, items, cursor, "No accounts yet.", "Add an account")


@router.get(BASE_PATH + "/new")
async def show_new_form(admin: AdminGet, provider: str = "") -> Response:
    if provider not in REGISTRY:
        return admin.show_page("providers", "accounts", providers=choices.PROVIDERS)
    initial_values = {"active": True, "name": choices.PROVIDER_NAMES[provider]}
    return _render_new_form(
        admin,
        provider,
        admin_request.Form(_get_action(provider), build_groups(provider), initial_values, {}, "Add"),
    )


def _get_action(provider: str) -> str:
    return f"{BASE_PATH}/new?provider={provider}"


def _render_new_form(admin: AdminRequest, provider: str, form: admin_request.Form, status: int = 200) -> Response:
    title = f"New account with {choices.PROVIDER_NAMES[provider]}"
    return admin.show_page("form", "accounts", status, title=title, about=None, form=form, removable=None)


@router.post(BASE_PATH + "/new", dependencies=FORM_CHECKS)
async def add_account(admin: AdminPost, provider: str) -> Response:
    if provider not in REGISTRY:
        raise NotFound
    form = await forms.read_form(admin.request, build_groups(provider))
    plain = form.get_plain_values() | {"provider": provider}
    plain.setdefault("credentials", {})
    if not plain["default"]:
        del plain["default"]  # the first account becomes the default in any case
    try:
        require_real(provider, admin.resources)
        body = forms.parse_body(NewAccount, plain)
        fields = {name: value for name, value in body.get_named_fields().items() if value is not None}

        async def add_row(tx: Tx) -> str:
            row = await commands.add(tx, admin.caller, seal_credentials(fields, provider, admin.resources))
            return str(row.account_id)

        account_id, _ = await admin.run_once(form, add_row)
    except Problem as problem:
        refilled_form = admin_request.refill_form(form, _get_action(provider), problem, "Add")
        return _render_new_form(admin, provider, refilled_form, problem.status)
    return redirect_back(f"accounts/{account_id}", "added")


@router.get(BASE_PATH + "/{account_id}")
async def show_account(admin: AdminGet, account_id: str) -> Response:
    return await _render_account(admin, account_id)


async def _get_account(admin: AdminRequest, account_id: str) -> AccountShape:
    row = await admin.run_read(lambda read: directory.get(read, ProviderAccount, admin.tenant_id, account_id))
    return build_shape(require_found(row), admin.resources)


async def _render_account(
    admin: AdminRequest,
    account_id: str,
    form: admin_request.Form | None = None,
    status: int = 200,
    **results: Any,
) -> Response:
    account = await _get_account(admin, account_id)
    fields = build_groups(account.provider, account.credentials)
    here = f"{BASE_PATH}/{account_id}"
    return admin.show_page(
        "account",
        "accounts",
        status,
        title=account.name,
        about=choices.PROVIDER_NAMES[account.provider],
        account=account,
        form=form or admin_request.Form(here, fields, forms.get_values(fields, account), {}),
        here=here,
        removable="Remove this account",
        removal_hint="Only an account without numbers can be removed. You can make it inactive instead.",
        told={"synced": None, "checked": None, "refused": None} | results,
    )


@router.post(BASE_PATH + "/{account_id}", dependencies=FORM_CHECKS)
async def change_account(admin: AdminPost, account_id: str) -> Response:
    account = await _get_account(admin, account_id)
    form = await forms.read_form(admin.request, build_groups(account.provider, account.credentials))
    plain = form.get_plain_values()
    if not plain["default"] and account.is_default:
        del plain["default"]
    try:
        body = forms.parse_body(AccountChange, plain)
        await admin.run_change(lambda tx: _apply_change(admin, tx, account_id, body))
    except NotFound:
        raise
    except Problem as problem:
        refilled_form = admin_request.refill_form(form, f"{BASE_PATH}/{account_id}", problem, "Save")
        return await _render_account(admin, account_id, refilled_form, problem.status)
    return redirect_back(f"accounts/{account_id}", "saved")


async def _apply_change(admin: AdminRequest, tx: Tx, account_id: str, body: AccountChange) -> None:
    """Applies the change. Credentials that were left empty keep their stored value."""
    row = require_found(await directory.get(tx, ProviderAccount, admin.tenant_id, account_id))
    fields = body.get_named_fields()
    if body.credentials:
        current_credentials = admin.resources.seal.open_account(row).credentials
        fields["credentials"] = {**current_credentials, **body.credentials}
    await commands.change(tx, admin.caller, account_id, seal_credentials(fields, row.provider, admin.resources))


@router.post(BASE_PATH + "/{account_id}/remove", dependencies=FORM_CHECKS)
async def remove_account(admin: AdminPost, account_id: str) -> Response:
    try:
        await admin.run_change(lambda tx: commands.remove(tx, admin.caller, account_id))
    except NotFound:
        raise
    except Problem as problem:
        return await _render_account(admin, account_id, None, problem.status, refused=problem)
    return redirect_back("accounts", "removed")


@router.post(BASE_PATH + "/{account_id}/sync", dependencies=FORM_CHECKS)
async def sync_numbers(admin: AdminPost, account_id: str) -> Response:
    """Syncs with the vendor, with no transaction open."""
    try:
        synced = await vendor.sync_numbers(admin.resources, admin.caller, account_id)
    except NotFound:
        raise
    except Problem as problem:
        return await _render_account(admin, account_id, None, problem.status, refused=problem)
    return await _render_account(admin, account_id, synced=synced)


@router.post(BASE_PATH + "/{account_id}/check", dependencies=FORM_CHECKS)
async def check_webhooks(admin: AdminPost, account_id: str) -> Response:
    """Checks at the vendor, with no transaction open."""
    try:
        checked = await vendor.check_webhooks(admin.resources, admin.tenant_id, account_id)
    except NotFound:
        raise
    except Problem as problem:
        return await _render_account(admin, account_id, None, problem.status, refused=problem)
    return await _render_account(admin, account_id, checked=checked)

"""Provider accounts: credentials, webhook check and number sync."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import Response

from app.calls import carriers
from app.commands import accounts as commands
from app.commands.directory import require_found, require_url
from app.domain.carriage import Account
from app.domain.problems import Invalid, Problem
from app.domain.reach import find_reach_fault
from app.providers import REGISTRY
from app.resources import Resources
from app.store import directory
from app.store.engine import ReadTx, Tx
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
from app.web.page import forms
from app.web.page.forms import Field, Group, Heading, SubmittedForm, group_fields
from app.web.page.settings import choices
from app.web.page.settings.admin_request import AdminPost, AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, build_router, show_item
from app.web.paging import PageQuery

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
    return group_fields(
        Heading("Account"),
        Field("name", "Name", required=True),
        Field(
            "default",
            "The default account with this provider",
            "switch",
            hint="There is always one default account. To change it, make another account the default.",
        ),
        Field("active", "Active", "switch"),
        Field("baseUrl", "Address of its API", hint="If empty, the provider's own address."),
        Heading("Credentials", hint),
        *credentials,
    )


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


async def list_accounts(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    return [
        Item(
            row.account_id,
            row.name,
            [choices.PROVIDER_NAMES[row.provider], row.account_id],
            [("agent", "Default")] * row.is_default
            + [("stopped", "Paused")] * bool(row.paused_at)
            + [("failed", "Missed texts not fetched")] * bool(row.missing_since and row.failing_since)
            + [("off", "Inactive")] * (not row.active),
        )
        for row in await directory.list_page(
            read, ProviderAccount, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
        )
    ]


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    provider = _get_provider(admin)
    if provider not in REGISTRY:
        return FormPage("New account", [], {}, template="providers", context={"providers": choices.PROVIDERS})
    name = choices.PROVIDER_NAMES[provider]
    return FormPage(
        f"New account with {name}",
        build_groups(provider),
        {"active": True, "name": name},
        action=f"/settings/accounts/new?provider={provider}",
        submits=("Check and add", "Add without a check"),
    )


def _get_provider(admin: AdminRequest) -> str:
    return admin.request.query_params.get("provider", "")


async def _get_account(admin: AdminRequest, read: ReadTx, account_id: str) -> AccountShape:
    return build_shape(
        require_found(await directory.get(read, ProviderAccount, admin.tenant_id, account_id)), admin.resources
    )


async def build_account_page(admin: AdminRequest, read: ReadTx, account_id: str) -> FormPage:
    account = await _get_account(admin, read, account_id)
    groups = build_groups(account.provider, account.credentials)
    return FormPage(
        account.name,
        groups,
        forms.get_values(groups, account),
        about=choices.PROVIDER_NAMES[account.provider],
        submits=("Check and save", "Save without a check"),
        template="account",
        context={"account": account, "reach_fault": describe_reach_fault(admin.resources, account.provider)},
    )


def describe_reach_fault(resources: Resources, provider: str) -> str | None:
    """Why the carrier may not reach the webhooks, and what to do; None: nothing speaks against it."""
    fault = find_reach_fault(resources.settings.base_url)
    if fault is None or provider == "simulator":  # it runs beside the service
        return None
    return f"{fault} Whoever runs this service sets PUBLIC_BASE_URL to its public https address."


async def add_account(admin: AdminRequest, form: SubmittedForm) -> Response:
    provider = _get_provider(admin)
    plain = {"credentials": {}} | form.get_plain_values() | {"provider": provider}
    if not plain["default"]:
        del plain["default"]  # the first account becomes the default in any case
    require_real(provider, admin.resources)
    body = forms.parse_body(NewAccount, plain)
    fields = {name: value for name, value in body.get_named_fields().items() if value is not None}
    sealed_fields = seal_credentials(fields, provider, admin.resources)
    await _require_good_credentials(admin, form, provider, body.credentials, body.base_url)
    account_id, _ = await admin.run_once(
        form,
        lambda tx: commands.add(tx, admin.caller, sealed_fields, admin.resources.settings.cell),
        lambda row: row.account_id,
    )
    return redirect_back(f"accounts/{account_id}", "added")


async def change_account(admin: AdminRequest, account_id: str, form: SubmittedForm) -> Response:
    account = await admin.run_read(lambda read: _get_account(admin, read, account_id))
    plain = form.get_plain_values()
    if not plain["default"] and account.is_default:
        del plain["default"]
    body = forms.parse_body(AccountChange, plain)
    await _check_change(admin, form, account_id, body)
    await admin.run_change(lambda tx: _apply_change(admin, tx, account_id, body))
    return redirect_back(f"accounts/{account_id}", "saved")


async def _check_change(admin: AdminRequest, form: SubmittedForm, account_id: str, body: AccountChange) -> None:
    """Checks the credentials if the change is about how the carrier is reached."""
    row = require_found(
        await admin.run_read(lambda read: directory.get(read, ProviderAccount, admin.tenant_id, account_id))
    )
    if body.credentials or body.base_url != row.base_url:
        credentials = {**admin.resources.seal.open_account(row).credentials, **(body.credentials or {})}
        seal_credentials({"credentials": credentials}, row.provider, admin.resources)
        await _require_good_credentials(admin, form, row.provider, credentials, body.base_url)


async def _require_good_credentials(
    admin: AdminRequest, form: SubmittedForm, provider: str, credentials: Mapping[str, str], base_url: str | None
) -> None:
    """Asks the carrier, with no transaction open, unless the form says not to. Raises `Invalid`."""
    if form.data.get("unchecked"):
        return
    if base_url is not None:
        require_url(base_url, "baseUrl")
    account = Account(admin.tenant_id, "", provider, credentials, base_url)
    fault = await carriers.find_credential_fault(admin.resources.wire, account, datetime.now(UTC))
    if fault:
        raise Invalid(details=[f"{fault}. Correct them, or save without a check"])


async def _apply_change(admin: AdminRequest, tx: Tx, account_id: str, body: AccountChange) -> None:
    """Applies the change. Credentials that were left empty keep their stored value."""
    row = require_found(await directory.get(tx, ProviderAccount, admin.tenant_id, account_id))
    fields = body.get_named_fields()
    if body.credentials:
        current_credentials = admin.resources.seal.open_account(row).credentials
        fields["credentials"] = {**current_credentials, **body.credentials}
    await commands.change(tx, admin.caller, account_id, seal_credentials(fields, row.provider, admin.resources))


PAGE = SettingsPage(
    "accounts",
    about="Your accounts with carriers. Texts are sent and received through them.",
    empty_text="No accounts yet. Add the one that you have with a carrier: one click takes over its numbers.",
    add_label="Add an account",
    list_items=list_accounts,
    build_new_page=build_new_page,
    build_item_page=build_account_page,
    add=add_account,
    change=change_account,
    remove=commands.remove,
    removal_label="Remove this account",
    removal_hint="Only an account without numbers can be removed. You can make it inactive instead.",
)
router = build_router(PAGE)


@router.post("/{account_id}/sync")
async def sync_numbers(admin: AdminPost, account_id: str) -> Response:
    """Syncs with the vendor, with no transaction open."""
    try:
        counts = await vendor.sync_numbers(admin.resources, admin.caller, account_id)
    except Problem as problem:
        return await show_item(admin, PAGE, account_id, problem)
    return await show_item(admin, PAGE, account_id, synced=counts)


@router.post("/{account_id}/check")
async def check_webhooks(admin: AdminPost, account_id: str) -> Response:
    """Checks at the vendor, with no transaction open."""
    try:
        check = await vendor.check_webhooks(admin.resources, admin.tenant_id, account_id)
    except Problem as problem:
        return await show_item(admin, PAGE, account_id, problem)
    return await show_item(admin, PAGE, account_id, checked=check)

"""Accounts with providers: credentials go in and are not shown again; what the vendor tells."""

import re
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from app.commands import accounts as commands
from app.commands.directory import found
from app.domain.problems import NotFound, Problem
from app.providers import REGISTRY
from app.store import accounts
from app.store.engine import Tx
from app.web.directory import vendor
from app.web.directory.provider_accounts import (
    AccountChange,
    AccountShape,
    NewAccount,
    require_real,
    sealed,
    shape,
)
from app.web.page.settings import choices, desk, forms
from app.web.page.settings.desk import OURS, Desk, Item, Reading, Writing, back
from app.web.page.settings.forms import Field, Group
from app.web.paging import Paged

router = APIRouter(include_in_schema=False)
HERE = "/settings/accounts"
ABOUT = "Your accounts with carriers: through them texts leave and come in."
SPELLED = {"sid": "SID", "id": "ID", "api": "API"}
LONG = {"privateKey", "publicKey"}
"""Keys of several lines."""


def groups(provider: str, hints: dict[str, str] | None = None) -> list[Group]:
    """The form of an account with this provider; `hints` are what is kept of its credentials."""
    carrier = REGISTRY[provider]
    credentials = [
        _credential(name, name in carrier.OPTIONAL, hints) for name in (*carrier.CREDENTIALS, *carrier.OPTIONAL)
    ]
    told = "Sealed when they are kept, and not shown again."
    if hints:
        told += " What is left empty stays as it is."
    return [
        Group(
            "Account",
            [
                Field("name", "Name", required=True),
                Field(
                    "default",
                    "The default account with this provider",
                    "switch",
                    hint="There is always one: another takes its place when it is made so.",
                ),
                Field("active", "Active", "switch"),
                Field("baseUrl", "Address of its API", hint="Empty: the provider's own."),
            ],
        ),
        Group("Credentials", credentials, told),
    ]


def _credential(name: str, optional: bool, hints: dict[str, str] | None) -> Field:
    kept = (hints or {}).get(name)
    return Field(
        f"credentials.{name}",
        _label(name) + (" (optional)" if optional else ""),
        "secret",
        hint=f"Kept: {kept}" if kept else "",
        required=not optional and not kept,
        lines=4 if name in LONG else 1,
    )


def _label(name: str) -> str:
    """accountSid: Account SID."""
    words = re.sub(r"([A-Z])", r" \1", name).lower().split()
    first, *rest = [SPELLED.get(word, word) for word in words]
    return " ".join([first[:1].upper() + first[1:], *rest])


@router.get(HERE)
async def listed(sat: Reading, paged: Paged) -> Response:
    rows = await sat.read(lambda read: accounts.listed(read, sat.tenant_id, paged.below(), paged.fetch))
    page, cursor = paged.cut(rows, lambda row: [row["account_id"]])
    items = [
        Item(
            row["account_id"],
            row["name"],
            [choices.PROVIDER_NAMES[row["provider"]], row["account_id"]],
            [("agent", "Default")] * row["is_default"]
            + [("failed", "Missed texts not fetched")] * bool(row["missing_since"] and row["failing_since"])
            + [("off", "Inactive")] * (not row["active"]),
        )
        for row in page
    ]
    return sat.listed("accounts", ABOUT, items, cursor, "No accounts yet.", "Add an account")


@router.get(HERE + "/new")
async def new(sat: Reading, provider: str = "") -> Response:
    if provider not in REGISTRY:
        return sat.page("providers", "accounts", providers=choices.PROVIDERS)
    made = {"active": True, "name": choices.PROVIDER_NAMES[provider]}
    return _new(sat, provider, desk.Form(_action(provider), groups(provider), made, {}, "Add"))


def _action(provider: str) -> str:
    return f"{HERE}/new?provider={provider}"


def _new(sat: Desk, provider: str, form: desk.Form, status: int = 200) -> Response:
    title = f"New account with {choices.PROVIDER_NAMES[provider]}"
    return sat.page("form", "accounts", status, title=title, about=None, form=form, removable=None)


@router.post(HERE + "/new", dependencies=OURS)
async def add(sat: Writing, provider: str) -> Response:
    if provider not in REGISTRY:
        raise NotFound
    form = await forms.sent(sat.request, groups(provider))
    plain = form.plain() | {"provider": provider}
    plain.setdefault("credentials", {})
    if not plain["default"]:
        del plain["default"]  # the first one is the default, ticked or not
    try:
        require_real(provider, sat.held)
        body = forms.body(NewAccount, plain)
        given = {name: value for name, value in body.given().items() if value is not None}

        async def work(tx: Tx) -> str:
            row = await commands.add(tx, sat.caller, sealed(given, provider, sat.held))
            return str(row["account_id"])

        account_id, _ = await sat.add(form, work)
    except Problem as refused:
        again = desk.refilled(form, _action(provider), refused, "Add")
        return _new(sat, provider, again, refused.status)
    return back(f"accounts/{account_id}", "added")


@router.get(HERE + "/{account_id}")
async def one(sat: Reading, account_id: str) -> Response:
    return await _one(sat, account_id)


async def _known(sat: Desk, account_id: str) -> AccountShape:
    row = await sat.read(lambda read: accounts.get(read, sat.tenant_id, account_id))
    return shape(found(row), sat.held)


async def _one(
    sat: Desk,
    account_id: str,
    form: desk.Form | None = None,
    status: int = 200,
    **told: Any,
) -> Response:
    account = await _known(sat, account_id)
    fields = groups(account.provider, account.credentials)
    here = f"{HERE}/{account_id}"
    return sat.page(
        "account",
        "accounts",
        status,
        title=account.name,
        about=choices.PROVIDER_NAMES[account.provider],
        account=account,
        form=form or desk.Form(here, fields, forms.values(fields, account), {}),
        here=here,
        removable="Remove this account",
        removal_hint="Only an account without numbers can be removed; switch it off instead.",
        told={"synced": None, "checked": None, "refused": None} | told,
    )


@router.post(HERE + "/{account_id}", dependencies=OURS)
async def change(sat: Writing, account_id: str) -> Response:
    account = await _known(sat, account_id)
    form = await forms.sent(sat.request, groups(account.provider, account.credentials))
    plain = form.plain()
    if not plain["default"] and account.default:
        del plain["default"]
    try:
        body = forms.body(AccountChange, plain)
        await sat.change(lambda tx: _change(sat, tx, account_id, body))
    except NotFound:
        raise
    except Problem as refused:
        again = desk.refilled(form, f"{HERE}/{account_id}", refused, "Save")
        return await _one(sat, account_id, again, refused.status)
    return back(f"accounts/{account_id}", "saved")


async def _change(sat: Desk, tx: Tx, account_id: str, body: AccountChange) -> None:
    """What was typed of the credentials takes the place of what is kept, and the rest stays."""
    row = found(await accounts.get(tx, sat.tenant_id, account_id))
    given = body.given()
    if body.credentials:
        kept = sat.held.seal.open_account(row).credentials
        given["credentials"] = {**kept, **body.credentials}
    await commands.change(tx, sat.caller, account_id, sealed(given, row["provider"], sat.held))


@router.post(HERE + "/{account_id}/remove", dependencies=OURS)
async def remove(sat: Writing, account_id: str) -> Response:
    try:
        await sat.change(lambda tx: commands.remove(tx, sat.caller, account_id))
    except NotFound:
        raise
    except Problem as refused:
        return await _one(sat, account_id, None, refused.status, refused=refused)
    return back("accounts", "removed")


@router.post(HERE + "/{account_id}/sync", dependencies=OURS)
async def sync(sat: Writing, account_id: str) -> Response:
    """Asks the vendor, with no transaction open."""
    try:
        synced = await vendor.sync(account_id, sat.caller, sat.held)
    except NotFound:
        raise
    except Problem as refused:
        return await _one(sat, account_id, None, refused.status, refused=refused)
    return await _one(sat, account_id, synced=synced.data)


@router.post(HERE + "/{account_id}/check", dependencies=OURS)
async def check(sat: Writing, account_id: str) -> Response:
    """Asks the vendor, with no transaction open."""
    try:
        checked = await vendor.check(account_id, sat.caller, sat.held)
    except NotFound:
        raise
    except Problem as refused:
        return await _one(sat, account_id, None, refused.status, refused=refused)
    return await _one(sat, account_id, checked=checked.data)

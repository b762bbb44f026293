"""Phone numbers of the organization."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.responses import Response

from app.commands import brakes
from app.commands import numbers as commands
from app.commands.directory import require_found
from app.domain.phones import format_phone
from app.domain.problems import NotFound, Problem
from app.store import directory
from app.store.engine import Tx
from app.store.schema import PhoneNumber
from app.web.directory.phone_numbers import NewNumber, NumberChange, NumberShape
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
BASE_PATH = "/settings/numbers"
ABOUT_TEXT = "The numbers that send and receive texts. A sync on an account's page adds all its numbers."
CAPABILITY_CHOICES = [("sms", "SMS"), ("mms", "MMS"), ("voice", "Voice")]
GROUPS = [
    Group(
        "Number",
        [
            Field("phoneNumber", "Phone number", required=True, hint="In any common format."),
            Field("label", "Label"),
            Field(
                "providerAccountId",
                "Account",
                "choice",
                hint="If empty, texts go through any account of the preferred provider.",
            ),
            Field("capabilities", "Can do", "several", choices=CAPABILITY_CHOICES),
            Field(
                "messagesPerSecond",
                "Pace",
                "decimal",
                unit="segments per second",
                hint="If empty, the provider's default for this type of number.",
            ),
            Field("active", "Active", "switch"),
        ],
    ),
]


async def _build_groups(admin: AdminRequest, is_existing: bool) -> list[Group]:
    account_choices = await admin.run_read(lambda read: choices.list_accounts(read, admin.tenant_id))
    groups = forms.with_choices(GROUPS, providerAccountId=account_choices)
    return forms.drop_fields(groups, "phoneNumber") if is_existing else groups


@router.get(BASE_PATH)
async def list_numbers(admin: AdminGet, page_query: PageParams) -> Response:
    rows = await admin.run_read(
        lambda read: directory.list_page(
            read, PhoneNumber, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
        )
    )
    names = dict(await admin.run_read(lambda read: choices.list_accounts(read, admin.tenant_id)))
    page, cursor = page_query.cut_page(rows, lambda row: [row.phone_number_id])
    items = [
        Item(
            row.phone_number_id,
            format_phone(row.phone_number),
            [row.label or "", names.get(row.account_id, ""), ", ".join(row.capabilities)],
            [("stopped", "Paused")] * bool(row.paused_at) + [("off", "Inactive")] * (not row.active),
        )
        for row in page
    ]
    return admin.show_list("numbers", ABOUT_TEXT, items, cursor, "No numbers yet.", "Add a number")


@router.get(BASE_PATH + "/new")
async def show_new_form(admin: AdminGet) -> Response:
    initial_values = {"active": True, "capabilities": ["sms"]}
    return _render_new_form(
        admin,
        admin_request.Form(f"{BASE_PATH}/new", await _build_groups(admin, False), initial_values, {}, "Add"),
    )


def _render_new_form(admin: AdminRequest, form: admin_request.Form, status: int = 200) -> Response:
    return admin.show_page("form", "numbers", status, title="New number", about=None, form=form, removable=None)


@router.post(BASE_PATH + "/new", dependencies=FORM_CHECKS)
async def add_number(admin: AdminPost) -> Response:
    form = await forms.read_form(admin.request, await _build_groups(admin, False))
    try:
        body = forms.parse_body(NewNumber, form.get_plain_values())

        async def add_row(tx: Tx) -> str:
            return str((await commands.add(tx, admin.caller, body.get_named_fields())).phone_number_id)

        await admin.run_once(form, add_row)
    except Problem as problem:
        return _render_new_form(
            admin,
            admin_request.refill_form(form, f"{BASE_PATH}/new", problem, "Add"),
            problem.status,
        )
    return redirect_back("numbers", "added")


@router.get(BASE_PATH + "/{number_id}")
async def show_number(admin: AdminGet, number_id: str) -> Response:
    return await _render_number(admin, number_id)


async def _render_number(
    admin: AdminRequest,
    number_id: str,
    form: admin_request.Form | None = None,
    status: int = 200,
    **results: Any,
) -> Response:
    row = require_found(await admin.run_read(lambda read: directory.get(read, PhoneNumber, admin.tenant_id, number_id)))
    groups = await _build_groups(admin, True)
    here = f"{BASE_PATH}/{number_id}"
    return admin.show_page(
        "braked",
        "numbers",
        status,
        title=format_phone(row.phone_number),
        about=row.label,
        form=form or admin_request.Form(here, groups, forms.get_values(groups, NumberShape.of(row)), {}),
        here=here,
        braked=row,
        what="the texts of this number",
        removable="Remove this number",
        removal_hint="Only a number without conversations can be removed. You can make it inactive instead.",
        told={"refused": None} | results,
    )


@router.post(BASE_PATH + "/{number_id}", dependencies=FORM_CHECKS)
async def change_number(admin: AdminPost, number_id: str) -> Response:
    form = await forms.read_form(admin.request, await _build_groups(admin, True))
    try:
        body = forms.parse_body(NumberChange, form.get_plain_values())
        await admin.run_change(lambda tx: commands.change(tx, admin.caller, number_id, body.get_named_fields()))
    except NotFound:
        raise
    except Problem as problem:
        refilled_form = admin_request.refill_form(form, f"{BASE_PATH}/{number_id}", problem, "Save")
        return await _render_number(admin, number_id, refilled_form, problem.status)
    return redirect_back("numbers", "saved")


@router.post(BASE_PATH + "/{number_id}/remove", dependencies=FORM_CHECKS)
async def remove_number(admin: AdminPost, number_id: str) -> Response:
    try:
        await admin.run_change(lambda tx: commands.remove(tx, admin.caller, number_id))
    except NotFound:
        raise
    except Problem as problem:
        return await _render_number(admin, number_id, None, problem.status, refused=problem)
    return redirect_back("numbers", "removed")


@router.post(BASE_PATH + "/{number_id}/pause", dependencies=FORM_CHECKS)
async def pause_number(admin: AdminPost, number_id: str, reason: Annotated[str, Form(max_length=500)] = "") -> Response:
    await admin.run_change(lambda tx: brakes.pause(tx, admin.caller, PhoneNumber, number_id, reason.strip() or None))
    return redirect_back(f"numbers/{number_id}", "paused")


@router.post(BASE_PATH + "/{number_id}/resume", dependencies=FORM_CHECKS)
async def resume_number(admin: AdminPost, number_id: str) -> Response:
    await admin.run_change(lambda tx: brakes.resume(tx, admin.caller, PhoneNumber, number_id))
    return redirect_back(f"numbers/{number_id}", "resumed")

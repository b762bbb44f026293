"""The people who may sign in."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field as Shape
from starlette.responses import Response

from app.access import passwords
from app.commands import people as commands
from app.commands.directory import require_found
from app.domain.problems import NotFound, Problem
from app.domain.words import PersonRole
from app.store import directory, people
from app.store.engine import Tx
from app.store.schema import User
from app.web.envelope import Body, Out
from app.web.page import render
from app.web.page.settings import admin_request, forms
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
BASE_PATH = "/settings/people"
ROLE_CHOICES = [("member", "Member: uses the conversations"), ("admin", "Admin: also changes settings and people")]
ROLE_FIELD = Field("role", "Role", "choice", required=True, choices=ROLE_CHOICES)
NEW_GROUPS = [Group("Person", [Field("email", "E-mail", required=True), ROLE_FIELD])]
EDIT_GROUPS = [
    Group(
        "Person",
        [
            ROLE_FIELD,
            Field("active", "May sign in", "switch", hint="If you switch this off, the person is signed out at once."),
        ],
    )
]
ABOUT_TEXT = "The people who may sign in. Admins can also see and change these settings."


class NewPerson(Body):
    email: Annotated[str, Shape(max_length=320, pattern=r"^[^@\s]+@[^@\s]+\z")]
    role: PersonRole


class PersonChange(Body):
    role: PersonRole
    active: bool


class PersonShape(Out):
    email: str
    role: PersonRole
    active: bool


@router.get(BASE_PATH)
async def list_people(admin: AdminGet, page_query: PageParams) -> Response:
    rows = await admin.run_read(
        lambda read: people.list_page(read, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    )
    page, cursor = page_query.cut_page(rows, lambda row: [row.user_id])
    zone = render.get_zone(admin.request)
    items = [
        Item(
            row.user_id,
            row.email,
            [f"signed in, last seen {render.format_ago(row.seen_at, zone)}" if row.seen_at else ""],
            [("agent", "Admin")] * (row.role == "admin") + [("off", "Off")] * (not row.active),
        )
        for row in page
    ]
    return admin.show_list("people", ABOUT_TEXT, items, cursor, "No people yet.", "Add a person")


@router.get(BASE_PATH + "/new")
async def show_new_form(admin: AdminGet) -> Response:
    return _render_new_form(admin, admin_request.Form(f"{BASE_PATH}/new", NEW_GROUPS, {"role": "member"}, {}, "Add"))


def _render_new_form(admin: AdminRequest, form: admin_request.Form, status: int = 200) -> Response:
    about = "A password is created and shown once. Give it to the person."
    return admin.show_page("form", "people", status, title="New person", about=about, form=form, removable=None)


@router.post(BASE_PATH + "/new", dependencies=FORM_CHECKS)
async def add_person(admin: AdminPost) -> Response:
    form = await forms.read_form(admin.request, NEW_GROUPS)
    password = passwords.make_password()
    password_hash = await passwords.hash_password(password)
    try:
        body = forms.parse_body(NewPerson, form.get_plain_values())

        async def add_row(tx: Tx) -> str:
            return await commands.add(tx, admin.caller, body.email, body.role, password_hash)

        user_id, is_new = await admin.run_once(form, add_row)
    except Problem as problem:
        return _render_new_form(
            admin,
            admin_request.refill_form(form, f"{BASE_PATH}/new", problem, "Add"),
            problem.status,
        )
    return _render_password(admin, user_id, f"{body.email} was added", password if is_new else None)


def _render_password(admin: AdminRequest, user_id: str, title: str, password: str | None) -> Response:
    return admin.show_page(
        "once",
        "people",
        title=title,
        about="Give this password to the person, who can change it under Account.",
        label="Password",
        secret=password,
        otherwise="You can make a new password on the person's page.",
        onward=f"{BASE_PATH}/{user_id}",
    )


@router.get(BASE_PATH + "/{user_id}")
async def show_person(admin: AdminGet, user_id: str) -> Response:
    return await _render_person(admin, user_id)


async def _render_person(
    admin: AdminRequest, user_id: str, form: admin_request.Form | None = None, status: int = 200
) -> Response:
    row: User = require_found(await admin.run_read(lambda read: directory.get(read, User, admin.tenant_id, user_id)))
    here = f"{BASE_PATH}/{user_id}"
    values = forms.get_values(EDIT_GROUPS, PersonShape.of(row))
    return admin.show_page(
        "person",
        "people",
        status,
        title=row.email,
        about="This is you." if user_id == admin.person.user_id else None,
        form=form or admin_request.Form(here, EDIT_GROUPS, values, {}),
        here=here,
        removable=None,
    )


@router.post(BASE_PATH + "/{user_id}", dependencies=FORM_CHECKS)
async def change_person(admin: AdminPost, user_id: str) -> Response:
    form = await forms.read_form(admin.request, EDIT_GROUPS)
    try:
        body = forms.parse_body(PersonChange, form.get_plain_values())
        await admin.run_change(lambda tx: commands.change(tx, admin.caller, user_id, body.role, body.active))
    except NotFound:
        raise
    except Problem as problem:
        refilled_form = admin_request.refill_form(form, f"{BASE_PATH}/{user_id}", problem, "Save")
        return await _render_person(admin, user_id, refilled_form, problem.status)
    return redirect_back("people", "saved")


@router.post(BASE_PATH + "/{user_id}/reset-password", dependencies=FORM_CHECKS)
async def reset_password(admin: AdminPost, user_id: str) -> Response:
    password = passwords.make_password()
    password_hash = await passwords.hash_password(password)
    async with admin.resources.database.tenant_tx(admin.tenant_id) as tx:
        row = await commands.reset_password(tx, admin.caller, user_id, password_hash)
    return _render_password(admin, user_id, f"{row.email} has a new password", password)

"""The people who may sign in."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field as Shape
from starlette.responses import Response

from app.access import passwords
from app.commands import people as commands
from app.commands.directory import require_found
from app.domain.notices import NoticeWay
from app.domain.words import PersonRole
from app.store import directory, people
from app.store.engine import ReadTx
from app.store.schema import User
from app.web.envelope import Body
from app.web.page import times
from app.web.page.forms import Field, Heading, SubmittedForm, group_fields
from app.web.page.settings.admin_request import AdminPost, AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, build_router
from app.web.paging import PageQuery

WAY_WORDS: dict[NoticeWay, str] = {"page": "on the page", "email": "by e-mail", "hook": "by webhook"}
ROLE_CHOICES = [("member", "Member: uses the conversations"), ("admin", "Admin: also changes settings and people")]
ROLE_FIELD = Field("role", "Role", "choice", required=True, choices=ROLE_CHOICES)
ACTIVE_FIELD = Field(
    "active", "May sign in", "switch", hint="If you switch this off, the person is signed out at once."
)
NEW_GROUPS = group_fields(Heading("Person"), Field("email", "E-mail", required=True), ROLE_FIELD)
EDIT_GROUPS = group_fields(Heading("Person"), ROLE_FIELD, ACTIVE_FIELD)


class NewPerson(Body):
    email: Annotated[str, Shape(max_length=320, pattern=r"^[^@\s]+@[^@\s]+\z")]
    role: PersonRole


class PersonChange(Body):
    role: PersonRole
    active: bool


async def list_people(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    rows = await people.list_page(read, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    zone = times.get_zone(admin.request)
    return [
        Item(
            row.user_id,
            row.email,
            [
                f"Signed in, last seen {times.format_when(row.seen_at, zone)}" if row.seen_at else "",
                _describe_ways(row.ways),
            ],
            [("agent", "Admin")] * (row.role == "admin") + [("off", "Off")] * (not row.active),
        )
        for row in rows
    ]


def _describe_ways(ways: Sequence[NoticeWay]) -> str:
    return f"told {', '.join(WAY_WORDS[way] for way in ways)}" if ways else ""


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    about = "A password is created and shown once. Give it to the person."
    return FormPage("New person", NEW_GROUPS, {"role": "member"}, about)


async def build_person_page(admin: AdminRequest, read: ReadTx, user_id: str) -> FormPage:
    row = require_found(await directory.get(read, User, admin.tenant_id, user_id))
    values = {"role": row.role, "active": row.active}
    about = "This is you." if user_id == admin.person.user_id else None
    return FormPage(row.email, EDIT_GROUPS, values, about, template="person")


async def add_person(admin: AdminRequest, form: SubmittedForm) -> Response:
    body = form.parse_body(NewPerson)
    password = passwords.make_password()
    password_hash = await passwords.hash_password(password)
    user_id, is_new = await admin.run_once(
        form, lambda tx: commands.add(tx, admin.caller, body.email, body.role, password_hash), str
    )
    return _render_password(admin, user_id, f"{body.email} was added", password if is_new else None)


async def change_person(admin: AdminRequest, user_id: str, form: SubmittedForm) -> Response:
    body = form.parse_body(PersonChange)
    await admin.run_change(lambda tx: commands.change(tx, admin.caller, user_id, body.role, body.active))
    return redirect_back("people", "saved")


PAGE = SettingsPage(
    "people",
    about="The people who may sign in. Admins can also see and change these settings.",
    empty_text="No people yet.",
    add_label="Add a person",
    list_items=list_people,
    build_new_page=build_new_page,
    build_item_page=build_person_page,
    add=add_person,
    change=change_person,
)
router = build_router(PAGE)


@router.post("/{user_id}/reset-password")
async def reset_password(admin: AdminPost, user_id: str) -> Response:
    password = passwords.make_password()
    password_hash = await passwords.hash_password(password)
    async with admin.resources.database.tenant_tx(admin.tenant_id, author=admin.caller.author) as tx:
        row = await commands.reset_password(tx, admin.caller, user_id, password_hash)
    return _render_password(admin, user_id, f"{row.email} has a new password", password)


def _render_password(admin: AdminRequest, user_id: str, title: str, password: str | None) -> Response:
    return admin.show_page(
        "once",
        "people",
        title=title,
        about="Give this password to the person, who can change it under Account.",
        label="Password",
        secret=password,
        otherwise="You can make a new password on the person's page.",
        onward=f"/settings/people/{user_id}",
    )

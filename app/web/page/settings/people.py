"""The people who may sign in."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field as Shape
from starlette.responses import Response

from app.access import passwords
from app.commands import people as commands
from app.commands.directory import found
from app.domain.problems import NotFound, Problem
from app.domain.words import PersonRole
from app.store import people
from app.store.engine import Row, Tx
from app.web.envelope import Body, Out
from app.web.page import render
from app.web.page.settings import desk, forms
from app.web.page.settings.desk import OURS, Desk, Item, Reading, Writing, back
from app.web.page.settings.forms import Field, Group
from app.web.paging import Paged

router = APIRouter(include_in_schema=False)
HERE = "/settings/people"
ROLES = [("member", "Member: conversations"), ("admin", "Admin: settings and people, too")]
ROLE = Field("role", "Role", "choice", required=True, choices=ROLES)
NEW = [Group("Person", [Field("email", "E-mail", required=True), ROLE])]
KNOWN = [
    Group(
        "Person", [ROLE, Field("active", "May sign in", "switch", hint="Switched off, a person is signed out at once.")]
    )
]
ABOUT = "Who may sign in here. Admins also see and change these settings."


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


@router.get(HERE)
async def listed(sat: Reading, paged: Paged) -> Response:
    rows = await sat.read(lambda read: people.listed(read, sat.tenant_id, paged.below(), paged.fetch))
    page, cursor = paged.cut(rows, lambda row: [row["user_id"]])
    zone = render.zone(sat.request)
    items = [
        Item(
            row["user_id"],
            row["email"],
            [f"signed in, last seen {render.ago(row['seen_at'], zone)}" if row["seen_at"] else ""],
            [("agent", "Admin")] * (row["role"] == "admin") + [("off", "Off")] * (not row["active"]),
        )
        for row in page
    ]
    return sat.listed("people", ABOUT, items, cursor, "Nobody.", "Add a person")


@router.get(HERE + "/new")
async def new(sat: Reading) -> Response:
    return _new(sat, desk.Form(f"{HERE}/new", NEW, {"role": "member"}, {}, "Add"))


def _new(sat: Desk, form: desk.Form, status: int = 200) -> Response:
    about = "A password is made and shown once, for you to hand over."
    return sat.page("form", "people", status, title="New person", about=about, form=form, removable=None)


@router.post(HERE + "/new", dependencies=OURS)
async def add(sat: Writing) -> Response:
    form = await forms.sent(sat.request, NEW)
    password = passwords.made()
    hashed = await passwords.hashed(password)
    try:
        body = forms.body(NewPerson, form.plain())

        async def work(tx: Tx) -> str:
            return await commands.add(tx, sat.caller, body.email, body.role, hashed)

        user_id, fresh = await sat.add(form, work)
    except Problem as refused:
        return _new(sat, desk.refilled(form, f"{HERE}/new", refused, "Add"), refused.status)
    return _password(sat, user_id, f"{body.email} was added", password if fresh else None)


def _password(sat: Desk, user_id: str, title: str, password: str | None) -> Response:
    return sat.page(
        "once",
        "people",
        title=title,
        about="Hand this password over. It can be changed under Account.",
        label="Password",
        secret=password,
        otherwise="Make another password on the person's page.",
        onward=f"{HERE}/{user_id}",
    )


@router.get(HERE + "/{user_id}")
async def one(sat: Reading, user_id: str) -> Response:
    return await _one(sat, user_id)


async def _one(sat: Desk, user_id: str, form: desk.Form | None = None, status: int = 200) -> Response:
    row: Row = found(await sat.read(lambda read: people.get(read, sat.tenant_id, user_id)))
    here = f"{HERE}/{user_id}"
    known = forms.values(KNOWN, PersonShape.model_validate(dict(row)))
    return sat.page(
        "person",
        "people",
        status,
        title=row["email"],
        about="This is you." if user_id == sat.person.user_id else None,
        form=form or desk.Form(here, KNOWN, known, {}),
        here=here,
        removable=None,
    )


@router.post(HERE + "/{user_id}", dependencies=OURS)
async def change(sat: Writing, user_id: str) -> Response:
    form = await forms.sent(sat.request, KNOWN)
    try:
        body = forms.body(PersonChange, form.plain())
        await sat.change(lambda tx: commands.change(tx, sat.caller, user_id, body.role, body.active))
    except NotFound:
        raise
    except Problem as refused:
        again = desk.refilled(form, f"{HERE}/{user_id}", refused, "Save")
        return await _one(sat, user_id, again, refused.status)
    return back("people", "saved")


@router.post(HERE + "/{user_id}/reset-password", dependencies=OURS)
async def reset_password(sat: Writing, user_id: str) -> Response:
    password = passwords.made()
    hashed = await passwords.hashed(password)
    async with sat.held.database.tenant(sat.tenant_id) as tx:
        row = await commands.reset_password(tx, sat.caller, user_id, hashed)
    return _password(sat, user_id, f"{row['email']} has a new password", password)

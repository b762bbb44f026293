"""Canned replies: texts that people send often, offered in the compose box."""

from fastapi import APIRouter
from starlette.responses import Response

from app.commands import canned as commands
from app.commands.directory import found
from app.domain.problems import NotFound, Problem
from app.store import canned
from app.store.engine import Tx
from app.web.directory.canned_replies import NewReply, ReplyChange, shape
from app.web.page.settings import desk, forms
from app.web.page.settings.desk import OURS, Desk, Item, Reading, Writing, back
from app.web.page.settings.forms import Field, Group
from app.web.paging import Paged

router = APIRouter(include_in_schema=False)
HERE = "/settings/canned"
GROUPS = [
    Group(
        "Canned reply",
        [
            Field("title", "Title", required=True, hint="What it is chosen by."),
            Field("text", "Text", "area", required=True, lines=5),
        ],
    )
]
ABOUT = "Texts that your people send often: one click puts them into the compose box."


@router.get(HERE)
async def listed(sat: Reading, paged: Paged) -> Response:
    rows = await sat.read(lambda read: canned.listed(read, sat.tenant_id, paged.below(), paged.fetch))
    page, cursor = paged.cut(rows, lambda row: [row["canned_reply_id"]])
    items = [Item(row["canned_reply_id"], row["title"], [_start(row["text"])]) for row in page]
    return sat.listed("canned", ABOUT, items, cursor, "No canned replies yet.", "Add a reply")


def _start(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:119]}…"


@router.get(HERE + "/new")
async def new(sat: Reading) -> Response:
    return _new(sat, desk.Form(f"{HERE}/new", GROUPS, {}, {}, "Add"))


def _new(sat: Desk, form: desk.Form, status: int = 200) -> Response:
    return sat.page("form", "canned", status, title="New canned reply", about=None, form=form, removable=None)


@router.post(HERE + "/new", dependencies=OURS)
async def add(sat: Writing) -> Response:
    form = await forms.sent(sat.request, GROUPS)
    try:
        body = forms.body(NewReply, form.plain())

        async def work(tx: Tx) -> str:
            row = await commands.add(tx, sat.caller, body.given())
            return str(row["canned_reply_id"])

        await sat.add(form, work)
    except Problem as refused:
        return _new(sat, desk.refilled(form, f"{HERE}/new", refused, "Add"), refused.status)
    return back("canned", "added")


@router.get(HERE + "/{reply_id}")
async def one(sat: Reading, reply_id: str) -> Response:
    return await _one(sat, reply_id)


async def _one(sat: Desk, reply_id: str, form: desk.Form | None = None, status: int = 200) -> Response:
    row = found(await sat.read(lambda read: canned.get(read, sat.tenant_id, reply_id)))
    here = f"{HERE}/{reply_id}"
    return sat.page(
        "form",
        "canned",
        status,
        title=row["title"],
        about=None,
        form=form or desk.Form(here, GROUPS, forms.values(GROUPS, shape(row)), {}),
        here=here,
        removable="Remove this reply",
        removal_hint="Texts that were sent with it stay.",
    )


@router.post(HERE + "/{reply_id}", dependencies=OURS)
async def change(sat: Writing, reply_id: str) -> Response:
    form = await forms.sent(sat.request, GROUPS)
    try:
        body = forms.body(ReplyChange, form.plain())
        await sat.change(lambda tx: commands.change(tx, sat.caller, reply_id, body.given()))
    except NotFound:
        raise
    except Problem as refused:
        again = desk.refilled(form, f"{HERE}/{reply_id}", refused, "Save")
        return await _one(sat, reply_id, again, refused.status)
    return back("canned", "saved")


@router.post(HERE + "/{reply_id}/remove", dependencies=OURS)
async def remove(sat: Writing, reply_id: str) -> Response:
    await sat.change(lambda tx: commands.remove(tx, sat.caller, reply_id))
    return back("canned", "removed")

"""Canned replies: texts that people can insert into the compose box."""

from fastapi import APIRouter
from starlette.responses import Response

from app.commands import canned as commands
from app.commands.directory import require_found
from app.domain.problems import NotFound, Problem
from app.store import directory
from app.store.engine import Tx
from app.store.schema import CannedReply
from app.web.directory.canned_replies import NewReply, ReplyChange, ReplyShape
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
BASE_PATH = "/settings/canned"
GROUPS = [
    Group(
        "Canned reply",
        [
            Field("title", "Title", required=True, hint="The name in the menu."),
            Field("text", "Text", "area", required=True, lines=5),
        ],
    )
]
ABOUT_TEXT = "Texts that your people send often. One click puts a text into the compose box."


@router.get(BASE_PATH)
async def list_replies(admin: AdminGet, page_query: PageParams) -> Response:
    rows = await admin.run_read(
        lambda read: directory.list_page(
            read, CannedReply, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
        )
    )
    page, cursor = page_query.cut_page(rows, lambda row: [row.canned_reply_id])
    items = [Item(row.canned_reply_id, row.title, [_shorten_text(row.text)]) for row in page]
    return admin.show_list("canned", ABOUT_TEXT, items, cursor, "No canned replies yet.", "Add a reply")


def _shorten_text(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:119]}…"


@router.get(BASE_PATH + "/new")
async def show_new_form(admin: AdminGet) -> Response:
    return _render_new_form(admin, admin_request.Form(f"{BASE_PATH}/new", GROUPS, {}, {}, "Add"))


def _render_new_form(admin: AdminRequest, form: admin_request.Form, status: int = 200) -> Response:
    return admin.show_page("form", "canned", status, title="New canned reply", about=None, form=form, removable=None)


@router.post(BASE_PATH + "/new", dependencies=FORM_CHECKS)
async def add_reply(admin: AdminPost) -> Response:
    form = await forms.read_form(admin.request, GROUPS)
    try:
        body = forms.parse_body(NewReply, form.get_plain_values())

        async def add_row(tx: Tx) -> str:
            row = await commands.add(tx, admin.caller, body.get_named_fields())
            return str(row.canned_reply_id)

        await admin.run_once(form, add_row)
    except Problem as problem:
        return _render_new_form(
            admin,
            admin_request.refill_form(form, f"{BASE_PATH}/new", problem, "Add"),
            problem.status,
        )
    return redirect_back("canned", "added")


@router.get(BASE_PATH + "/{reply_id}")
async def show_reply(admin: AdminGet, reply_id: str) -> Response:
    return await _render_reply(admin, reply_id)


async def _render_reply(
    admin: AdminRequest, reply_id: str, form: admin_request.Form | None = None, status: int = 200
) -> Response:
    row = require_found(await admin.run_read(lambda read: directory.get(read, CannedReply, admin.tenant_id, reply_id)))
    here = f"{BASE_PATH}/{reply_id}"
    return admin.show_page(
        "form",
        "canned",
        status,
        title=row.title,
        about=None,
        form=form or admin_request.Form(here, GROUPS, forms.get_values(GROUPS, ReplyShape.of(row)), {}),
        here=here,
        removable="Remove this reply",
        removal_hint="Texts that were already sent stay.",
    )


@router.post(BASE_PATH + "/{reply_id}", dependencies=FORM_CHECKS)
async def change_reply(admin: AdminPost, reply_id: str) -> Response:
    form = await forms.read_form(admin.request, GROUPS)
    try:
        body = forms.parse_body(ReplyChange, form.get_plain_values())
        await admin.run_change(lambda tx: commands.change(tx, admin.caller, reply_id, body.get_named_fields()))
    except NotFound:
        raise
    except Problem as problem:
        refilled_form = admin_request.refill_form(form, f"{BASE_PATH}/{reply_id}", problem, "Save")
        return await _render_reply(admin, reply_id, refilled_form, problem.status)
    return redirect_back("canned", "saved")


@router.post(BASE_PATH + "/{reply_id}/remove", dependencies=FORM_CHECKS)
async def remove_reply(admin: AdminPost, reply_id: str) -> Response:
    await admin.run_change(lambda tx: commands.remove(tx, admin.caller, reply_id))
    return redirect_back("canned", "removed")

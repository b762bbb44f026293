"""Canned replies: texts that people can insert into the compose box."""

from starlette.responses import Response

from app.commands import canned as commands
from app.commands.directory import require_found
from app.store import directory
from app.store.engine import ReadTx
from app.store.schema import CannedReply
from app.web.directory.canned_replies import NewReply, ReplyChange, ReplyShape
from app.web.page import forms
from app.web.page.forms import Field, Heading, SubmittedForm, group_fields
from app.web.page.settings.admin_request import AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, build_router
from app.web.paging import PageQuery

VARIABLES_HINT = (
    "{{firstName}}, {{lastName}}, {{email}}, {{phone}}, {{campaign}}, {{client}}, {{offer}}, {{agentName}},"
    " {{ourNumber}} and {{customFields.plan}} are filled for each lead."
)
GROUPS = group_fields(
    Heading("Canned reply"),
    Field("title", "Title", required=True, hint="The name in the menu."),
    Field("text", "Text", "area", required=True, lines=5, hint=VARIABLES_HINT),
)


async def list_replies(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    rows = await directory.list_page(
        read, CannedReply, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
    )
    return [Item(row.canned_reply_id, row.title, [_shorten_text(row.text)]) for row in rows]


def _shorten_text(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:119]}…"


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    return FormPage("New canned reply", GROUPS, {})


async def build_reply_page(admin: AdminRequest, read: ReadTx, reply_id: str) -> FormPage:
    row = require_found(await directory.get(read, CannedReply, admin.tenant_id, reply_id))
    return FormPage(row.title, GROUPS, forms.get_values(GROUPS, ReplyShape.of(row)))


async def add_reply(admin: AdminRequest, form: SubmittedForm) -> Response:
    fields = form.parse_body(NewReply).get_named_fields()
    await admin.run_once(form, lambda tx: commands.add(tx, admin.caller, fields), lambda row: row.canned_reply_id)
    return redirect_back("canned", "added")


async def change_reply(admin: AdminRequest, reply_id: str, form: SubmittedForm) -> Response:
    fields = form.parse_body(ReplyChange).get_named_fields()
    await admin.run_change(lambda tx: commands.change(tx, admin.caller, reply_id, fields))
    return redirect_back("canned", "saved")


PAGE = SettingsPage(
    "canned",
    about="Texts that your people send often. One click puts a text into the compose box.",
    empty_text="No canned replies yet. Add what your people write again and again.",
    add_label="Add a reply",
    list_items=list_replies,
    build_new_page=build_new_page,
    build_item_page=build_reply_page,
    add=add_reply,
    change=change_reply,
    remove=commands.remove,
    removal_label="Remove this reply",
    removal_hint="Texts that were already sent stay.",
)
router = build_router(PAGE)

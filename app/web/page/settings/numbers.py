"""Phone numbers of the organization."""

from starlette.responses import Response

from app.commands import numbers as commands
from app.commands.directory import require_found
from app.domain.phones import format_phone
from app.store import directory
from app.store.engine import ReadTx
from app.store.schema import PhoneNumber
from app.web.directory.phone_numbers import NAME_PROVIDERS, NewNumber, NumberChange, NumberShape
from app.web.page import forms
from app.web.page.forms import Field, Group, Heading, SubmittedForm, group_fields
from app.web.page.settings import choices
from app.web.page.settings.admin_request import AdminRequest, Item, redirect_back
from app.web.page.settings.pages import FormPage, SettingsPage, add_pause_routes, build_router
from app.web.paging import PageQuery

CAPABILITY_NAMES = {"sms": "SMS", "mms": "MMS", "voice": "Voice"}
GROUPS = group_fields(
    Heading("Number"),
    Field("phoneNumber", "Phone number", required=True, hint="In any common format."),
    Field("label", "Label"),
    Field(
        "providerAccountId",
        "Account",
        "choice",
        hint="If empty, texts go through any account of the preferred provider.",
    ),
    Field("capabilities", "Can do", "several", choices=list(CAPABILITY_NAMES.items())),
    Field(
        "messagesPerSecond",
        "Pace",
        "decimal",
        unit="segments per second",
        hint="If empty, the provider's default for this type of number.",
    ),
    Field("active", "Active", "switch"),
)


async def _build_groups(admin: AdminRequest, read: ReadTx) -> list[Group]:
    return forms.with_choices(GROUPS, providerAccountId=await choices.list_accounts(read, admin.tenant_id))


async def list_numbers(admin: AdminRequest, read: ReadTx, page_query: PageQuery) -> list[Item]:
    accounts = dict(await choices.list_accounts(read, admin.tenant_id))
    return [
        Item(
            row.phone_number_id,
            format_phone(row.phone_number),
            [
                row.label or "",
                accounts.get(row.account_id or "", ""),
                ", ".join(CAPABILITY_NAMES[one] for one in row.capabilities),
            ],
            [("stopped", "Paused")] * bool(row.paused_at) + [("off", "Inactive")] * (not row.active),
        )
        for row in await directory.list_page(
            read, PhoneNumber, admin.tenant_id, page_query.get_id_below(), page_query.fetch_limit
        )
    ]


async def build_new_page(admin: AdminRequest, read: ReadTx) -> FormPage:
    return FormPage("New number", await _build_groups(admin, read), {"active": True, "capabilities": ["sms"]})


async def build_number_page(admin: AdminRequest, read: ReadTx, number_id: str) -> FormPage:
    row = require_found(await directory.get(read, PhoneNumber, admin.tenant_id, number_id))
    groups = forms.drop_fields(await _build_groups(admin, read), "phoneNumber")
    return FormPage(
        format_phone(row.phone_number),
        groups,
        forms.get_values(groups, NumberShape.of(row)),
        about=row.label,
        template="braked",
        context={"braked": row, "what": "the texts of this number"},
    )


async def add_number(admin: AdminRequest, form: SubmittedForm) -> Response:
    fields = form.parse_body(NewNumber).get_named_fields()
    await admin.run_once(
        form, lambda tx: commands.add(tx, admin.caller, fields, NAME_PROVIDERS), lambda row: row.phone_number_id
    )
    return redirect_back("numbers", "added")


async def change_number(admin: AdminRequest, number_id: str, form: SubmittedForm) -> Response:
    fields = form.parse_body(NumberChange).get_named_fields()
    await admin.run_change(lambda tx: commands.change(tx, admin.caller, number_id, fields, NAME_PROVIDERS))
    return redirect_back("numbers", "saved")


PAGE = SettingsPage(
    "numbers",
    about="The numbers that send and receive texts. A sync on an account's page adds all its numbers.",
    empty_text="No numbers yet. Open your account under “Provider accounts” and sync its numbers, or add one here.",
    add_label="Add a number",
    list_items=list_numbers,
    build_new_page=build_new_page,
    build_item_page=build_number_page,
    add=add_number,
    change=change_number,
    remove=commands.remove,
    removal_label="Remove this number",
    removal_hint="Only a number without conversations can be removed. You can make it inactive instead.",
)
router = build_router(PAGE)
add_pause_routes(router, "numbers", PhoneNumber)

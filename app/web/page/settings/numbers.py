"""Numbers of the organization."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.responses import Response

from app.commands import brakes
from app.commands import numbers as commands
from app.commands.directory import found
from app.domain.phones import shown
from app.domain.problems import NotFound, Problem
from app.store import numbers
from app.store.engine import Tx
from app.web.directory.phone_numbers import NewNumber, NumberChange, columns, shape
from app.web.page.settings import choices, desk, forms
from app.web.page.settings.desk import OURS, Desk, Item, Reading, Writing, back
from app.web.page.settings.forms import Field, Group
from app.web.paging import Paged

router = APIRouter(include_in_schema=False)
HERE = "/settings/numbers"
ABOUT = "Numbers that texts go from and come to. An account's own are taken over by a sync there."
CAPABILITIES = [("sms", "SMS"), ("mms", "MMS"), ("voice", "Voice")]
GROUPS = [
    Group(
        "Number",
        [
            Field("phoneNumber", "Phone number", required=True, hint="Any readable form."),
            Field("label", "Label"),
            Field(
                "providerAccountId",
                "Account",
                "choice",
                hint="None: any account of the preferred provider carries its texts.",
            ),
            Field("capabilities", "Can do", "several", choices=CAPABILITIES),
            Field(
                "messagesPerSecond",
                "Pace",
                "decimal",
                unit="segments a second",
                hint="Empty: the provider's default for the number's type.",
            ),
            Field("active", "Active", "switch"),
        ],
    ),
]


async def _groups(sat: Desk, known: bool) -> list[Group]:
    found_accounts = await sat.read(lambda read: choices.of_accounts(read, sat.tenant_id))
    groups = forms.with_choices(GROUPS, providerAccountId=found_accounts)
    return forms.without(groups, "phoneNumber") if known else groups


@router.get(HERE)
async def listed(sat: Reading, paged: Paged) -> Response:
    rows = await sat.read(lambda read: numbers.listed(read, sat.tenant_id, paged.below(), paged.fetch))
    names = dict(await sat.read(lambda read: choices.of_accounts(read, sat.tenant_id)))
    page, cursor = paged.cut(rows, lambda row: [row["phone_number_id"]])
    items = [
        Item(
            row["phone_number_id"],
            shown(row["phone_number"]),
            [row["label"] or "", names.get(row["account_id"], ""), ", ".join(row["capabilities"])],
            [("stopped", "Paused")] * bool(row["paused_at"]) + [("off", "Inactive")] * (not row["active"]),
        )
        for row in page
    ]
    return sat.listed("numbers", ABOUT, items, cursor, "No numbers yet.", "Add a number")


@router.get(HERE + "/new")
async def new(sat: Reading) -> Response:
    made = {"active": True, "capabilities": ["sms"]}
    return _new(sat, desk.Form(f"{HERE}/new", await _groups(sat, False), made, {}, "Add"))


def _new(sat: Desk, form: desk.Form, status: int = 200) -> Response:
    return sat.page("form", "numbers", status, title="New number", about=None, form=form, removable=None)


@router.post(HERE + "/new", dependencies=OURS)
async def add(sat: Writing) -> Response:
    form = await forms.sent(sat.request, await _groups(sat, False))
    try:
        body = forms.body(NewNumber, form.plain())

        async def work(tx: Tx) -> str:
            return str((await commands.add(tx, sat.caller, columns(body)))["phone_number_id"])

        await sat.add(form, work)
    except Problem as refused:
        return _new(sat, desk.refilled(form, f"{HERE}/new", refused, "Add"), refused.status)
    return back("numbers", "added")


@router.get(HERE + "/{number_id}")
async def one(sat: Reading, number_id: str) -> Response:
    return await _one(sat, number_id)


async def _one(sat: Desk, number_id: str, form: desk.Form | None = None, status: int = 200, **told: Any) -> Response:
    row = found(await sat.read(lambda read: numbers.get(read, sat.tenant_id, number_id)))
    groups = await _groups(sat, True)
    here = f"{HERE}/{number_id}"
    return sat.page(
        "braked",
        "numbers",
        status,
        title=shown(row["phone_number"]),
        about=row["label"],
        form=form or desk.Form(here, groups, forms.values(groups, shape(row)), {}),
        here=here,
        braked=row,
        what="what this number sends",
        removable="Remove this number",
        removal_hint="Only a number without conversations can be removed; switch it off instead.",
        told={"refused": None} | told,
    )


@router.post(HERE + "/{number_id}", dependencies=OURS)
async def change(sat: Writing, number_id: str) -> Response:
    form = await forms.sent(sat.request, await _groups(sat, True))
    try:
        body = forms.body(NumberChange, form.plain())
        await sat.change(lambda tx: commands.change(tx, sat.caller, number_id, columns(body)))
    except NotFound:
        raise
    except Problem as refused:
        again = desk.refilled(form, f"{HERE}/{number_id}", refused, "Save")
        return await _one(sat, number_id, again, refused.status)
    return back("numbers", "saved")


@router.post(HERE + "/{number_id}/remove", dependencies=OURS)
async def remove(sat: Writing, number_id: str) -> Response:
    try:
        await sat.change(lambda tx: commands.remove(tx, sat.caller, number_id))
    except NotFound:
        raise
    except Problem as refused:
        return await _one(sat, number_id, None, refused.status, refused=refused)
    return back("numbers", "removed")


@router.post(HERE + "/{number_id}/pause", dependencies=OURS)
async def pause(sat: Writing, number_id: str, reason: Annotated[str, Form(max_length=500)] = "") -> Response:
    await sat.change(lambda tx: brakes.pause(tx, sat.caller, "number", number_id, reason.strip() or None))
    return back(f"numbers/{number_id}", "paused")


@router.post(HERE + "/{number_id}/resume", dependencies=OURS)
async def resume(sat: Writing, number_id: str) -> Response:
    await sat.change(lambda tx: brakes.resume(tx, sat.caller, "number", number_id))
    return back(f"numbers/{number_id}", "resumed")

"""The organization's own settings: sending, quiet hours, limits, automatic answers, the brake."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import brakes
from app.commands import tenants as commands
from app.commands.directory import found
from app.domain.problems import Problem
from app.store import tenants
from app.web.directory.settings import SettingsChange, shape
from app.web.page.settings import choices, desk, forms
from app.web.page.settings.desk import OURS, Desk, Reading, Writing, back
from app.web.page.settings.forms import Field, Group

router = APIRouter(include_in_schema=False)
HERE = "/settings/general"
GROUPS = [
    Group(
        "Sending",
        [
            Field(
                "defaultProvider",
                "Preferred provider",
                "choice",
                choices=choices.PROVIDERS,
                hint="Decides among numbers where neither thread nor campaign does.",
            ),
            Field(
                "defaultCountry",
                "Country of phones without a country code",
                "choice",
                required=True,
                choices=choices.COUNTRIES,
            ),
            Field(
                "smartEncoding",
                "Send typographic characters as plain ones",
                "switch",
                hint="Curly quotes and dashes become plain where that saves segments.",
            ),
        ],
    ),
    Group(
        "Quiet hours",
        [
            Field("quietHours.enabled", "Keep quiet hours", "switch"),
            Field("quietHours.start", "Texts may leave from", "time", required=True),
            Field("quietHours.end", "Until", "time", required=True),
        ],
        "In the recipient's own time. Texts that start contact wait for the morning; an answer"
        " within 15 minutes of the lead's text passes.",
    ),
    Group(
        "Limits",
        [
            Field(
                "textsPerDay", "Texts a day", "whole", unit="texts", hint="Accepted in a day (UTC). Empty: any number."
            ),
            Field(
                "allowedCountries", "Countries that may be texted", "words", hint="Codes such as US, CA. Empty: all."
            ),
        ],
    ),
    Group(
        "Automatic answers",
        [
            Field(
                "optOutConfirmation",
                "Confirmation of a STOP",
                "area",
                hint="Empty: a text of ours. Not sent where the carrier confirms by itself.",
            ),
            Field("helpText", "Answer to HELP", "area", hint="Empty: a text of ours."),
        ],
    ),
]


@router.get("/settings")
async def home() -> Response:
    return RedirectResponse(HERE, 303)


@router.get(HERE)
async def shown(sat: Reading) -> Response:
    return await _page(sat)


async def _page(sat: Desk, form: desk.Form | None = None, status: int = 200) -> Response:
    row = found(await sat.read(lambda read: tenants.get(read, sat.tenant_id)))
    form = form or desk.Form(HERE, GROUPS, forms.values(GROUPS, shape(row).data), {})
    return sat.page("general", "general", status, tenant=row, form=form, here=HERE)


@router.post(HERE, dependencies=OURS)
async def change(sat: Writing) -> Response:
    form = await forms.sent(sat.request, GROUPS)
    try:
        columns = forms.body(SettingsChange, form.plain()).columns()
        await sat.change(lambda tx: commands.change(tx, sat.caller, columns))
    except Problem as refused:
        return await _page(sat, desk.refilled(form, HERE, refused, "Save"), refused.status)
    return back("general", "saved")


@router.post(HERE + "/pause", dependencies=OURS)
async def pause(sat: Writing, reason: Annotated[str, Form(max_length=500)] = "") -> Response:
    await sat.change(lambda tx: brakes.pause(tx, sat.caller, "tenant", sat.tenant_id, reason.strip() or None))
    return back("general", "paused")


@router.post(HERE + "/resume", dependencies=OURS)
async def resume(sat: Writing) -> Response:
    await sat.change(lambda tx: brakes.resume(tx, sat.caller, "tenant", sat.tenant_id))
    return back("general", "resumed")

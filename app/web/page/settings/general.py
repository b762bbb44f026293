"""General settings of the organization: sending, quiet hours, limits, automatic answers, pause."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import brakes
from app.commands import tenants as commands
from app.commands.directory import require_found
from app.domain.problems import Problem
from app.store import tenants
from app.store.schema import Tenant
from app.web.directory.settings import SettingsChange, build_answer
from app.web.page import forms
from app.web.page.forms import Field, Heading, group_fields
from app.web.page.page_request import RenderedForm, refill_form
from app.web.page.settings import choices
from app.web.page.settings.admin_request import (
    AdminGet,
    AdminPost,
    AdminRequest,
    PauseReason,
    redirect_back,
)
from app.web.page.settings.signing import SecretPage, store_secret

router = APIRouter(include_in_schema=False)
BASE_PATH = "/settings/general"
GROUPS = group_fields(
    Heading("Sending"),
    Field(
        "defaultProvider",
        "Preferred provider",
        "choice",
        choices=choices.PROVIDERS,
        hint="Used to choose a number if neither the conversation nor the campaign has one.",
    ),
    Field(
        "defaultCountry",
        "Country of phone numbers without a country code",
        "choice",
        required=True,
        choices=choices.COUNTRIES,
    ),
    Field(
        "timezone",
        "Time zone of figures",
        "choice",
        required=True,
        choices=choices.ZONES,
        hint="The days of the figures are days of this zone.",
    ),
    Field(
        "smartEncoding",
        "Replace typographic characters",
        "switch",
        hint="Curly quotes and long dashes become plain ones if that saves segments.",
    ),
    Field(
        "undoSeconds",
        "Time to undo a text",
        "whole",
        unit="seconds",
        hint="A text that a person writes waits so long before it leaves. If empty, it does not wait.",
    ),
    Heading(
        "Quiet hours",
        "In the recipient's time zone. Other texts wait until the morning. An answer within 15 minutes"
        " of the lead's text is sent at once.",
    ),
    Field("quietHours.enabled", "Keep quiet hours", "switch"),
    Field("quietHours.start", "Texts may leave from", "time", required=True),
    Field("quietHours.end", "Until", "time", required=True),
    Heading(
        "The law",
        "When marketing texts may be sent, and how many a day, by the recipient's state. Answers to leads are exempt."
        " This is not legal advice.",
    ),
    Field("lawRules", "Keep the rules of the law", "choice", required=True, choices=choices.LAW_SWITCH),
    Field(
        "lawExceptions",
        "Exceptions",
        "rows",
        parts=("rule", "reason"),
        part_words=("Rule", "Reason"),
        hint="A rule, such as us-fl-hours, and why it does not count for you. Both are kept in the audit.",
    ),
    Field(
        "maxFirstContactsPerDay",
        "First contacts with a phone",
        "whole",
        unit="texts in 24 hours",
        hint="While nobody has written from it. If empty, no limit but the law's.",
    ),
    Field(
        "maxTextsPerDayWithoutReply",
        "Texts to a phone without a reply",
        "whole",
        unit="texts in 24 hours",
        hint="If empty, no limit but the law's.",
    ),
    Field(
        "contactCheckUrl",
        "Webhook to ask before a first contact",
        hint="It says whether the phone was reassigned, is in a registry, or is a landline. While it does not answer,"
        " first contacts wait.",
    ),
    Field("contactCheckHours", "Its answer counts for", "whole", unit="hours", hint="If empty, 30 days."),
    Field(
        "agentDisclosure",
        "How an agent says that it is an automated assistant",
        "area",
        hint="If empty, a standard one. Each agent has its own switch.",
    ),
    Heading("Limits"),
    Field("textsPerDay", "Texts per day", "whole", unit="texts", hint="Accepted per day (UTC). If empty, no limit."),
    Field("allowedCountries", "Countries that may be texted", "words", hint="Codes such as US, CA. If empty, all."),
    Heading("Automatic answers"),
    Field(
        "optOutConfirmation",
        "Confirmation of STOP",
        "area",
        hint="If empty, a standard text. Not sent if the carrier sends its own confirmation.",
    ),
    Field("helpText", "Answer to HELP", "area", hint="If empty, a standard text."),
    Field(
        "possibleOptOut",
        "A text that may be an opt-out",
        "choice",
        required=True,
        choices=choices.POSSIBLE_OPT_OUTS,
        hint="Such as “wrong number”.",
    ),
    Field(
        "answerShortCodes",
        "Answer short codes",
        "switch",
        hint="Texts from numbers of 3 to 8 digits go to the agent, and STOP and HELP are answered. Often"
        " nobody reads the answers: most are machines.",
    ),
)


@router.get("/settings")
async def redirect_home() -> Response:
    return RedirectResponse(BASE_PATH, 303)


@router.get(BASE_PATH)
async def show_settings(admin: AdminGet) -> Response:
    return await _render_settings(admin)


@router.post(BASE_PATH)
async def change_settings(admin: AdminPost) -> Response:
    form = await forms.read_form(admin.request, GROUPS)
    try:
        columns = form.parse_body(SettingsChange).get_columns()
        await admin.run_change(lambda tx: commands.change(tx, admin.caller, columns))
    except Problem as problem:
        return await _render_settings(admin, refill_form(form, BASE_PATH, problem), problem.status)
    return redirect_back("general", "saved")


async def _render_settings(admin: AdminRequest, form: RenderedForm | None = None, status: int = 200) -> Response:
    row = require_found(await admin.run_read(lambda read: tenants.get(read, admin.tenant_id)))
    form = form or RenderedForm(BASE_PATH, GROUPS, forms.get_values(GROUPS, build_answer(row).data))
    return admin.show_page("general", "general", status, tenant=row, form=form, here=BASE_PATH)


SECRET_PAGE = SecretPage(
    "general", "With this secret your webhook verifies that a question comes from LeadSail SMS.", "the page General"
)


@router.post(BASE_PATH + "/rotate-secret")
async def rotate_check_secret(admin: AdminPost) -> Response:
    form = await forms.read_form(admin.request, [])
    _, secret = await store_secret(
        admin,
        form,
        lambda tx, sealed_secret: tenants.set_check_secret(tx, admin.tenant_id, sealed_secret),
        lambda _: admin.tenant_id,
    )
    return SECRET_PAGE.show(admin, None, secret, "The webhook for first contacts has a new secret")


@router.post(BASE_PATH + "/pause")
async def pause_tenant(admin: AdminPost, reason: PauseReason = "") -> Response:
    await admin.run_change(lambda tx: brakes.pause(tx, admin.caller, Tenant, admin.tenant_id, reason.strip() or None))
    return redirect_back("general", "paused")


@router.post(BASE_PATH + "/resume")
async def resume_tenant(admin: AdminPost) -> Response:
    await admin.run_change(lambda tx: brakes.resume(tx, admin.caller, Tenant, admin.tenant_id))
    return redirect_back("general", "resumed")

"""One lead: its form, new or known, beside its conversations and what may not be done."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import dnc
from app.commands import leads as commands
from app.commands.directory import require_found
from app.domain.lead_fields import CustomFields, CustomValue
from app.domain.problems import Invalid, NotFound, PreconditionFailed, Problem
from app.store import directory, interactions, lead_choices, leads
from app.store.engine import ReadTx, Tx
from app.store.schema import Lead
from app.web.directory.lead_fields import JSON_NUMBER
from app.web.directory.leads import LeadBody, LeadShape, NewLead
from app.web.page import forms
from app.web.page.forms import Field, Group, Heading, SubmittedForm, group_fields
from app.web.page.page_request import PageGet, PagePost, PageRequest, RenderedForm, refill_form
from app.web.page.settings import choices

router = APIRouter(prefix="/leads", include_in_schema=False)
NEW_PATH = "/leads/_new"
"""No lead's id begins with an underscore."""
CUSTOM_FIELDS, QUESTIONNAIRE = "customFields", "questionnaire"
ANSWER_PARTS = ("key", "question", "answer")
GROUPS = group_fields(
    Heading("Lead"),
    Field("firstName", "First name", is_half=True),
    Field("lastName", "Last name", is_half=True),
    Field("phone", "Phone", is_half=True, hint="In any common format."),
    Field("email", "E-mail", is_half=True),
    Field(
        "campaignId", "Campaign", "choice", is_half=True, hint="Its texts use the number and the agent of the campaign."
    ),
    Field("status", "Status", is_half=True, required=True, hint="A word of your own, such as new or contacted."),
    Field("timezone", "Time zone", is_half=True, hint="Such as America/New_York. If empty, the phone's."),
    Field("state", "State", is_half=True, hint="Such as TX. The law of the state counts."),
    Field("postalCode", "Postal code", is_half=True, hint="Tells the state, if none is given."),
    Field("leadId", "Id", is_half=True, hint="The id in your own system. If empty, one is created."),
    Field("isTest", "A test lead", "switch", hint="The campaign's test agent answers it."),
    Heading("Tags and custom fields"),
    Field("tags", "Tags", "tags", hint="Separated by commas."),
    Field(
        CUSTOM_FIELDS,
        "Custom fields",
        "rows",
        parts=("key", "value"),
        hint="Empty the value to remove a field. Save to get more rows.",
    ),
    Heading("Questionnaire", "No agent overwrites an answer that you change here."),
    Field(QUESTIONNAIRE, "Answers", "rows", parts=ANSWER_PARTS),
)
DONE_MESSAGES = {
    "added": "The lead was added.",
    "saved": "Saved.",
    "merged": "The two leads are one now.",
    "consent": "Saved what may not be done.",
}


async def _build_groups(read: ReadTx, tenant_id: str) -> list[Group]:
    return forms.with_choices(GROUPS, campaignId=await choices.list_campaigns(read, tenant_id))


@router.get("/_new")
async def show_new(page: PageGet) -> Response:
    groups = await page.run_read(lambda read: _build_groups(read, page.tenant_id))
    return page.render_page("leads/new", form=RenderedForm(NEW_PATH, groups, {"status": "new"}, submit="Add"))


@router.post("/_new")
async def add_lead(page: PagePost) -> Response:
    groups = await page.run_read(lambda read: _build_groups(read, page.tenant_id))
    form = await forms.read_form(page.request, groups)
    try:
        plain = _read_plain_values(form, {})
        filled_values = {name: value for name, value in plain.items() if value not in (None, [], {})}
        fields = forms.parse_body(NewLead, filled_values).get_named_fields()
        lead_id, _ = await page.run_once(
            form, lambda tx: commands.add(tx, page.caller, fields), lambda lead: lead.lead_id
        )
    except Problem as problem:
        shown_form = refill_form(form, NEW_PATH, problem, "Add")
        return page.render_page("leads/new", problem.status, form=shown_form)
    return RedirectResponse(f"/leads/{lead_id}?done=added", 303)


def _read_plain_values(form: SubmittedForm, known_fields: CustomFields) -> dict[str, Any]:
    """The form as a body of the API. Raises `Invalid`."""
    plain = form.get_plain_values()
    plain[CUSTOM_FIELDS] = _read_custom_fields(plain[CUSTOM_FIELDS], known_fields)
    return plain


def _read_custom_fields(pairs: list[dict[str, str]], known_fields: CustomFields) -> dict[str, CustomValue | None]:
    """What the API takes: null for a field that is gone. A known field keeps its type, a new one is a
    text, as in an import. Raises `Invalid`."""
    repeated_keys = [key for key, count in Counter(pair["key"] for pair in pairs).items() if count > 1]
    if repeated_keys:
        raise Invalid(details=[f"{CUSTOM_FIELDS}: has two rows for {repeated_keys[0]}"])
    new_fields = {pair["key"]: _keep_type(pair["value"], known_fields.get(pair["key"])) for pair in pairs}
    return {**dict.fromkeys(known_fields), **new_fields}


def _keep_type(text: str, known_value: CustomValue | None) -> CustomValue | None:
    if known_value is not None and text == show_custom_value(known_value):
        return known_value
    if isinstance(known_value, bool) and text in ("true", "false"):
        return text == "true"
    if isinstance(known_value, int | float) and not isinstance(known_value, bool) and JSON_NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text or None


def show_custom_value(value: CustomValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@router.get("/{lead_id}")
async def show_lead(page: PageGet, lead_id: str) -> Response:
    return await render_lead(page, lead_id)


async def render_lead(
    page: PageRequest, lead_id: str, problem: Problem | None = None, form: SubmittedForm | None = None
) -> Response:
    """The page of a lead. A problem is shown beside the fields of `form`, or without a form at the top.
    Raises `NotFound`."""
    tenant_id, here = page.tenant_id, f"/leads/{lead_id}"
    async with page.resources.database.read_tx(tenant_id) as read:
        lead = require_found(await directory.get(read, Lead, tenant_id, lead_id))
        groups = forms.drop_fields(await _build_groups(read, tenant_id), "leadId")
        values = _get_values(groups, lead)
        context = {
            "lead": lead,
            "choice": await lead_choices.get(read, tenant_id, lead_id),
            "threads": await interactions.list_of_lead(read, tenant_id, lead_id),
            "consent": await dnc.get_dnc(read, tenant_id, lead_id),
        }
    shown_form = refill_form(form, here, problem) if problem and form else RenderedForm(here, groups, values)
    return page.render_page(
        "leads/lead",
        problem.status if problem else 200,
        here=here,
        form=shown_form.with_seen(_build_version(lead)),
        refused=None if form else problem,
        done=DONE_MESSAGES.get(page.request.query_params.get("done", "")),
        **context,
    )


def _get_values(groups: list[Group], lead: Lead) -> Mapping[str, Any]:
    """The lead for the controls. What its rows lack is empty there."""
    shape = LeadShape.of(lead, is_dnc=False, questionnaire=[])
    plain_groups = forms.drop_fields(groups, CUSTOM_FIELDS, QUESTIONNAIRE)
    return {
        **forms.get_values(plain_groups, shape),
        CUSTOM_FIELDS: [[key, show_custom_value(value)] for key, value in sorted(lead.custom_fields.items())],
        QUESTIONNAIRE: [[entry.get(part) or "" for part in ANSWER_PARTS] for entry in lead.questionnaire],
    }


def _build_version(lead: Lead) -> str:
    return lead.updated_at.isoformat()


@router.post("/{lead_id}")
async def change_lead(page: PagePost, lead_id: str) -> Response:
    """Changes the lead, unless somebody else did since the person opened it."""
    groups = forms.drop_fields(await page.run_read(lambda read: _build_groups(read, page.tenant_id)), "leadId")
    form = await forms.read_form(page.request, groups)

    async def change(tx: Tx) -> None:
        lead = require_found(await leads.lock(tx, page.tenant_id, lead_id))
        if form.data.get("seen") != _build_version(lead):
            raise PreconditionFailed("Somebody has changed this lead since you opened it. Save again to overwrite it.")
        plain = _read_plain_values(form, lead.custom_fields)
        await commands.change(tx, page.caller, lead_id, forms.parse_body(LeadBody, plain).get_named_fields())

    try:
        await page.run_change(change)
    except NotFound:
        raise
    except Problem as problem:
        return await render_lead(page, lead_id, problem, form)
    return RedirectResponse(f"/leads/{lead_id}?done=saved", 303)

"""The consent ledger of a lead's phone: what was consented to, and an entry by hand."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import consents
from app.commands.directory import require_found
from app.domain import ids
from app.domain.consent import find_standing, get_basis
from app.domain.problems import MissingPhoneNumber, NotFound, Problem
from app.domain.words import ConsentScope
from app.store import consent_events, lead_choices
from app.store.engine import ReadTx
from app.web.directory.consent import NewConsent, Revoke, build_given_consent
from app.web.page import forms
from app.web.page.actor_words import describe_actors
from app.web.page.forms import Field, Group, Heading, SubmittedForm, group_fields
from app.web.page.page_request import PageGet, PagePost, PageRequest, RenderedForm, refill_form
from app.web.page.settings.choices import CONSENT_BASES

router = APIRouter(prefix="/leads/{lead_id}/consents", include_in_schema=False)
SCOPE_FIELD = Field(
    "scopes", "For", "several", choices=[("marketing", "Marketing"), ("conversational", "Conversation")]
)
RECORD_GROUPS = group_fields(
    Heading("Record a consent", "An entry never changes: to correct one, record another."),
    Field("basis", "Basis", "choice", required=True, choices=[*CONSENT_BASES, ("none", "There is none")]),
    SCOPE_FIELD,
    Field("source", "Source", hint="Where it was given, such as the address of a form, or to whom."),
    Field("wording", "The words that were agreed to", "area", hint="Only their hash is kept."),
    Field("proof", "Proof", hint="An address or id under which you keep it."),
    Field("obtainedAt", "Given on", "day", hint="If empty, now."),
)
REVOKE_GROUPS = group_fields(
    Heading("Record that it was taken back", "Texts that wait and needed it are cancelled."),
    SCOPE_FIELD,
    Field("reason", "Reason"),
)
BOTH_SCOPES = ["marketing", "conversational"]
DAY_PATTERN = re.compile(r"\d{4}-\d\d-\d\d")
DONE_MESSAGES = {"recorded": "The consent was recorded.", "revoked": "It was recorded that the consent was taken back."}


@router.get("")
async def show_ledger(page: PageGet, lead_id: str) -> Response:
    return await _render_ledger(page, lead_id, RECORD_GROUPS)


@router.get("/revoke")
async def ask_to_revoke(page: PageGet, lead_id: str) -> Response:
    return await _render_ledger(page, lead_id, REVOKE_GROUPS)


@router.post("")
async def record_consent(page: PagePost, lead_id: str) -> Response:
    form = await forms.read_form(page.request, RECORD_GROUPS)
    try:
        phone = await page.run_read(lambda read: _get_phone(read, page.tenant_id, lead_id))
        consent = build_given_consent(phone, forms.parse_body(NewConsent, _read_values(form, page.zone)))
        await page.run_once(form, lambda tx: consents.record(tx, page.caller, consent), lambda _: ids.make("evt"))
    except NotFound:
        raise
    except Problem as problem:
        return await _render_ledger(page, lead_id, RECORD_GROUPS, problem, form)
    return RedirectResponse(f"/leads/{lead_id}/consents?done=recorded", 303)


@router.post("/revoke")
async def revoke_consent(page: PagePost, lead_id: str) -> Response:
    form = await forms.read_form(page.request, REVOKE_GROUPS)
    try:
        phone = await page.run_read(lambda read: _get_phone(read, page.tenant_id, lead_id))
        body = form.parse_body(Revoke)
        await page.run_once(
            form,
            lambda tx: consents.revoke(tx, page.caller, phone, body.scopes, body.reason),
            lambda _: ids.make("evt"),
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _render_ledger(page, lead_id, REVOKE_GROUPS, problem, form)
    return RedirectResponse(f"/leads/{lead_id}/consents?done=revoked", 303)


async def _get_phone(read: ReadTx, tenant_id: str, lead_id: str) -> str:
    """Raises `NotFound`, `MissingPhoneNumber`."""
    choice = require_found(await lead_choices.get(read, tenant_id, lead_id))
    if choice.phone is None:
        raise MissingPhoneNumber("The lead has no phone that a consent could be about.")
    return choice.phone


def _read_values(form: SubmittedForm, zone: tzinfo) -> dict[str, Any]:
    """What was filled in. A day becomes its first moment in the person's zone, in the form that the API takes."""
    values = {name: value for name, value in form.get_plain_values().items() if value is not None}
    day = values.get("obtainedAt", "")
    if DAY_PATTERN.fullmatch(day):
        try:
            moment = datetime.combine(date.fromisoformat(day), time(), zone).astimezone(UTC)
        except (ValueError, OverflowError):
            return values  # the API says what is wrong with it
        values["obtainedAt"] = moment.isoformat()
    return values


async def _render_ledger(
    page: PageRequest,
    lead_id: str,
    groups: Sequence[Group],
    problem: Problem | None = None,
    form: SubmittedForm | None = None,
) -> Response:
    """The record and one of the two forms. A problem is shown beside the fields of `form`."""
    tenant_id, here = page.tenant_id, f"/leads/{lead_id}"
    async with page.resources.database.read_tx(tenant_id) as read:
        choice = require_found(await lead_choices.get(read, tenant_id, lead_id))
        events = await consent_events.list_of_phone(read, tenant_id, choice.phone) if choice.phone else []
        actors = await describe_actors(read, tenant_id, {event.actor for event in events}, choice.name)
    standing: dict[ConsentScope, str] = {scope: get_basis(event) for scope, event in find_standing(events).items()}
    action, submit = (
        (f"{here}/consents/revoke", "Revoke") if groups is REVOKE_GROUPS else (f"{here}/consents", "Record")
    )
    new_form = RenderedForm(action, groups, {"basis": "express", "scopes": BOTH_SCOPES}, submit=submit)
    return page.render_page(
        "leads/ledger",
        problem.status if problem else 200,
        here=here,
        lead=choice,
        consent=events,
        standing=standing,
        actors=actors,
        form=refill_form(form, action, problem, submit) if problem and form else new_form,
        is_revoking=groups is REVOKE_GROUPS,
        refused=problem,
        done=DONE_MESSAGES.get(page.request.query_params.get("done", "")),
    )

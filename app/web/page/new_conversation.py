"""Starting a conversation: find a lead or add one, see who would send, write.

What the form says before it sends comes from the same code as a dry run of POST /sms/send."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import leads as lead_commands
from app.commands import resolve
from app.domain import ids, phones
from app.domain.callers import Caller
from app.domain.idempotency import IdempotencyKey, ReplayedAnswer
from app.domain.orders import Order, RefusedOrder, ResolvedOrder
from app.domain.problems import Invalid, NotFound, Problem
from app.store import interactions, lead_choices, leads, suppressions, tenants
from app.store import page as store
from app.store.engine import ReadTx, Tx
from app.store.lead_choices import LeadChoice
from app.store.thread_filters import CommonFilter
from app.web.idempotency import claim_key
from app.web.page import canned_choices, later, manual_texts, render, visits
from app.web.page.attachments import AttachmentsForm
from app.web.page.manual_texts import Draft, DraftForm, ManualText
from app.web.page.threads import REPLACEMENTS_BY_CHARACTER
from app.web.page.visits import Visit, VisitGet, VisitPost

router = APIRouter(prefix="/conversations/new", include_in_schema=False)
LEAD_ROUTE = "page leads"
"""The route of the idempotency keys of the page's new leads: a double click adds one."""
SOME_TEXT = "…"
"""Stands for the text in a dry run while the box is empty; who sends does not depend on the words."""


@router.get("")
async def show_start(
    visit: VisitGet,
    who: Annotated[str, Query(max_length=100)] = "",
    lead: Annotated[str, Query(max_length=128)] = "",
    sender: Annotated[str, Query(alias="from", max_length=40)] = "",
    canned: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """`who`: what somebody typed to find a lead. `lead`: the chosen one. `canned`: a canned reply to put into
    the box, for browsers without JavaScript."""
    if lead:
        draft = Draft(sender=sender)
        if canned:
            async with visit.resources.database.read_tx(visit.tenant_id) as read:
                draft.message = await canned_choices.get_words(read, visit.tenant_id, canned, lead_id=lead)
        return await _show_form(visit, lead, draft)
    return await _show_search(visit, who.strip())


async def _show_search(
    visit: Visit, who: str, problem: Problem | None = None, typed: dict[str, str] | None = None
) -> Response:
    tenant_id = visit.tenant_id
    async with visit.resources.database.read_tx(tenant_id) as read:
        if who:
            found_leads = await lead_choices.find_page(read, tenant_id, CommonFilter(search=who))
        else:
            found_leads = await lead_choices.list_newest(read, tenant_id)
        phone = await _read_new_phone(read, tenant_id, who)
        # Several leads may have one phone, but nobody wants to add a second one by mistake.
        is_known = phone is not None and any(choice.phone == phone for choice in found_leads)
    start = {"lead": None, "who": who, "found": found_leads, "phone": None if is_known else phone, "typed": typed or {}}
    return await visits.show_start(visit, start, problem)


async def _read_new_phone(read: ReadTx, tenant_id: str, who: str) -> str | None:
    """The phone that somebody typed; None: it is none that can be texted."""
    try:
        return phones.normalize_phone(who, await tenants.get_country(read, tenant_id)) if who else None
    except Invalid:
        return None


@router.post("/lead")
async def add_lead(
    visit: VisitPost,
    once: Annotated[str, Form(min_length=8, max_length=64)],
    phone: Annotated[str, Form(max_length=64)] = "",
    first_name: Annotated[str, Form(alias="firstName", max_length=200)] = "",
    last_name: Annotated[str, Form(alias="lastName", max_length=200)] = "",
    campaign_id: Annotated[str, Form(alias="campaignId", max_length=64)] = "",
) -> Response:
    """Adds a lead with this phone, unless one has it already."""
    typed = {"first_name": first_name.strip(), "last_name": last_name.strip(), "campaign_id": campaign_id}
    try:
        if any("\x00" in value for value in (phone, *typed.values())):
            raise Invalid(details=["phone: must not contain the NUL character"])
        fields = {"phone": phone} | {name: value for name, value in typed.items() if value}
        lead_id = await _add_lead_once(visit, once, fields)
    except Problem as problem:
        return await _show_search(visit, phone, problem, typed)
    return _redirect_to_form(visit, lead_id)


async def _add_lead_once(visit: Visit, once: str, fields: dict[str, str]) -> str:
    caller = visit.caller
    digest = sha256("\0".join([*fields, *fields.values()]).encode()).digest()
    try:
        async with visit.resources.database.tenant_tx(caller.tenant_id) as tx:
            idempotency = await claim_key(tx, caller.tenant_id, IdempotencyKey(LEAD_ROUTE, once, digest))
            phone = phones.normalize_phone(fields["phone"], await tenants.get_country(tx, caller.tenant_id))
            known = await leads.find_by_phone(tx, caller.tenant_id, [phone], [])
            lead_id = known.get(phone) or (await lead_commands.add(tx, caller, fields)).lead_id
            await idempotency.store_data({"leadId": lead_id}, 201)
    except ReplayedAnswer as replayed_answer:
        lead_id = replayed_answer.data["leadId"]
    return lead_id


def _redirect_to_form(visit: Visit, lead_id: str) -> Response:
    place = visit.list_filter.model_dump() | {"lead": lead_id}
    return RedirectResponse(f"/conversations/new{render.build_query(place)}", 303)


@router.post("/texts")
async def send_text(
    visit: VisitPost,
    draft: DraftForm,
    attachments: AttachmentsForm,
    lead_id: Annotated[str, Form(alias="lead", min_length=1, max_length=128)],
    once: Annotated[str, Form(min_length=8, max_length=64)],
    action: Annotated[Literal["send", "check"], Form()] = "send",
) -> Response:
    """Sends the first text, or shows who would send it (`check`). A form that is posted twice sends one."""
    try:
        manual_text = await manual_texts.parse_text(draft, attachments, visit.zone)
        if action == "check":
            return await _show_form(visit, lead_id, draft, manual_text)
        order = _build_order(visit.caller, lead_id, manual_text)

        async def get_order(_: Tx) -> Order:
            return order

        sent_to = await manual_texts.send_once(visit.resources, visit.caller, lead_id, manual_text, once, get_order)
    except NotFound:
        raise
    except Problem as problem:
        return await _show_form(visit, lead_id, draft, problem=problem)
    return visits.redirect_to_thread(visit, sent_to, "#newest")


def _build_order(caller: Caller, lead_id: str, manual_text: ManualText) -> Order:
    return Order(
        tenant_id=caller.tenant_id,
        message_id=ids.make("msg"),
        thread_id=ids.make("int"),
        lead_id=lead_id,
        text=manual_text.text,
        source=caller.source,
        actor=caller.actor,
        sender=manual_text.sender or None,
        media=manual_text.urls,
        send_at=manual_text.send_at,
    )


@dataclass(frozen=True, slots=True)
class Forecast:
    """Who would send a text to the lead, and when; or the words of the refusal."""

    resolved: ResolvedOrder | None
    refusal: str = ""

    @property
    def rules(self) -> dict[str, str]:
        """The rule that decided each field."""
        return {rule.field: rule.rule for rule in self.resolved.resolution} if self.resolved else {}


async def _show_form(
    visit: Visit, lead_id: str, draft: Draft, checked: ManualText | None = None, problem: Problem | None = None
) -> Response:
    """Shows the form for a text to the lead. Raises `NotFound`. `checked`: the text whose dry run is shown."""
    caller = visit.caller
    async with visit.resources.database.read_tx(caller.tenant_id) as read:
        lead = await lead_choices.get(read, caller.tenant_id, lead_id)
        if lead is None:
            raise NotFound("There is no lead at this address.")
        blank_text = ManualText(SOME_TEXT, "", None, (), ())
        automatic, chosen = await _forecast(read, caller, lead_id, [blank_text, checked or blank_text])
        start = await _build_form_context(read, caller.tenant_id, lead, visit.zone, draft.when)
    bytes_by_sender = {sender.phone_number: sender.max_media_bytes for sender in start["senders"]}
    start |= {
        "draft": draft,
        "automatic": automatic,
        "automatic_bytes": bytes_by_sender.get(automatic.resolved.sender, 0) if automatic.resolved else 0,
        "checked": chosen if checked else None,
    }
    return await visits.show_start(visit, start, problem)


async def _forecast(read: ReadTx, caller: Caller, lead_id: str, texts: list[ManualText]) -> list[Forecast]:
    orders = [
        # What has files is judged like what has addresses of files.
        replace(_build_order(caller, lead_id, text), media=(*text.urls, *("" for _ in text.files)))
        for text in texts
    ]
    results = await resolve.resolve_orders(read, orders)
    return [
        Forecast(None, _describe_refusal(result.problem)) if isinstance(result, RefusedOrder) else Forecast(result)
        for result in results
    ]


def _describe_refusal(problem: Problem) -> str:
    """The words without the names of the fields."""
    return "; ".join(f"{detail.partition(': ')[2] or detail}." for detail in problem.details) or problem.message


async def _build_form_context(
    read: ReadTx, tenant_id: str, lead: LeadChoice, zone: tzinfo, chosen_time: str
) -> dict[str, Any]:
    tenant = await tenants.get(read, tenant_id)
    assert tenant is not None
    causes = (await suppressions.get_causes(read, tenant_id, [lead.phone])) if lead.phone else {}
    return {
        "lead": lead,
        "causes": causes.get(lead.phone or "", []),
        "senders": await store.list_senders(read, tenant_id, lead.campaign_id, None),
        "canned": await canned_choices.list_filled(read, tenant_id, lead_id=lead.lead_id),
        "lead_clock": later.read_clock(
            lead.phone or "", lead.state, lead.postal_code, lead.timezone, zone, datetime.now(UTC), chosen_time
        ),
        "lead_threads": await interactions.list_of_lead(read, tenant_id, lead.lead_id),
        "twins": REPLACEMENTS_BY_CHARACTER if tenant.smart_encoding else None,
    }

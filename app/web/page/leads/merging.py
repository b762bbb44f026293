"""Merging two leads that are one person: find the other one, compare, merge."""

from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import merge as commands
from app.commands.directory import require_found
from app.domain.problems import NotFound, Problem
from app.store import directory, lead_choices
from app.store.schema import Lead
from app.store.thread_filters import CommonFilter
from app.web.page.page_request import PageRequest
from app.web.page.settings.admin_request import AdminGet, AdminPost

router = APIRouter(prefix="/leads/{lead_id}/merge", include_in_schema=False)
LeadId = Annotated[str, Query(alias="from", max_length=64)]


@router.get("")
async def show_merge(
    page: AdminGet, lead_id: str, who: Annotated[str, Query(max_length=100)] = "", from_id: LeadId = ""
) -> Response:
    """`who`: what somebody typed to find the other lead. `from`: the other lead."""
    return await _render_merge(page, lead_id, who.strip(), from_id)


async def _render_merge(
    page: PageRequest, lead_id: str, who: str, from_id: str, problem: Problem | None = None
) -> Response:
    tenant_id = page.tenant_id
    async with page.resources.database.read_tx(tenant_id) as read:
        lead = require_found(await directory.get(read, Lead, tenant_id, lead_id))
        other_lead = await directory.get(read, Lead, tenant_id, from_id) if from_id else None
        similar_leads = await lead_choices.find_page(
            read, tenant_id, CommonFilter(search=who or lead.last_name or lead.phone)
        )
        choices_by_id = await lead_choices.get_many(read, tenant_id, [lead_id, *([from_id] if from_id else [])])
    if from_id and other_lead is None:
        raise NotFound("There is no lead with this id.")
    return page.render_page(
        "leads/merge",
        problem.status if problem else 200,
        here=f"/leads/{lead_id}",
        lead=lead,
        other=other_lead,
        known=choices_by_id,
        found=[choice for choice in similar_leads if choice.lead_id != lead_id],
        who=who,
        refused=problem,
    )


@router.post("")
async def merge_lead(
    page: AdminPost, lead_id: str, from_id: Annotated[str, Form(alias="from", max_length=64)]
) -> Response:
    try:
        await page.run_change(lambda tx: commands.merge_leads(tx, page.caller, lead_id, from_id))
    except NotFound:
        raise
    except Problem as problem:
        return await _render_merge(page, lead_id, "", from_id, problem)
    return RedirectResponse(f"/leads/{lead_id}?done=merged", 303)

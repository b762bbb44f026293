"""Removing a lead to whom nobody has written, and erasing one with all that is known of it."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import erase
from app.commands import leads as commands
from app.commands.directory import require_found
from app.domain.problems import NotFound, Problem
from app.store import lead_choices
from app.web.page.leads.editing import render_lead
from app.web.page.page_request import PagePost
from app.web.page.settings.admin_request import AdminGet, AdminPost

router = APIRouter(prefix="/leads/{lead_id}", include_in_schema=False)


@router.post("/remove")
async def remove_lead(page: PagePost, lead_id: str) -> Response:
    try:
        await page.run_change(lambda tx: commands.remove(tx, page.caller, lead_id))
    except NotFound:
        raise
    except Problem as problem:
        return await render_lead(page, lead_id, problem)
    return RedirectResponse("/leads?done=removed", 303)


@router.get("/erase")
async def ask_to_erase(page: AdminGet, lead_id: str) -> Response:
    choice = require_found(await page.run_read(lambda read: lead_choices.get(read, page.tenant_id, lead_id)))
    return page.render_page("leads/erase", lead=choice, here=f"/leads/{lead_id}")


@router.post("/erase")
async def erase_lead(page: AdminPost, lead_id: str) -> Response:
    await page.run_change(lambda tx: erase.erase_lead(tx, page.caller, lead_id))
    return RedirectResponse("/leads?done=erased", 303)

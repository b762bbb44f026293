"""How a lead must not be contacted: asked with what it does, before anything is done."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.commands import dnc as commands
from app.commands.directory import require_found
from app.domain.problems import NotFound, Problem
from app.domain.words import Channel
from app.store import lead_choices
from app.web.page.page_request import PageGet, PagePost, PageRequest
from app.web.page.render import CHANNEL_WORDS

router = APIRouter(include_in_schema=False)
Channels = Annotated[list[Channel], Form(default_factory=list, max_length=len(CHANNEL_WORDS))]
Reason = Annotated[str, Form(max_length=500)]


@router.get("/leads/{lead_id}/do-not-contact")
async def ask_about_lead(page: PageGet, lead_id: str) -> Response:
    return await _render_question(page, lead_id)


async def _render_question(page: PageRequest, lead_id: str, problem: Problem | None = None) -> Response:
    async with page.resources.database.read_tx(page.tenant_id) as read:
        choice = require_found(await lead_choices.get(read, page.tenant_id, lead_id))
        consent = await commands.get_dnc(read, page.tenant_id, lead_id)
    return page.render_page(
        "leads/consent",
        problem.status if problem else 200,
        lead=choice,
        consent=consent,
        here=f"/leads/{lead_id}",
        refused=problem,
    )


@router.post("/leads/{lead_id}/do-not-contact")
async def set_channels(page: PagePost, lead_id: str, channels: Channels, reason: Reason = "") -> Response:
    """Blocks the ticked channels and allows the others."""
    try:
        await page.run_change(
            lambda tx: commands.set_channels(tx, page.caller, lead_id, channels, reason.strip() or None)
        )
    except NotFound:
        raise
    except Problem as problem:
        return await _render_question(page, lead_id, problem)
    return RedirectResponse(f"/leads/{lead_id}?done=consent", 303)

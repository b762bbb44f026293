"""The Conversations page: list, thread and contact."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.web.page import canned_choices, visits
from app.web.page.manual_texts import Draft
from app.web.page.visits import VisitGet

router = APIRouter(include_in_schema=False)


@router.get("/conversations")
async def show_list(visit: VisitGet) -> Response:
    return await visits.show_list(visit)


@router.get("/conversations/{interaction_id}")
async def show_thread(
    interaction_id: str,
    visit: VisitGet,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    canned: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """`canned` is a canned reply to put into the compose box, for browsers without JavaScript."""
    draft = Draft()
    if canned:
        async with visit.resources.database.read_tx(visit.tenant_id) as read:
            draft.message = await canned_choices.get_words(read, visit.tenant_id, canned, interaction_id=interaction_id)
    return await visits.show_thread(visit, interaction_id, before=before, draft=draft)

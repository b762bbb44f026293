"""Texts of a thread that wait for their time: changed, or cancelled."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.responses import Response

from app.commands import bulk, manual_texts
from app.commands.directory import require_found
from app.domain.orders import require_sendable
from app.domain.problems import Conflict, Invalid, NotFound
from app.domain.reply_variables import require_filled
from app.store import messages
from app.web.page import later, threads, visits
from app.web.page.manual_texts import ManualText, build_order
from app.web.page.visits import VisitPost

router = APIRouter(prefix="/conversations/{interaction_id}", include_in_schema=False)
TextId = Annotated[str, Form(max_length=64)]


class NotByHand(Conflict):
    code, default = "NOT_BY_HAND", "Only a text that a person wrote can be changed. Cancel this one, and write another."


@router.post("/cancel")
async def cancel_text(interaction_id: str, visit: VisitPost, text: TextId) -> Response:
    """Cancels a scheduled text, or one held for quiet hours."""

    async def cancel_one() -> None:
        async with visit.resources.database.tenant_tx(visit.tenant_id) as tx:
            await bulk.cancel_text(tx, visit.caller, text)

    return await visits.run_and_go_back(visit, interaction_id, cancel_one)


@router.post("/scheduled")
async def change_scheduled(
    interaction_id: str,
    visit: VisitPost,
    text: TextId,
    message: Annotated[str, Form(max_length=10_000)] = "",
    at: Annotated[str, Form(max_length=30)] = "",
    now: Annotated[str, Form(max_length=1)] = "",
) -> Response:
    """Changes the words and the time of a text that has not left: the new one takes the place of the old one in
    one transaction, so there is always exactly one. `now`: it leaves at once."""

    async def change_one() -> None:
        caller = visit.caller
        send_at = None if now else later.parse_moment("", at, "", visit.zone)
        if not now and send_at is None:
            raise Invalid(details=["Send at: is missing"])
        words = require_filled(require_sendable(message.replace("\r\n", "\n")))
        async with visit.resources.database.system_tx() as tx:
            former = require_found(await messages.get(tx, caller.tenant_id, text))
            if former.interaction_id != interaction_id:
                raise NotFound
            if former.source != "manual":  # the new order would lack what its own has, as that a reply cancels it
                raise NotByHand
            await bulk.cancel_text(tx, caller, text)
            thread = await threads.find_thread(tx, caller.tenant_id, interaction_id)
            urls = tuple(item["url"] for item in former.media)
            order = build_order(caller, thread, ManualText(words, "", send_at, (), urls))
            base_url = visit.resources.settings.base_url
            await manual_texts.send_text(tx, caller, replace(order, purpose=former.purpose), (), base_url)

    return await visits.run_and_go_back(visit, interaction_id, change_one, {"text": text, "message": message, "at": at})

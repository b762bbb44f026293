"""Texts that people write: what their form has, and sending it once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from hashlib import sha256

from pydantic import BaseModel

from app.commands import manual_texts
from app.domain.callers import Caller
from app.domain.idempotency import IdempotencyKey, ReplayedAnswer
from app.domain.media import MediaFile
from app.domain.orders import Order, require_sendable
from app.domain.reply_variables import require_filled
from app.resources import Resources
from app.store import tenants
from app.store.engine import Tx
from app.web.idempotency import claim_key
from app.web.page import times
from app.web.page.attachments import Attachments

PAGE_ROUTE = "page texts"
"""The route of the idempotency keys of the page's sends: a double click sends once."""
OrderBuilder = Callable[[Tx], Awaitable[Order]]


class Draft(BaseModel):
    """What a form for a text contains. A refused text stays there, with the reason above it."""

    message: str = ""
    sender: str = ""
    at: str = ""
    urls: str = ""
    had_files: bool = False
    """Files were chosen. A browser does not keep them when the page is loaded anew."""
    take: bool = False
    moved: bool = False
    """Somebody wrote after the person loaded the page. A button then sends anyway."""


@dataclass(frozen=True, slots=True)
class ManualText:
    """A text by hand with its media, checked as far as that is possible without the database."""

    text: str
    sender: str
    send_at: datetime | None
    files: Sequence[MediaFile]
    urls: tuple[str, ...]

    @property
    def digest_parts(self) -> list[bytes]:
        parts = [self.sender, self.text, str(self.send_at), *self.urls]
        return [*(part.encode() for part in parts), *(sha256(file.content).digest() for file in self.files)]


async def parse_text(draft: Draft, attachments: Attachments, zone: tzinfo) -> ManualText:
    """Raises `Invalid`. A local time of the draft is one in the person's zone."""
    return ManualText(
        text=require_filled(require_sendable(draft.message)),
        sender=draft.sender,
        send_at=times.parse_local("Send at", draft.at, zone) if draft.at else None,
        files=await attachments.read_files(),
        urls=attachments.list_urls(),
    )


async def send_once(
    resources: Resources, caller: Caller, to: str, manual_text: ManualText, once: str, build_order: OrderBuilder
) -> str:
    """Sends the text once, after the time to undo it, and returns the id of its thread. `once` is the token
    of the form; `to` names the lead or the thread that it is for."""
    digest = sha256(b"\0".join([to.encode(), *manual_text.digest_parts])).digest()
    try:
        async with resources.database.system_tx() as tx:
            idempotency = await claim_key(tx, caller.tenant_id, IdempotencyKey(PAGE_ROUTE, once, digest))
            order = await build_order(tx)
            if order.send_at is None:
                order = replace(order, send_at=await tenants.get_undo_time(tx, caller.tenant_id))
            answer = await manual_texts.send_text(tx, caller, order, manual_text.files, resources.settings.base_url)
            await idempotency.store_data(answer, 202)
    except ReplayedAnswer as replayed_answer:
        answer = replayed_answer.data
    sent_to: str = answer["interactionId"]
    return sent_to

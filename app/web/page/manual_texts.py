"""Texts that people write: what their form has, and sending it once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from hashlib import sha256
from typing import Annotated, Literal

from fastapi import Depends, Form
from pydantic import BaseModel

from app.commands import manual_texts
from app.domain import ids
from app.domain.callers import Caller
from app.domain.idempotency import IdempotencyKey, ReplayedAnswer
from app.domain.media import MediaFile
from app.domain.orders import Order, require_sendable
from app.domain.reply_variables import require_filled
from app.resources import Resources
from app.store import tenants
from app.store.engine import Tx
from app.store.interactions import Thread
from app.web.idempotency import claim_key
from app.web.page import later
from app.web.page.attachments import Attachments, AttachmentsForm

PAGE_ROUTE = "page texts"
"""The route of the idempotency keys of the page's sends: a double click sends once."""
OrderBuilder = Callable[[Tx], Awaitable[Order]]


class Draft(BaseModel):
    """What a form for a text contains. A refused text stays there, with the reason above it."""

    message: str = ""
    sender: str = ""
    when: str = ""
    at: str = ""
    clock: str = ""
    """When it leaves: see `later.parse_moment`."""
    urls: str = ""
    had_files: bool = False
    """Files were chosen. A browser does not keep them when the page is loaded anew."""
    take: bool = False
    is_note: bool = False
    """It is a note for colleagues."""
    for_agent: bool = False
    moved: bool = False
    """Somebody wrote after the person loaded the page. A button then sends anyway."""


async def read_draft(
    attachments: AttachmentsForm,
    sender: Annotated[str, Form(alias="from", max_length=40)] = "",
    message: Annotated[str, Form(max_length=10_000)] = "",
    when: Annotated[str, Form(max_length=40)] = "",
    at: Annotated[str, Form(max_length=30)] = "",
    clock: Annotated[str, Form(max_length=64)] = "",
    take: Annotated[Literal["", "1"], Form()] = "",
    kind: Annotated[Literal["text", "note"], Form()] = "text",
    for_agent: Annotated[Literal["", "1"], Form(alias="forAgent")] = "",
) -> Draft:
    return Draft(
        # Browsers send line breaks of a form as CR LF; texts have LF.
        message=message.replace("\r\n", "\n"),
        sender=sender,
        when=when,
        at=at,
        clock=clock,
        urls=attachments.urls,
        had_files=bool(attachments.uploads),
        take=bool(take),
        is_note=kind == "note",
        for_agent=bool(for_agent),
    )


DraftForm = Annotated[Draft, Depends(read_draft)]


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
        send_at=later.parse_moment(draft.when, draft.at, draft.clock, zone),
        files=await attachments.read_files(),
        urls=attachments.list_urls(),
    )


def build_order(caller: Caller, thread: Thread, manual_text: ManualText) -> Order:
    """Another sender number than the thread's means another thread."""
    elsewhere = manual_text.sender not in ("", thread.our_number)
    return Order(
        tenant_id=caller.tenant_id,
        message_id=ids.make("msg"),
        thread_id=ids.make("int"),
        lead_id=thread.lead_id,
        text=manual_text.text,
        source=caller.source,
        actor=caller.actor,
        to=thread.lead_phone,
        sender=manual_text.sender if elsewhere else None,
        interaction_id=None if elsewhere else thread.interaction_id,
        media=manual_text.urls,
        send_at=manual_text.send_at,
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

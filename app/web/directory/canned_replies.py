"""Canned replies: texts that people can insert on the Conversations page."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from app.commands import canned as commands
from app.commands.directory import require_found
from app.store import directory
from app.store.engine import Tx
from app.store.schema import CannedReply
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted, list_rows
from app.web.envelope import Answer, Body, Name, Out, StoredText
from app.web.idempotency import Idempotent
from app.web.paging import PageParams
from app.web.shapes import show_fields_of
from app.web.versions import VersionedRoute, guarded_by, lock_row_of

router = APIRouter(prefix="/api/v1/canned-replies", route_class=VersionedRoute, tags=["Canned replies"])


class ReplyChange(Body):
    title: Name | None = None
    text: StoredText | None = None


class NewReply(Body):
    title: Name
    text: StoredText


@show_fields_of(ReplyChange, CannedReply, after="canned_reply_id")
class ReplyShape(Out):
    canned_reply_id: str
    created_at: datetime
    updated_at: datetime


class Replies(Out):
    canned_replies: list[ReplyShape]
    next_cursor: str | None
    has_more: bool


@router.post("", status_code=201, summary="Add a canned reply")
async def add_canned_reply(
    body: NewReply, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[ReplyShape]:
    reply = await commands.add(tx, caller, body.get_named_fields())
    return await idempotency.store_answer(Answer(data=ReplyShape.of(reply)))


@router.get("", summary="Canned replies, newest first")
async def list_canned_replies(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Replies]:
    return await list_rows(read, caller, page_query, CannedReply, Replies, ReplyShape.of)


@router.get("/{canned_reply_id}", summary="One canned reply")
async def get_canned_reply(canned_reply_id: str, caller: ReadCaller, read: TenantRead) -> Answer[ReplyShape]:
    reply = require_found(await directory.get(read, CannedReply, caller.tenant_id, canned_reply_id))
    return Answer(data=ReplyShape.of(reply))


class RenderedReply(Out):
    text: str
    """As it may be sent."""


@router.get("/{canned_reply_id}/render", summary="A canned reply with its variables filled")
async def render_canned_reply(
    canned_reply_id: str,
    caller: ReadCaller,
    read: TenantRead,
    lead_id: Annotated[str | None, Query(alias="leadId", max_length=64)] = None,
    interaction_id: Annotated[str | None, Query(alias="interactionId", max_length=64)] = None,
) -> Answer[RenderedReply]:
    """For one lead or one thread; a reply without variables needs neither. The variables are `{{firstName}}`,
    `{{lastName}}`, `{{email}}`, `{{phone}}`, `{{campaign}}`, `{{client}}`, `{{offer}}`, `{{agentName}}`,
    `{{ourNumber}}` (only of a thread) and `{{customFields.KEY}}`. One that nothing fills is refused by its name."""
    text = await commands.render(read, caller, canned_reply_id, lead_id, interaction_id)
    return Answer(data=RenderedReply(text=text))


ReplyTx = Annotated[Tx, guarded_by(get_canned_reply, lock_row_of(CannedReply))]


@router.patch("/{canned_reply_id}", summary="Change the given fields")
async def change_canned_reply(
    canned_reply_id: str, body: ReplyChange, caller: ApiCaller, tx: ReplyTx
) -> Answer[ReplyShape]:
    reply = await commands.change(tx, caller, canned_reply_id, body.get_named_fields())
    return Answer(data=ReplyShape.of(reply))


@router.delete("/{canned_reply_id}", summary="Remove a canned reply")
async def remove_canned_reply(canned_reply_id: str, caller: ApiCaller, tx: ReplyTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, canned_reply_id)
    return Answer(data=Deleted())

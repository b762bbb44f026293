"""Canned replies: texts that people can insert on the Conversations page."""

from datetime import datetime

from fastapi import APIRouter

from app.commands import canned as commands
from app.commands.directory import require_found
from app.store import canned
from app.store.engine import Row
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.directory import Deleted
from app.web.envelope import Answer, Body, Name, Out, StoredText
from app.web.idempotency import Idempotent
from app.web.paging import PageParams

router = APIRouter(prefix="/api/v1/canned-replies", tags=["Canned replies"])


class ReplyChange(Body):
    title: Name | None = None
    text: StoredText | None = None


class NewReply(Body):
    title: Name
    text: StoredText


class ReplyShape(Out):
    canned_reply_id: str
    title: str
    text: str
    created_at: datetime
    updated_at: datetime


class Replies(Out):
    canned_replies: list[ReplyShape]
    next_cursor: str | None
    has_more: bool


def build_shape(row: Row) -> ReplyShape:
    return ReplyShape.model_validate(dict(row))


@router.post("", status_code=201, summary="Add a canned reply")
async def add(body: NewReply, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent) -> Answer[ReplyShape]:
    return await idempotency.store_answer(
        Answer(data=build_shape(await commands.add(tx, caller, body.get_named_fields())))
    )


@router.get("", summary="Canned replies, newest first")
async def listed(caller: ReadCaller, read: TenantRead, page_query: PageParams) -> Answer[Replies]:
    rows = await canned.list_page(read, caller.tenant_id, page_query.get_id_below(), page_query.fetch_limit)
    page_rows, cursor = page_query.cut_page(rows, lambda row: [row["canned_reply_id"]])
    return Answer(
        data=Replies(
            canned_replies=[build_shape(row) for row in page_rows],
            next_cursor=cursor,
            has_more=cursor is not None,
        )
    )


@router.get("/{canned_reply_id}", summary="One canned reply")
async def get(canned_reply_id: str, caller: ReadCaller, read: TenantRead) -> Answer[ReplyShape]:
    row = require_found(await canned.get(read, caller.tenant_id, canned_reply_id))
    return Answer(data=build_shape(row))


@router.patch("/{canned_reply_id}", summary="Change the given fields")
async def change(canned_reply_id: str, body: ReplyChange, caller: ApiCaller, tx: TenantTx) -> Answer[ReplyShape]:
    row = await commands.change(tx, caller, canned_reply_id, body.get_named_fields())
    return Answer(data=build_shape(row))


@router.delete("/{canned_reply_id}", summary="Remove a canned reply")
async def remove(canned_reply_id: str, caller: ApiCaller, tx: TenantTx) -> Answer[Deleted]:
    await commands.remove(tx, caller, canned_reply_id)
    return Answer(data=Deleted())

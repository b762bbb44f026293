"""Threads and their transcripts (`docs/contract.md`, section 4)."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from app.commands import modes
from app.domain.callers import Caller
from app.domain.problems import Invalid, NotFound
from app.domain.transcripts import Entry, build_entry
from app.domain.words import INTERACTION_STATUSES, InteractionStatus
from app.store import interactions, suppressions, turns
from app.store import threads as thread_rows
from app.store.engine import ReadTx, Tx
from app.store.interactions import Thread
from app.store.suppressions import PhoneKey
from app.store.thread_filters import ThreadFilter
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx, TurnsCaller
from app.web.envelope import Answer, Body, Out
from app.web.filters import CommonParams, Values, require_known, split_values
from app.web.interaction_shapes import (
    ListedInteraction,
    WholeInteraction,
    build_summary,
    build_whole_interaction,
    get_unreleased_texts,
)
from app.web.paging import PageParams
from app.web.versions import VersionedRoute, guarded_by

router = APIRouter(prefix="/api/v1", route_class=VersionedRoute, tags=["Interactions"])


class Interactions(Out):
    interactions: list[WholeInteraction]


class InteractionPage(Out):
    interactions: list[ListedInteraction]
    next_cursor: str | None
    has_more: bool


class Messages(Out):
    messages: list[Entry]
    has_more: bool


async def find_interaction(read: ReadTx, caller: Caller, interaction_id: str) -> Thread:
    """Returns the thread. Raises `NotFound`, also for an agent's key without a turn in it."""
    thread = await interactions.get(read, caller.tenant_id, interaction_id)
    if thread is None or (
        caller.agent_id and not await turns.has_had_turn(read, caller.tenant_id, interaction_id, caller.agent_id)
    ):
        raise NotFound
    return thread


@router.get("/interactions/lead/{lead_id}", summary="All threads of a lead")
async def list_lead_interactions(lead_id: str, caller: ReadCaller, read: TenantRead) -> Answer[Interactions]:
    threads = await interactions.list_of_lead(read, caller.tenant_id, lead_id)
    if not threads and not await interactions.has_lead(read, caller.tenant_id, lead_id):
        raise NotFound
    return Answer(data=Interactions(interactions=[await build_whole_interaction(read, thread) for thread in threads]))


@router.get("/interactions", summary="Threads, newest activity first")
async def list_interactions(
    caller: ReadCaller,
    read: TenantRead,
    page_query: PageParams,
    common: CommonParams,
    status: Values = None,
    lead_id: Annotated[str | None, Query(alias="leadId", max_length=64)] = None,
    unread: bool | None = None,
    search: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    within: Annotated[Literal["messages"] | None, Query(alias="in")] = None,
) -> Answer[InteractionPage]:
    """Lists may be repeated or comma-separated. Dates are half-open and compare the last text."""
    filters = ThreadFilter(
        **common,
        statuses=require_known("status", split_values(status), INTERACTION_STATUSES),
        lead_id=lead_id,
        unread=unread,
        search=search,
        in_messages=within == "messages",
    )
    threads = await interactions.list_page(
        read, caller.tenant_id, filters, page_query.get_key(datetime, str), page_query.fetch_limit
    )
    page, cursor = page_query.cut_page(threads, lambda thread: (thread.last_message_at, thread.interaction_id))
    unreleased_texts = await get_unreleased_texts(read, page)
    shapes = [
        ListedInteraction(**build_summary(thread), scheduled=unreleased_texts[thread.interaction_id]) for thread in page
    ]
    return Answer(data=InteractionPage(interactions=shapes, next_cursor=cursor, has_more=cursor is not None))


@router.get("/interactions/{interaction_id}", summary="One thread with its transcript")
async def get_interaction(interaction_id: str, caller: TurnsCaller, read: TenantRead) -> Answer[WholeInteraction]:
    return Answer(data=await build_whole_interaction(read, await find_interaction(read, caller, interaction_id)))


Limit = Annotated[int, Query(ge=1, le=100)]
Seq = Annotated[int | None, Query(ge=0, le=2**31 - 1)]


@router.get("/interactions/{interaction_id}/messages", summary="A transcript in pages")
async def list_thread_messages(
    interaction_id: str,
    caller: TurnsCaller,
    read: TenantRead,
    after: Seq = None,
    before: Seq = None,
    limit: Limit = 50,
) -> Answer[Messages]:
    """`after` pages forwards, `before` backwards. Each page is in the order of `seq`."""
    if after is not None and before is not None:
        raise Invalid(details=["after: cannot stand beside before"])
    await find_interaction(read, caller, interaction_id)
    texts = await interactions.get_transcript_page(read, caller.tenant_id, interaction_id, after, before, limit + 1)
    more = len(texts) > limit
    page = texts[-limit:] if before is not None else texts[:limit]
    return Answer(data=Messages(messages=[build_entry(text) for text in page], has_more=more))


class InteractionPatch(Body):
    status: InteractionStatus | None = None
    agent_mode: bool | None = None


async def _lock_thread(tx: Tx, caller: Caller, interaction_id: str) -> None:
    thread = await interactions.get(tx, caller.tenant_id, interaction_id)
    if thread:
        await suppressions.lock_phones_only(tx, [PhoneKey(caller.tenant_id, thread.lead_phone)])
        await thread_rows.lock(tx, [thread.key])


ThreadTx = Annotated[Tx, guarded_by(get_interaction, _lock_thread)]


@router.patch("/interactions/{interaction_id}", summary="Set status or agent mode by hand")
async def change_interaction(
    interaction_id: str, body: InteractionPatch, caller: ApiCaller, tx: ThreadTx
) -> Answer[WholeInteraction]:
    """`dnc` suppresses the phone. Another status lifts a suppression that was set by hand."""
    thread = await find_interaction(tx, caller, interaction_id)
    await modes.set_by_hand(tx, caller, thread, body.status, body.agent_mode)
    return Answer(data=await build_whole_interaction(tx, await find_interaction(tx, caller, interaction_id)))


class ReadMark(Body):
    through_seq: Annotated[int, Field(ge=0, le=2**31 - 1)]


class Unread(Out):
    unread_count: int


@router.post("/interactions/{interaction_id}/read", summary="Mark texts as read")
async def mark_interaction_read(interaction_id: str, body: ReadMark, caller: ApiCaller, tx: TenantTx) -> Answer[Unread]:
    await find_interaction(tx, caller, interaction_id)
    await interactions.mark_read(tx, caller.tenant_id, interaction_id, body.through_seq)
    thread = await find_interaction(tx, caller, interaction_id)
    return Answer(data=Unread(unread_count=thread.unread_count))

"""Threads and their transcripts (`docs/contract.md`, section 4)."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from app.commands import team
from app.commands.team import ThreadChange
from app.domain.callers import Caller
from app.domain.figures import ReachedStep
from app.domain.problems import Invalid, NotFound
from app.domain.transcripts import Entry
from app.domain.words import INTERACTION_STATUSES, InteractionStatus, View
from app.store import interactions, suppressions, turns
from app.store import threads as thread_rows
from app.store.engine import ReadTx, Tx
from app.store.interactions import Thread
from app.store.suppressions import PhoneKey
from app.store.thread_filters import ThreadFilter
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TurnsCaller
from app.web.envelope import Answer, AnyId, Body, Moment, Out
from app.web.filters import NOBODY, CommonParams, LeadId, Value, Values, parse_instant, require_known, split_values
from app.web.interaction_shapes import (
    ListedInteraction,
    WholeInteraction,
    build_entries,
    build_summary,
    build_whole_interaction,
    get_unreleased_texts,
)
from app.web.paging import PageParams
from app.web.versions import VersionedRoute, guarded_by

router = APIRouter(prefix="/api/v1", route_class=VersionedRoute, tags=["Interactions"])


PersonQuery = Annotated[Value | None, Query(alias="personId", max_length=64)]


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
    lead_id: LeadId = None,
    unread: bool | None = None,
    search: Annotated[Value | None, Query(max_length=100)] = None,
    within: Annotated[Literal["messages"] | None, Query(alias="in")] = None,
    view: View | None = None,
    person_id: PersonQuery = None,
    assigned_to: Annotated[Value | None, Query(alias="assignedTo", max_length=64)] = None,
    opened_from: Annotated[str | None, Query(alias="openedFrom", max_length=40)] = None,
    opened_to: Annotated[str | None, Query(alias="openedTo", max_length=40)] = None,
    reached: ReachedStep | None = None,
    sms_agent_ids: Annotated[Values, Query(alias="smsAgentIds")] = None,
) -> Answer[InteractionPage]:
    """Lists may be repeated or comma-separated. Dates are half-open and compare the last text.

    A `view` is one of the page's, with a thousand threads at most: `waiting` (the lead waits and nobody
    answers; who waits longest comes first), `held`, `snoozed`, and of the person `personId`: `mine` and
    `unread`. `assignedTo` is a person's id, or `nobody`.

    `openedFrom`, `openedTo` (not included) and `reached` give the threads behind a figure: those that were opened then,
    of them those in which you texted, in which the lead replied, or which are qualified after a reply. `smsAgentIds`:
    whose newest turn went to one of these agents."""
    if view in ("mine", "unread") and person_id is None:
        raise Invalid(details=["personId: is needed for this view"])
    filters = ThreadFilter(
        **common,
        statuses=require_known("status", split_values(status), INTERACTION_STATUSES),
        lead_id=lead_id,
        unread=unread,
        search=search,
        in_messages=within == "messages",
        view=view,
        person_id=person_id,
        assigned_to="" if assigned_to == NOBODY else assigned_to,
        opened_from=parse_instant(opened_from, "openedFrom"),
        opened_to=parse_instant(opened_to, "openedTo"),
        reached=reached,
        sms_agent_ids=split_values(sms_agent_ids),
    )
    threads = await interactions.list_page(
        read, caller.tenant_id, filters, page_query.get_key(datetime, str), page_query.fetch_limit
    )
    page, cursor = page_query.cut_page(threads, lambda thread: interactions.key_of(thread, filters))
    unreleased_texts = await get_unreleased_texts(read, page)
    shapes = [
        ListedInteraction(**build_summary(thread), scheduled=unreleased_texts[thread.interaction_id]) for thread in page
    ]
    return Answer(data=InteractionPage(interactions=shapes, next_cursor=cursor, has_more=cursor is not None))


@router.get("/interactions/{interaction_id}", summary="One thread with its transcript")
async def get_interaction(interaction_id: str, caller: TurnsCaller, read: TenantRead) -> Answer[WholeInteraction]:
    thread = await find_interaction(read, caller, interaction_id)
    return Answer(data=await build_whole_interaction(read, thread, is_for_agent=caller.agent_id is not None))


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
    return Answer(data=Messages(messages=build_entries(page, caller.agent_id is not None), has_more=more))


class InteractionPatch(Body):
    status: InteractionStatus | None = None
    agent_mode: bool | None = None
    assigned_to: AnyId | None = None
    """A person's id; null: nobody."""
    snoozed_until: Moment | Literal["reply"] | None = None
    """A time within a year, or `reply`: until the lead writes, which ends every snooze. Null ends it now."""

    def build_change(self) -> ThreadChange:
        return ThreadChange(
            frozenset(self.model_fields_set), self.status, self.agent_mode, self.assigned_to, self.snoozed_until
        )


async def _lock_thread(tx: Tx, caller: Caller, interaction_id: str) -> None:
    thread = await interactions.get(tx, caller.tenant_id, interaction_id)
    if thread:
        await suppressions.lock_phones_only(tx, [PhoneKey(caller.tenant_id, thread.lead_phone)])
        await thread_rows.lock(tx, [thread.key])


ThreadTx = Annotated[Tx, guarded_by(get_interaction, _lock_thread)]


@router.patch("/interactions/{interaction_id}", summary="Set status or agent mode by hand, assign or snooze")
async def change_interaction(
    interaction_id: str, body: InteractionPatch, caller: ApiCaller, tx: ThreadTx
) -> Answer[WholeInteraction]:
    """`dnc` suppresses the phone. Another status lifts a suppression that was set by hand."""
    thread = await find_interaction(tx, caller, interaction_id)
    change = body.build_change()
    await team.require_assignable(tx, caller.tenant_id, change)
    await team.change_thread(tx, caller, thread, change)
    return Answer(data=await build_whole_interaction(tx, await find_interaction(tx, caller, interaction_id)))

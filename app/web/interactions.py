"""Threads and their transcripts (`docs/contract.md`, section 4)."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from app.commands import modes
from app.domain.callers import Caller
from app.domain.problems import Invalid, NotFound
from app.domain.transcripts import MAX_ENTRIES, build_entry
from app.domain.words import INTERACTION_STATUSES, InteractionStatus
from app.store import interactions, turns
from app.store.engine import ReadTx, Row
from app.store.thread_filters import ThreadFilter
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx, TurnsCaller
from app.web.envelope import Answer, Body, Out
from app.web.paging import PageParams

router = APIRouter(prefix="/api/v1", tags=["Interactions"])


class Entry(Out):
    timestamp: datetime
    role: str
    message: str
    source: str
    message_id: str
    seq: int | None
    status: str
    media: list[dict[str, Any]]


class Telephony(Out):
    provider: str | None
    message_id: str | None
    phone_number: str


class Sms(Out):
    agent_mode: bool
    direction: str | None


class AgentState(Out):
    state: str
    due_at: datetime | None = None
    reason: str | None = None


class Scheduled(Out):
    message_id: str
    message: str
    status: str
    send_at: datetime | None
    held_until: datetime | None


class InteractionShape(Out):
    interaction_id: str
    lead_id: str
    campaign_id: str | None
    client_id: str | None
    offer_id: str | None
    type: Literal["sms"] = "sms"
    status: str
    phone: str
    telephony: Telephony
    sms: Sms
    summary: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime
    last_message_preview: str | None
    unread_count: int
    agent_state: AgentState


class ListedInteraction(InteractionShape):
    scheduled: list[Scheduled]


class WholeInteraction(ListedInteraction):
    transcript: list[Entry]
    """The newest 1,000 entries."""
    transcript_truncated: bool


class Interactions(Out):
    interactions: list[WholeInteraction]


class InteractionPage(Out):
    interactions: list[ListedInteraction]
    next_cursor: str | None
    has_more: bool


class Messages(Out):
    messages: list[Entry]
    has_more: bool


def build_agent_state(row: Row) -> AgentState:
    """Returns what the agent is doing in the thread."""
    if not row["agent_mode"]:
        return AgentState(state="off")
    if row["agent_paused"]:
        return AgentState(state="paused", due_at=row["paused_until"], reason=row["paused_reason"])
    state = row["turn_state"]
    if row["held_turn_id"] and state != "delivering":
        return AgentState(state="held", reason=f"{row['held_turn_id']}: a stale reply waits")
    if state is None:
        return AgentState(state="idle")
    if state == "delivering" and not row["turn_posting"]:
        return AgentState(state="retrying", reason=f"attempt {row['turn_attempt']} failed")
    due_at = row["turn_due_at"] if state == "collecting" else None
    return AgentState(state=state, due_at=due_at)


def build_summary(row: Row) -> dict[str, Any]:
    """Returns the fields of a thread, without its transcript."""
    return {
        **dict(row),
        "phone": row["lead_phone"],
        "telephony": {
            "provider": row["provider"],
            "message_id": row["provider_message_id"],
            "phone_number": row["our_number"],
        },
        "sms": {"agent_mode": row["agent_mode"], "direction": row["last_direction"]},
        "last_message_preview": row["last_preview"],
        "agent_state": build_agent_state(row),
    }


async def get_unreleased_texts(read: ReadTx, rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Returns scheduled and held texts by interaction id. All `rows` belong to one tenant."""
    texts_by_thread: dict[str, list[dict[str, Any]]] = {row["interaction_id"]: [] for row in rows}
    if texts_by_thread:
        for text_row in await interactions.list_unreleased(read, rows[0]["tenant_id"], [*texts_by_thread]):
            texts_by_thread[text_row["interaction_id"]].append({**dict(text_row), "message": text_row["text"]})
    return texts_by_thread


async def build_whole_interaction(read: ReadTx, row: Row) -> WholeInteraction:
    """Returns a thread with its newest entries and its unreleased texts."""
    thread = row["interaction_id"]
    entries = await interactions.get_transcript(read, row["tenant_id"], thread, MAX_ENTRIES)
    return WholeInteraction.model_validate(
        {
            **build_summary(row),
            "transcript": [build_entry(text_row) for text_row in entries],
            "transcript_truncated": bool(entries) and entries[0]["seq"] > 1,
            "scheduled": (await get_unreleased_texts(read, [row]))[thread],
        }
    )


async def find_interaction(read: ReadTx, caller: Caller, interaction_id: str) -> Row:
    """Returns the thread's row. Raises `NotFound`, also for an agent's key without a turn in it."""
    row = await interactions.get(read, caller.tenant_id, interaction_id)
    if row is None or (
        caller.agent_id and not await turns.has_had_turn(read, caller.tenant_id, interaction_id, caller.agent_id)
    ):
        raise NotFound
    return row


@router.get("/interactions/lead/{lead_id}", summary="All threads of a lead")
async def of_lead(lead_id: str, caller: ReadCaller, read: TenantRead) -> Answer[Interactions]:
    rows = await interactions.list_of_lead(read, caller.tenant_id, lead_id)
    if not rows and not await interactions.has_lead(read, caller.tenant_id, lead_id):
        raise NotFound
    return Answer(data=Interactions(interactions=[await build_whole_interaction(read, row) for row in rows]))


Names = Annotated[list[str] | None, Query(max_length=100)]


@router.get("/interactions", summary="Threads, newest activity first")
async def listed(
    caller: ReadCaller,
    read: TenantRead,
    page_query: PageParams,
    campaign_ids: Annotated[Names, Query(alias="campaignIds")] = None,
    client_ids: Annotated[Names, Query(alias="clientIds")] = None,
    offer_ids: Annotated[Names, Query(alias="offerIds")] = None,
    status: Names = None,
    lead_id: Annotated[str | None, Query(alias="leadId", max_length=64)] = None,
    start_date: Annotated[str | None, Query(alias="startDate")] = None,
    end_date: Annotated[str | None, Query(alias="endDate")] = None,
    unread: bool | None = None,
    search: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    within: Annotated[Literal["messages"] | None, Query(alias="in")] = None,
) -> Answer[InteractionPage]:
    """Lists may be repeated or comma-separated. Dates are half-open and compare the last text."""
    filters = ThreadFilter(
        campaign_ids=split_values(campaign_ids),
        client_ids=split_values(client_ids),
        offer_ids=split_values(offer_ids),
        statuses=_check_statuses(split_values(status)),
        lead_id=lead_id,
        start=_parse_instant(start_date, "startDate"),
        end=_parse_instant(end_date, "endDate"),
        unread=unread,
        search=search,
        in_messages=within == "messages",
    )
    rows = await interactions.list_page(
        read, caller.tenant_id, filters, page_query.get_key(datetime, str), page_query.fetch_limit
    )
    page, cursor = page_query.cut_page(rows, lambda row: (row["last_message_at"], row["interaction_id"]))
    unreleased_texts = await get_unreleased_texts(read, page)
    shapes = [
        ListedInteraction.model_validate({**build_summary(row), "scheduled": unreleased_texts[row["interaction_id"]]})
        for row in page
    ]
    return Answer(data=InteractionPage(interactions=shapes, next_cursor=cursor, has_more=cursor is not None))


def split_values(values: list[str] | None) -> list[str] | None:
    """Splits `a,b` in repeated parameters; None if nothing is left."""
    if values is None:
        return None
    return [part.strip() for value in values for part in value.split(",") if part.strip()] or None


def _check_statuses(values: list[str] | None) -> list[str] | None:
    for status in values or ():
        if status not in INTERACTION_STATUSES:
            raise Invalid(details=[f"status: must be one of {', '.join(INTERACTION_STATUSES)}"])
    return values


def _parse_instant(raw_time: str | None, field: str) -> datetime | None:
    """Parses ISO 8601. A bare date or a time without an offset is UTC. Raises `Invalid`."""
    if raw_time is None:
        return None
    try:
        if len(raw_time) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(raw_time), time(), UTC)
        at = datetime.fromisoformat(raw_time)
    except ValueError:
        raise Invalid(details=[f"{field}: is not an ISO 8601 date or time"]) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@router.get("/interactions/{interaction_id}", summary="One thread with its transcript")
async def one(interaction_id: str, caller: TurnsCaller, read: TenantRead) -> Answer[WholeInteraction]:
    return Answer(data=await build_whole_interaction(read, await find_interaction(read, caller, interaction_id)))


Limit = Annotated[int, Query(ge=1, le=100)]
Seq = Annotated[int | None, Query(ge=0, le=2**31 - 1)]


@router.get("/interactions/{interaction_id}/messages", summary="A transcript in pages")
async def transcript(
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
    rows = await interactions.get_transcript_page(read, caller.tenant_id, interaction_id, after, before, limit + 1)
    more = len(rows) > limit
    page = rows[-limit:] if before is not None else rows[:limit]
    return Answer(data=Messages(messages=[Entry.model_validate(build_entry(row)) for row in page], has_more=more))


class InteractionPatch(Body):
    status: InteractionStatus | None = None
    agent_mode: bool | None = None


@router.patch("/interactions/{interaction_id}", summary="Set status or agent mode by hand")
async def patch(
    interaction_id: str, body: InteractionPatch, caller: ApiCaller, tx: TenantTx
) -> Answer[WholeInteraction]:
    """`dnc` suppresses the phone. Another status lifts a suppression that was set by hand."""
    row = await find_interaction(tx, caller, interaction_id)
    await modes.set_by_hand(tx, caller, row, body.status, body.agent_mode)
    return Answer(data=await build_whole_interaction(tx, await find_interaction(tx, caller, interaction_id)))


class ReadMark(Body):
    through_seq: Annotated[int, Field(ge=0, le=2**31 - 1)]


class Unread(Out):
    unread_count: int


@router.post("/interactions/{interaction_id}/read", summary="Mark texts as read")
async def mark_read(interaction_id: str, body: ReadMark, caller: ApiCaller, tx: TenantTx) -> Answer[Unread]:
    await find_interaction(tx, caller, interaction_id)
    await interactions.mark_read(tx, caller.tenant_id, interaction_id, body.through_seq)
    row = await find_interaction(tx, caller, interaction_id)
    return Answer(data=Unread(unread_count=row["unread_count"]))

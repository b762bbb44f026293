"""Working together on threads: people, counts of the views, notes, what was read, many threads at once."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from app.commands import team as commands
from app.commands.team import MAX_NOTE_LENGTH
from app.domain.callers import Caller
from app.domain.mentions import get_color
from app.domain.problems import Invalid
from app.store import interactions, notes, people, read_marks, views
from app.store.engine import ReadTx
from app.store.notes import WrittenNote
from app.web.dependencies import ApiCaller, ReadCaller, TenantRead, TenantTx
from app.web.envelope import Answer, AnyId, Body, Error, Out
from app.web.idempotency import Idempotent
from app.web.interactions import InteractionPatch, PersonQuery, find_interaction
from app.web.paging import PageParams, page_of

router = APIRouter(prefix="/api/v1", tags=["Interactions"])
MAX_THREADS = 100
"""Threads that one request changes."""


class PersonShape(Out):
    person_id: str
    name: str
    """The person's own choice; else what stands before the @ of the e-mail."""
    email: str
    color: str
    """`#rrggbb`: the same for one person everywhere."""
    active: bool


class People(Out):
    people: list[PersonShape]


@router.get("/people", summary="The people of the tenant, by name")
async def list_people(caller: ReadCaller, read: TenantRead) -> Answer[People]:
    """A thread is assigned to one of them, and notes mention them."""
    colleagues = await people.list_colleagues(read, caller.tenant_id)
    shapes = [
        PersonShape(
            person_id=person.user_id,
            name=person.name,
            email=person.email,
            color=get_color(person.user_id),
            active=person.active,
        )
        for person in colleagues
    ]
    return Answer(data=People(people=shapes))


async def require_person(read: ReadTx, caller: Caller, person_id: str | None) -> None:
    """Raises `Invalid` if the tenant has no such person."""
    if person_id is not None and not await people.is_known(read, caller.tenant_id, person_id):
        raise Invalid(details=["personId: does not exist"])


class Counts(Out):
    """How many threads each view has; 100: so many, or more."""

    waiting: int
    mine: int | None
    """Null without `personId`."""
    held: int
    unread: int | None
    """Null without `personId`."""
    snoozed: int
    all: int


@router.get("/views", summary="How many threads each view has")
async def count_views(caller: ReadCaller, read: TenantRead, person_id: PersonQuery = None) -> Answer[Counts]:
    await require_person(read, caller, person_id)
    counts = Counts.model_validate(await views.count(read, caller.tenant_id, person_id))
    return Answer(data=counts if person_id else counts.model_copy(update={"mine": None, "unread": None}))


class NewNote(Body):
    text: Annotated[str, Field(max_length=MAX_NOTE_LENGTH, pattern=r"\S")]
    for_agent: bool = False
    """The agent gets it with its next turns."""


class NoteShape(Out):
    message_id: str
    interaction_id: str
    seq: int
    """Its place in the transcript."""
    author: str
    """`person:…` or `key:…`."""
    author_name: str | None
    text: str
    mentions: list[str]
    """The ids of the people whom it mentions."""
    for_agent: bool
    created_at: datetime


class Notes(Out):
    notes: list[NoteShape]
    next_cursor: str | None
    has_more: bool


def _build_note(note: WrittenNote) -> NoteShape:
    return NoteShape(
        message_id=note.message_id,
        interaction_id=note.interaction_id,
        seq=note.seq,
        author=note.author,
        author_name=note.author_name,
        text=note.text,
        mentions=note.note["mentions"],
        for_agent=note.note["forAgent"],
        created_at=note.created_at,
    )


@router.post("/interactions/{interaction_id}/notes", status_code=201, summary="Write a note for colleagues")
async def add_note(
    interaction_id: str, body: NewNote, caller: ApiCaller, tx: TenantTx, idempotency: Idempotent
) -> Answer[NoteShape]:
    """It is sent to nobody. `@jane` mentions the person with this name, or with this e-mail before its @, who
    is told of it."""
    thread = await find_interaction(tx, caller, interaction_id)
    await commands.add_note(tx, caller, thread, body.text, body.for_agent)
    [note] = await notes.list_written(tx, caller.tenant_id, interaction_id, None, 1)
    return await idempotency.store_answer(Answer(data=_build_note(note)))


@router.get("/interactions/{interaction_id}/notes", summary="Notes of colleagues, newest first")
async def list_notes(
    interaction_id: str, caller: ReadCaller, read: TenantRead, page_query: PageParams
) -> Answer[Notes]:
    await find_interaction(read, caller, interaction_id)
    (below,) = page_query.get_key(int) or (None,)
    rows = await notes.list_written(read, caller.tenant_id, interaction_id, below, page_query.fetch_limit)
    return page_of(Notes, page_query, rows, lambda note: [note.seq], _build_note)


class ReadMark(Body):
    through_seq: Annotated[int, Field(ge=0, le=2**31 - 1)]
    person_id: AnyId | None = None
    """Who has read them."""


class UnreadMark(Body):
    person_id: AnyId | None = None
    """For whom the thread is unread again; null: for nobody in particular."""


class Unread(Out):
    unread_count: int


@router.post("/interactions/{interaction_id}/read", summary="Mark texts as read")
async def mark_interaction_read(interaction_id: str, body: ReadMark, caller: ApiCaller, tx: TenantTx) -> Answer[Unread]:
    """`unreadCount` counts what nobody has read."""
    await find_interaction(tx, caller, interaction_id)
    await require_person(tx, caller, body.person_id)
    await interactions.mark_read(tx, caller.tenant_id, interaction_id, body.through_seq)
    if body.person_id is not None:
        await read_marks.mark_read(tx, caller.tenant_id, body.person_id, interaction_id, body.through_seq)
    thread = await find_interaction(tx, caller, interaction_id)
    return Answer(data=Unread(unread_count=thread.unread_count))


@router.post("/interactions/{interaction_id}/unread", summary="Mark the newest text of the lead as unread")
async def mark_interaction_unread(
    interaction_id: str, body: UnreadMark, caller: ApiCaller, tx: TenantTx
) -> Answer[Unread]:
    await find_interaction(tx, caller, interaction_id)
    await require_person(tx, caller, body.person_id)
    if body.person_id is None:
        await read_marks.mark_unread_by_all(tx, caller.tenant_id, interaction_id)
    else:
        await read_marks.mark_unread(tx, caller.tenant_id, interaction_id, body.person_id)
    thread = await find_interaction(tx, caller, interaction_id)
    return Answer(data=Unread(unread_count=thread.unread_count))


class BulkChange(InteractionPatch):
    interaction_ids: Annotated[list[AnyId], Field(min_length=1, max_length=MAX_THREADS)]


class ChangeResult(Out):
    interaction_id: str
    state: Literal["changed", "refused"]
    error: Error | None
    """Why it was refused."""


class ChangeResults(Out):
    results: list[ChangeResult]
    changed: int
    refused: int


@router.post("/interaction-changes", summary="Change up to 100 threads")
async def change_interactions(body: BulkChange, caller: ApiCaller, tx: TenantTx) -> Answer[ChangeResults]:
    """As PATCH of each: what cannot be changed is refused by itself, and the others are changed."""
    change = body.build_change()
    outcomes = await commands.change_threads(tx, caller, body.interaction_ids, change)
    results = [
        ChangeResult(
            interaction_id=interaction_id,
            state="refused" if problem else "changed",
            error=Error.of(problem) if problem else None,
        )
        for interaction_id, problem in zip(body.interaction_ids, outcomes, strict=True)
    ]
    refused_count = sum(problem is not None for problem in outcomes)
    return Answer(data=ChangeResults(results=results, changed=len(results) - refused_count, refused=refused_count))

"""Working together on the page: whose a thread is, snoozes, what was read, many threads at once, saved
views; and the pulse, which tells an open page the counts and who else is there."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import Field, ValidationError
from starlette.responses import Response

from app.commands import saved_views, team
from app.commands.team import SnoozeEnd, ThreadChange
from app.domain.mentions import get_color_number
from app.domain.problems import Invalid, NotFound, Problem
from app.domain.words import InteractionStatus
from app.store import directory, interactions, people, read_marks, views
from app.store.engine import Tx
from app.store.interactions import Thread
from app.store.schema import SavedView
from app.web.dependencies import AppResources
from app.web.directory.saved_views import ViewFilter
from app.web.filters import NOBODY
from app.web.page import threads, times, visits
from app.web.page.dependencies import SignedIn
from app.web.page.visits import Visit, VisitPost
from app.web.team import MAX_THREADS

router = APIRouter(prefix="/conversations", include_in_schema=False)
READING_SECONDS, WRITING_SECONDS = 30, 12
"""How long somebody counts as reading or writing after the page said so."""
DAY_START = time(9)
Choice = Annotated[str, Form(max_length=64)]
Id = Annotated[str, Field(max_length=64)]


@router.get("/pulse")
async def show_pulse(
    person: SignedIn,
    resources: AppResources,
    thread: Annotated[str, Query(max_length=64)] = "",
    is_writing: Annotated[Literal["", "1"], Query(alias="writing")] = "",
) -> Response:
    """The counts of the views, and who else reads or writes in the thread. Also notes in Redis that the person
    does: ids alone."""
    here: list[str] = []
    if thread:
        state, seconds = ("w", WRITING_SECONDS) if is_writing else ("r", READING_SECONDS)
        here = await resources.clock.meet(f"{person.tenant_id}:{thread}", f"{person.user_id}|{state}", seconds)
    writes_by_id: dict[str, bool] = {}
    for member in here:
        user_id, _, state = member.partition("|")
        writes_by_id[user_id] = writes_by_id.get(user_id, False) or state == "w"
    writes_by_id.pop(person.user_id, None)
    async with resources.database.read_tx(person.tenant_id) as read:
        counts = await views.count(read, person.tenant_id, person.user_id)
        colleagues = await people.list_colleagues(read, person.tenant_id) if writes_by_id else []
    counts_by_view = {view: getattr(counts, view) for view in views.THREADS_BY_VIEW}
    people_here = [
        {
            "name": colleague.name,
            "color": get_color_number(colleague.user_id),
            "writing": writes_by_id[colleague.user_id],
        }
        for colleague in colleagues
        if colleague.user_id in writes_by_id
    ]
    return JSONResponse({"counts": counts_by_view, "here": people_here})


@router.post("/{interaction_id}/assign")
async def assign_thread(interaction_id: str, visit: VisitPost, person: Choice = "") -> Response:
    change = ThreadChange(frozenset({"assigned_to"}), assigned_to=person or None)
    return await _change(visit, interaction_id, change)


@router.post("/{interaction_id}/snooze")
async def snooze_thread(
    interaction_id: str, visit: VisitPost, until: Choice = "", at: Annotated[str, Form(max_length=30)] = ""
) -> Response:
    """`until`: one of `SNOOZES`; empty ends the snooze, unless `at` has a local time."""
    try:
        end = times.parse_local("Snooze until", at, visit.zone) if at else find_end(until, datetime.now(visit.zone))
    except Problem as problem:
        return await visits.show_thread(visit, interaction_id, problem=problem)
    return await _change(visit, interaction_id, ThreadChange(frozenset({"snoozed_until"}), snoozed_until=end))


def find_end(choice: str, now: datetime) -> SnoozeEnd | None:
    """`now`: the person's local time. None: no snooze. Raises `Invalid`."""
    match choice:
        case "":
            return None
        case "reply":
            return "reply"
        case "1h" | "3h":
            return now + timedelta(hours=int(choice[0]))
        case "tomorrow":
            return datetime.combine(now.date() + timedelta(days=1), DAY_START, now.tzinfo)
        case "monday":
            return datetime.combine(now.date() + timedelta(days=7 - now.weekday()), DAY_START, now.tzinfo)
    raise Invalid(details=["Snooze: is not a choice"])


async def _change(visit: Visit, interaction_id: str, change: ThreadChange) -> Response:
    async def change_one(tx: Tx) -> None:
        thread = await threads.find_thread(tx, visit.tenant_id, interaction_id)
        await team.require_assignable(tx, visit.tenant_id, change)
        await team.change_thread(tx, visit.caller, thread, change)

    return await visits.run_and_go_back(visit, interaction_id, lambda: visit.run_change(change_one))


@router.post("/{interaction_id}/unread")
async def mark_unread(interaction_id: str, visit: VisitPost) -> Response:
    """Goes back to the list: on its own page the thread would be read again."""
    tenant_id = visit.tenant_id
    async with visit.resources.database.tenant_tx(tenant_id) as tx:
        await threads.find_thread(tx, tenant_id, interaction_id)
        await read_marks.mark_unread(tx, tenant_id, interaction_id, visit.person.user_id)
    return _go_to_list(visit)


@router.post("/read-all")
async def mark_all_read(visit: VisitPost) -> Response:
    async with visit.resources.database.tenant_tx(visit.tenant_id) as tx:
        await read_marks.mark_all_read(tx, visit.tenant_id, visit.person.user_id)
    return _go_to_list(visit)


@router.post("/changes")
async def change_threads(
    visit: VisitPost,
    thread: Annotated[list[Id] | None, Form(max_length=MAX_THREADS)] = None,
    status: Annotated[InteractionStatus | Literal[""], Form()] = "",
    person: Choice = "",
    until: Choice = "",
    agent: Annotated[Literal["", "on", "off"], Form()] = "",
) -> Response:
    """An empty field changes nothing. `person` and `until` may be `nobody` and `end`."""
    ids = list(dict.fromkeys(thread or []))

    async def change_all(tx: Tx) -> list[str]:
        results = await team.change_threads(tx, visit.caller, ids, change)
        problems = {id: problem for id, problem in zip(ids, results, strict=True) if problem}
        return await _describe_refused(tx, visit.tenant_id, problems) if problems else []

    try:
        change = _build_change(status or None, person, until, agent, datetime.now(visit.zone))
        if not ids or not change.field_names:
            raise Invalid("Tick conversations, and choose what is to become of them.")
        refusals = await visit.run_change(change_all)
    except Problem as problem:
        return await visits.show_list(visit, problem)
    if refusals:
        changed_count = len(ids) - len(refusals)
        return await visits.show_list(visit, Invalid(f"{changed_count} of {len(ids)} were changed.", refusals))
    return _go_to_list(visit)


def _build_change(status: InteractionStatus | None, person: str, until: str, agent: str, now: datetime) -> ThreadChange:
    """Raises `Invalid`."""
    values = {"status": status, "assigned_to": person, "snoozed_until": until, "agent_mode": agent}
    return ThreadChange(
        frozenset(name for name, value in values.items() if value),
        status=status,
        agent_mode=agent == "on" if agent else None,
        assigned_to=None if person in ("", NOBODY) else person,
        snoozed_until=find_end("" if until == "end" else until, now),
    )


async def _describe_refused(tx: Tx, tenant_id: str, problems: Mapping[str, Problem]) -> list[str]:
    """Returns a line for each thread that was not changed: who it is with, and why."""
    refused_threads = await interactions.list_by_id(tx, tenant_id, [*problems])
    names = {thread.interaction_id: _name_lead(thread) for thread in refused_threads}
    return [f"{names.get(id, 'A conversation that is gone')}: {problem.reason}" for id, problem in problems.items()]


def _name_lead(thread: Thread) -> str:
    return " ".join(filter(None, (thread.first_name, thread.last_name))) or thread.lead_phone


@router.post("/views")
async def save_view(
    visit: VisitPost,
    name: Annotated[str, Form(max_length=200)] = "",
    is_shared: Annotated[Literal["", "1"], Form(alias="shared")] = "",
) -> Response:
    """Keeps the present filter of the list under a name."""
    caller = visit.caller
    filter = visit.list_filter.given_values
    try:
        if not name.strip() or "\x00" in name:
            raise Invalid("Give the view a name.")
        _require_savable(filter)
        fields = {"name": name.strip(), "filter": filter, "user_id": None if is_shared else caller.actor}
        await visit.run_change(lambda tx: saved_views.add(tx, caller, fields))
    except Problem as problem:
        return await visits.show_list(visit, problem)
    return _go_to_list(visit)


def _require_savable(filter: dict[str, Any]) -> None:
    """Raises `Invalid` for a value in the page's address that the API would refuse."""
    try:
        ViewFilter.model_validate(filter)
    except ValidationError:
        raise Invalid("This view cannot be saved: one of its values is unknown.") from None


@router.post("/views/{saved_view_id}/remove")
async def remove_view(saved_view_id: str, visit: VisitPost) -> Response:
    """One's own, or one of everybody's."""

    async def remove_one(tx: Tx) -> None:
        view = await directory.lock(tx, SavedView, visit.tenant_id, saved_view_id)
        if view is None or view.user_id not in (None, visit.caller.actor):
            raise NotFound("There is no such view.")
        await saved_views.remove(tx, visit.caller, saved_view_id)

    await visit.run_change(remove_one)
    return _go_to_list(visit)


def _go_to_list(visit: Visit) -> Response:
    query = f"?{visit.request.url.query}" if visit.request.url.query else ""
    return RedirectResponse(f"/conversations{query}", 303)

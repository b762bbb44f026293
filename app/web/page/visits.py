"""One request for the Conversations page, and how the page is rendered."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.consent import find_undoable
from app.domain.problems import NotFound, Problem
from app.domain.segments import GSM_REPLACEMENTS
from app.resources import Resources
from app.store import (
    attention,
    consent_events,
    interactions,
    lead_answers,
    lead_choices,
    notes,
    read_marks,
    suppressions,
    tenants,
)
from app.store import page as store
from app.store.engine import ReadTx, Tx
from app.store.interactions import Thread
from app.web.dependencies import AppResources
from app.web.interaction_shapes import build_agent_state
from app.web.page import render, views_bar
from app.web.page.dependencies import FormSender, SignedIn, Token
from app.web.page.list_filter import DATE_RANGES, SNOOZES, ListFilter, ListFilterQuery, list_active_filters
from app.web.page.manual_texts import Draft
from app.web.paging import PageParams, PageQuery

TEXTS_PER_PAGE = 50
REPLACEMENTS_BY_CHARACTER = {chr(code): replacement for code, replacement in GSM_REPLACEMENTS.items()}
"""In the form that the segment counter of the page needs."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request by a signed-in person, with the list filter and the page of the list."""

    request: Request
    person: Person
    token: str
    resources: Resources
    list_filter: ListFilter
    page_query: PageQuery

    @property
    def zone(self) -> tzinfo:
        return render.get_zone(self.request)


async def _build_visit(
    request: Request,
    person: SignedIn,
    token: Token,
    resources: AppResources,
    list_filter: ListFilterQuery,
    page_query: PageParams,
) -> Visit:
    return Visit(request, person, token, resources, list_filter, page_query)


VisitGet = Annotated[Visit, Depends(_build_visit)]


async def _require_form(visit: VisitGet, _: FormSender) -> Visit:
    """Requires a form of the person's own session."""
    return visit


VisitPost = Annotated[Visit, Depends(_require_form)]


async def show_list(visit: Visit, problem: Problem | None = None) -> Response:
    """Renders the page without an open thread."""
    async with visit.resources.database.read_tx(visit.person.tenant_id) as read:
        panel = await _build_list_context(visit, read)
    return render.page(
        visit.request,
        "conversations.html",
        problem.status if problem else 200,
        thread=None,
        before=None,
        **_build_base_context(visit),
        **panel,
        list_problem=problem,
    )


async def show_start(visit: Visit, start: dict[str, Any], problem: Problem | None = None) -> Response:
    """Renders the page with the form that starts a conversation. `start`: the context of the form."""
    async with visit.resources.database.read_tx(visit.person.tenant_id) as read:
        panel = await _build_list_context(visit, read)
    return render.page(
        visit.request,
        "conversations.html",
        problem.status if problem else 200,
        thread=None,
        before=None,
        **_build_base_context(visit),
        **panel,
        fresh=start,
        refused=problem,
        faults=render.list_faults(problem),
    )


async def show_thread(
    visit: Visit,
    interaction_id: str,
    *,
    before: int | None = None,
    problem: Problem | None = None,
    draft: Draft | None = None,
) -> Response:
    """Renders the page with this thread and marks the thread as read."""
    async with visit.resources.database.tenant_tx(visit.person.tenant_id) as tx:
        thread = await _build_thread_context(tx, visit.person, interaction_id, before)
        panel = await _build_list_context(visit, tx)
    return render.page(
        visit.request,
        "conversations.html",
        problem.status if problem else 200,
        **_build_base_context(visit),
        **panel,
        **thread,
        refused=problem,
        draft=draft or Draft(),
        before=before,
    )


async def run_and_go_back(visit: Visit, interaction_id: str, work: Callable[[], Awaitable[None]]) -> Response:
    """Runs `work` and redirects to the thread. A refusal is shown in the thread instead."""
    try:
        await work()
    except NotFound:
        raise
    except Problem as problem:
        return await show_thread(visit, interaction_id, problem=problem)
    return redirect_to_thread(visit, interaction_id)


def redirect_to_thread(visit: Visit, interaction_id: str, fragment: str = "") -> Response:
    """Redirects to the thread and keeps the list filter. `fragment` is appended to the address."""
    query = f"?{visit.request.url.query}" if visit.request.url.query else ""
    return RedirectResponse(f"/conversations/{interaction_id}{query}{fragment}", 303)


async def find_thread(read: ReadTx, tenant_id: str, interaction_id: str) -> Thread:
    """Returns the thread. Raises `NotFound`."""
    thread = await interactions.get(read, tenant_id, interaction_id)
    if thread is None:
        raise NotFound("There is no conversation at this address.")
    return thread


def _build_base_context(visit: Visit) -> dict[str, Any]:
    csrf = sessions.csrf_token(visit.token)
    return {"person": visit.person, "csrf": csrf, "once": secrets.token_urlsafe(12)}


async def _build_list_context(visit: Visit, read: ReadTx) -> dict[str, Any]:
    list_filter, page_query = visit.list_filter, visit.page_query
    filters = list_filter.build_filter(visit.zone, visit.person.user_id)
    rows = await attention.find_page(
        read,
        visit.person.tenant_id,
        filters,
        page_query.get_key(int, datetime, str),
        page_query.fetch_limit,
    )
    page, cursor = page_query.cut_page(rows, partial(attention.cursor_of, filters))
    query = visit.request.query_params
    choices = await store.get_choices(read, visit.person.tenant_id)
    lead_filter = list_filter.build_lead_filter() if page_query.after is None else None
    return {
        "needing": [row for needs, row in page if needs],
        "threads": [row for needs, row in page if not needs],
        "cursor": cursor,
        "paging": page_query.after is not None,
        "asked": list_filter,
        "place": list_filter.model_dump() | {name: query.get(name) for name in ("limit", "cursor")},
        "ranges": DATE_RANGES,
        "choices": choices,
        "active_filters": list_active_filters(list_filter, choices),
        "snoozes": SNOOZES,
        **await views_bar.build_context(read, visit.person, list_filter, [row.interaction_id for _, row in page]),
        "lonely_leads": await lead_choices.find_page(read, visit.person.tenant_id, lead_filter, without_thread=True)
        if lead_filter
        else [],
    }


async def _mark_read(tx: Tx, person: Person, thread: Thread) -> None:
    """Writes nothing if the person has read the thread already."""
    if thread.unread_count:
        await interactions.mark_read(tx, *thread.key, thread.last_seq)
    if await read_marks.count_unread(tx, person.tenant_id, person.user_id, [thread.interaction_id]):
        await read_marks.mark_read(tx, person.tenant_id, person.user_id, thread.interaction_id, thread.last_seq)


async def _build_thread_context(tx: Tx, person: Person, interaction_id: str, before: int | None) -> dict[str, Any]:
    """Returns the context of a thread: its texts before the seq `before`, the agent's state, the lead."""
    thread = await find_thread(tx, person.tenant_id, interaction_id)
    key = (person.tenant_id, interaction_id)
    entries = await interactions.get_transcript_page(tx, *key, None, before or thread.last_seq + 1, TEXTS_PER_PAGE)
    if before is None:
        await _mark_read(tx, person, thread)
    phone, contact = thread.lead_phone, await store.get_contact(tx, *key)
    consent = await consent_events.list_of_phone(tx, person.tenant_id, phone)
    causes = (await suppressions.get_causes(tx, person.tenant_id, [phone])).get(phone, [])
    answers = {answer.key: answer for answer in await lead_answers.list_of_lead(tx, *thread.lead_key)}
    writers = {answer.author.removeprefix("person:") for answer in answers.values()}
    actors = sorted({entry.actor for entry in entries if entry.actor} | {event.actor for event in consent} | writers)
    answered_keys = {item.get("key") for item in contact.questionnaire}
    tenant = await tenants.get(tx, person.tenant_id)
    assert tenant is not None
    return {
        "thread": thread,
        "entries": entries,
        "older": entries[0].seq if entries and (entries[0].seq or 0) > 1 else None,
        "newest": before is None,
        "waiting": await interactions.list_unreleased(tx, person.tenant_id, [interaction_id]),
        "people": await store.get_emails(tx, person.tenant_id, actors) if actors else {},
        "turns_of": await store.get_turns_of_texts(tx, *key, [entry.message_id for entry in entries]),
        "last_turn": await store.get_last_turn(tx, *key),
        "brakes": await store.list_brakes(tx, *key),
        "twins": REPLACEMENTS_BY_CHARACTER if tenant.smart_encoding else None,
        "state": build_agent_state(thread),
        "suppressed": bool(await interactions.find_suppressed(tx, [key])),
        "senders": await store.list_senders(tx, person.tenant_id, thread.campaign_id, thread.our_number),
        "canned": await store.list_canned_replies(tx, person.tenant_id),
        "contact": contact,
        "notes": await store.list_notes(tx, *key, thread.last_seq),
        "written_notes": await notes.list_written(tx, *key, None, 20),
        "answers": answers,
        "unanswered": [item for item in contact.questions if item.get("key") not in answered_keys],
        "causes": causes,
        "undoable": "lead" in causes and bool(find_undoable(consent)),
        "consent": consent,
        "others": [
            other_thread
            for other_thread in await interactions.list_of_lead(tx, person.tenant_id, thread.lead_id)
            if other_thread.interaction_id != interaction_id
        ],
    }

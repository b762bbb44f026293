"""One request for the Conversations page, and how the page is rendered."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from app.domain.problems import NotFound, Problem
from app.store import attention, events, lead_choices
from app.store import page as store
from app.store.engine import ReadTx
from app.store.interactions import Message
from app.web.dependencies import AppResources
from app.web.page import found_words, render, start, threads, views_bar
from app.web.page.dependencies import FormSender, SameOrigin, SignedIn, Token
from app.web.page.list_filter import DATE_RANGES, SNOOZES, ListFilter, ListFilterQuery, list_active_filters
from app.web.page.manual_texts import Draft
from app.web.page.page_request import PageRequest
from app.web.paging import PageParams, PageQuery


@dataclass(frozen=True, slots=True)
class Visit(PageRequest):
    """A request by a signed-in person, with the list filter and the page of the list."""

    list_filter: ListFilter
    page_query: PageQuery

    @property
    def fragment(self) -> str:
        """The part of the page that a script asks for; empty: the whole page."""
        return render.get_fragment(self.request)

    @property
    def comes_in_parts(self) -> bool:
        """Whether the beginning of the page may be sent before the rest is read. A filter or a cursor may be refused,
        and that takes another status."""
        return not self.fragment and not any(_build_place_context(self)["place"].values())


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


async def _require_form(_: Annotated[None, SameOrigin], visit: VisitGet, __: FormSender) -> Visit:
    """Raises `Forbidden` unless the form came from this site and from the person's own session."""
    return visit


VisitPost = Annotated[Visit, Depends(_require_form)]
"""The parameter of every route that writes."""


async def show_list(visit: Visit, problem: Problem | None = None) -> Response:
    """Renders the page without an open thread."""

    async def build_context(cursor: str | None) -> dict[str, Any]:
        async with visit.resources.database.read_tx(visit.tenant_id) as read:
            context = await _build_context(visit, read, cursor)
            has_threads = context.get("threads") or context.get("needing")
            is_fresh = not (visit.fragment or has_threads or visit.list_filter.is_narrowed or visit.page_query.after)
            steps = await start.build_context(read, visit.resources, visit.person) if is_fresh else {"steps": None}
        return {**context, **steps, "thread": None, "before": None, "list_problem": problem}

    return await _render(visit, problem, build_context)


async def show_start(visit: Visit, start: dict[str, Any], problem: Problem | None = None) -> Response:
    """Renders the page with the form that starts a conversation. `start`: the context of the form."""
    async with visit.resources.database.read_tx(visit.tenant_id) as read:
        context = {
            "choices": await store.get_choices(read, visit.tenant_id),
            **await _build_context(visit, read),
        }
    return visit.render_page(
        "conversations",
        problem.status if problem else 200,
        thread=None,
        before=None,
        **context,
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
    changing: Mapping[str, str] | None = None,
) -> Response:
    """Renders the page with this thread and marks the thread as read. `changing`: what somebody typed to change a
    scheduled text, and was refused."""
    if visit.fragment == "list":
        return await _show_list_beside(visit, interaction_id, before)
    shown_draft = draft or Draft()

    async def build_context(cursor: str | None) -> dict[str, Any]:
        async with visit.resources.database.tenant_tx(visit.tenant_id) as tx:
            if cursor is None:
                cursor = await _get_cursor(visit, tx)  # first: an event that is not seen below comes after it
            thread = await threads.build_thread_context(
                tx, visit.person, interaction_id, before, visit.zone, shown_draft.when
            )
            context = await _build_context(visit, tx, cursor)
        about = {"changing": changing, "refused": problem, "draft": shown_draft, "before": before}
        return {**context, **thread, **about}

    return await _render(visit, problem, build_context, interaction_id, before)


async def _render(
    visit: Visit,
    problem: Problem | None,
    build_context: Callable[[str | None], Awaitable[dict[str, Any]]],
    interaction_id: str | None = None,
    before: int | None = None,
) -> Response:
    """Renders the page, in parts if that may be: then what the beginning needs is read first, and `build_context`
    gets the cursor of the events that stands there. Raises `NotFound`."""
    if problem or not visit.comes_in_parts:
        return visit.render_page("conversations", problem.status if problem else 200, **await build_context(None))
    async with visit.resources.database.read_tx(visit.tenant_id) as read:
        cursor = await _get_cursor(visit, read)
        thread = await threads.find_thread(read, visit.tenant_id, interaction_id) if interaction_id else None
    first_context = _build_place_context(visit) | {"cursor_of_events": cursor, "thread": thread, "before": before}
    return visit.render_page_in_parts("conversations", first_context, lambda: build_context(cursor))


async def _show_list_beside(visit: Visit, interaction_id: str, before: int | None) -> Response:
    """Renders the list as it stands beside the open thread."""
    async with visit.resources.database.read_tx(visit.tenant_id) as read:
        thread = await threads.find_thread(read, visit.tenant_id, interaction_id)
        context = await _build_context(visit, read)
    return visit.render_page("conversations", thread=thread, before=before, **context)


async def show_changes(
    visit: Visit, row_ids: list[str], interaction_id: str, text_ids: list[str], parts: str
) -> Response:
    """Renders rows of the list, and what changed in the thread `interaction_id` (empty: none is open)."""
    person = visit.person
    context: dict[str, Any] = {"thread": None, "rows": [], "snoozes": SNOOZES, "colleagues": {}}
    async with visit.resources.database.tenant_tx(person.tenant_id) as tx:
        if interaction_id:
            context |= await threads.build_changes_context(tx, person, interaction_id, text_ids, parts)
        if row_ids:
            filters = visit.list_filter.build_filter(visit.zone, person.user_id)
            context["rows"] = await attention.find_rows(tx, person.tenant_id, filters, row_ids)
            context |= await views_bar.build_row_context(tx, person, filters, row_ids)
        is_assigned = any(thread.assigned_to for _, thread in context["rows"])
        if is_assigned or parts == "contact" or any(_is_persons(entry) for entry in context.get("entries", [])):
            context["colleagues"] = await views_bar.get_colleagues(tx, person)
    return visit.render_page("changes", parts=parts, **_build_place_context(visit), **context)


def _is_persons(entry: Message) -> bool:
    return (entry.actor or "").startswith(("user_", "person:"))


async def run_and_go_back(
    visit: Visit, interaction_id: str, work: Callable[[], Awaitable[None]], changing: Mapping[str, str] | None = None
) -> Response:
    """Runs `work` and redirects to the thread. A refusal is shown in the thread instead."""
    try:
        await work()
    except NotFound:
        raise
    except Problem as problem:
        return await show_thread(visit, interaction_id, problem=problem, changing=changing)
    return redirect_to_thread(visit, interaction_id)


def redirect_to_thread(visit: Visit, interaction_id: str, fragment: str = "") -> Response:
    """Redirects to the thread and keeps the list filter. `fragment` is appended to the address."""
    query = f"?{visit.request.url.query}" if visit.request.url.query else ""
    return RedirectResponse(f"/conversations/{interaction_id}{query}{fragment}", 303)


async def _build_context(visit: Visit, read: ReadTx, cursor: str | None = None) -> dict[str, Any]:
    """Returns what each fragment needs, and the list unless the fragment is without it. `cursor`: of the
    events; by default as things are now."""
    cursor = await _get_cursor(visit, read) if cursor is None else cursor
    colleagues = await views_bar.get_colleagues(read, visit.person)
    context = _build_place_context(visit) | {
        "once": secrets.token_urlsafe(12),
        "cursor_of_events": cursor,
        "colleagues": colleagues,
        "snoozes": SNOOZES,
    }
    return context if visit.fragment == "opened" else context | await _build_list_context(visit, read, colleagues)


async def _get_cursor(visit: Visit, read: ReadTx) -> str:
    """Returns the place in the feed at which the events of a whole page begin."""
    if visit.fragment:
        return ""
    return await events.get_newest_id(read, visit.tenant_id)


def _build_place_context(visit: Visit) -> dict[str, Any]:
    query = visit.request.query_params
    place = visit.list_filter.model_dump() | {name: query.get(name) for name in ("limit", "cursor")}
    asked = visit.list_filter
    return {
        "asked": asked,
        "place": place,
        "pattern": found_words.build_pattern(asked.search) if asked.within else None,
    }


async def _build_list_context(
    visit: Visit, read: ReadTx, colleagues: Mapping[str, views_bar.ShownPerson]
) -> dict[str, Any]:
    list_filter, page_query = visit.list_filter, visit.page_query
    filters = list_filter.build_filter(visit.zone, visit.person.user_id)
    rows = await attention.find_page(
        read,
        visit.tenant_id,
        filters,
        page_query.get_key(int, datetime, str),
        page_query.fetch_limit,
    )
    page, cursor = page_query.cut_page(rows, partial(attention.cursor_of, filters))
    choices = await store.get_choices(read, visit.tenant_id)
    lead_filter = list_filter.build_lead_filter() if page_query.after is None else None
    return {
        "needing": [row for needs, row in page if needs],
        "threads": [row for needs, row in page if not needs],
        "cursor": cursor,
        "paging": page_query.after is not None,
        "ranges": DATE_RANGES,
        "choices": choices,
        "active_filters": list_active_filters(
            list_filter, choices, {id: colleague.name for id, colleague in colleagues.items()}, visit.zone
        ),
        **await views_bar.build_context(read, visit.person, list_filter),
        **await views_bar.build_row_context(read, visit.person, filters, [row.interaction_id for _, row in page]),
        "lonely_leads": await lead_choices.find_page(read, visit.tenant_id, lead_filter, without_thread=True)
        if lead_filter
        else [],
    }

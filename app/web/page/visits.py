"""A person at the Conversations page: what the list is narrowed to, and the page that shows it."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.access import sessions
from app.access.sessions import Person
from app.domain.problems import NotFound, Problem
from app.domain.segments import TWINS
from app.resources import Resources
from app.store import attention, interactions, suppressions, tenants
from app.store import page as store
from app.store.engine import Read, Row, Tx
from app.store.search import Filter
from app.web.doors import Held
from app.web.interactions import agent_state
from app.web.page import render
from app.web.page.doors import SignedIn, Token, Writing
from app.web.paging import Page, Paged

TEXTS_A_PAGE = 50
TWINS_BY_CHARACTER = {chr(code): twin for code, twin in TWINS.items()}
"""As the page's counter takes them."""
RANGES = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "custom": "Between two dates",
}


class Asked(BaseModel):
    """What the list is narrowed to, as it stands in the address; empty: not narrowed."""

    search: Annotated[str, Field(max_length=100)] = ""
    within: Literal["", "messages"] = ""
    campaign: Annotated[str, Field(max_length=64)] = ""
    client: Annotated[str, Field(max_length=200)] = ""
    offer: Annotated[str, Field(max_length=200)] = ""
    status: Annotated[str, Field(max_length=20)] = ""
    range: Annotated[str, Field(max_length=10)] = ""
    start: Annotated[str, Field(max_length=10)] = ""
    end: Annotated[str, Field(max_length=10)] = ""
    unread: Literal["", "1"] = ""

    def filter(self, zone: tzinfo) -> Filter:
        """The same for the store; days are days of the person's zone."""
        start, end = self._days(datetime.now(zone).date())
        return Filter(
            campaign_ids=[self.campaign] if self.campaign else None,
            client_ids=[self.client] if self.client else None,
            offer_ids=[self.offer] if self.offer else None,
            statuses=[self.status] if self.status else None,
            start=_midnight(start, zone),
            end=_midnight(end and end + timedelta(days=1), zone),
            unread=True if self.unread else None,
            search=self.search.strip() or None,
            in_messages=self.within == "messages",
        )

    def _days(self, today: date) -> tuple[date | None, date | None]:
        """First and last day that are shown."""
        if self.range == "custom":
            return _date(self.start), _date(self.end)
        back = {"today": 0, "yesterday": 1, "7d": 6, "30d": 29}.get(self.range)
        if back is None:
            return None, None
        return today - timedelta(days=back), today - timedelta(days=int(self.range == "yesterday"))

    @property
    def narrowed(self) -> bool:
        return any(self.model_dump().values())


AskedFor = Annotated[Asked, Query()]


def _date(written: str) -> date | None:
    try:
        return date.fromisoformat(written)
    except ValueError:
        return None


def _midnight(day: date | None, zone: tzinfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Visit:
    """Who looks, and at what."""

    request: Request
    person: Person
    token: str
    held: Resources
    asked: Asked
    paged: Page

    @property
    def zone(self) -> tzinfo:
        return render.zone(self.request)


async def _visit(request: Request, person: SignedIn, token: Token, held: Held, asked: AskedFor, paged: Paged) -> Visit:
    return Visit(request, person, token, held, asked, paged)


Looking = Annotated[Visit, Depends(_visit)]


async def _form(visit: Looking, _: Writing) -> Visit:
    """Who sent a form of their own session."""
    return visit


Acting = Annotated[Visit, Depends(_form)]


class Draft(BaseModel):
    """A text that was refused: it stays in the compose box, with the reason above it."""

    message: str = ""
    sender: str = ""
    at: str = ""
    take: bool = False
    moved: bool = False
    """The lead wrote since the person looked: one click sends anyway."""


async def listed(visit: Visit) -> Response:
    """The page with no thread open."""
    async with visit.held.database.reading(visit.person.tenant_id) as read:
        panel = await _list(visit, read)
    return render.page(visit.request, "conversations.html", thread=None, before=None, **_base(visit), **panel)


async def shown(
    visit: Visit,
    interaction_id: str,
    *,
    before: int | None = None,
    refused: Problem | None = None,
    draft: Draft | None = None,
) -> Response:
    """The page with this thread open. Who looks at it has read it."""
    async with visit.held.database.tenant(visit.person.tenant_id) as tx:
        thread = await _thread(tx, visit.person, interaction_id, before)
        panel = await _list(visit, tx)
    return render.page(
        visit.request,
        "conversations.html",
        refused.status if refused else 200,
        **_base(visit),
        **panel,
        **thread,
        refused=refused,
        draft=draft or Draft(),
        before=before,
    )


async def done(visit: Visit, interaction_id: str, work: Callable[[], Awaitable[None]]) -> Response:
    """Does it, and leads back to the thread; what is refused is said there."""
    try:
        await work()
    except NotFound:
        raise
    except Problem as refused:
        return await shown(visit, interaction_id, refused=refused)
    return back(visit, interaction_id)


def back(visit: Visit, interaction_id: str, place: str = "") -> Response:
    """To the thread, with the list narrowed as it was."""
    query = f"?{visit.request.url.query}" if visit.request.url.query else ""
    return RedirectResponse(f"/conversations/{interaction_id}{query}{place}", 303)


async def find(read: Read, tenant_id: str, interaction_id: str) -> Row:
    """The thread; raises `NotFound`."""
    row = await interactions.get(read, tenant_id, interaction_id)
    if row is None:
        raise NotFound("There is no conversation at this address.")
    return row


def _base(visit: Visit) -> dict[str, Any]:
    csrf = sessions.csrf_token(visit.token)
    return {"person": visit.person, "csrf": csrf, "once": secrets.token_urlsafe(12)}


async def _list(visit: Visit, read: Read) -> dict[str, Any]:
    asked, paged = visit.asked, visit.paged
    rows = await attention.first(
        read,
        visit.person.tenant_id,
        asked.filter(visit.zone),
        paged.key(int, datetime, str),
        paged.fetch,
    )
    page, cursor = paged.cut(rows, attention.key)
    given = visit.request.query_params
    return {
        "needing": [row for needs, row in page if needs],
        "threads": [row for needs, row in page if not needs],
        "cursor": cursor,
        "paging": paged.after is not None,
        "asked": asked,
        "place": asked.model_dump() | {name: given.get(name) for name in ("limit", "cursor")},
        "ranges": RANGES,
        "choices": await store.choices(read, visit.person.tenant_id),
    }


async def _thread(tx: Tx, person: Person, interaction_id: str, before: int | None) -> dict[str, Any]:
    """The thread, its texts up to `before`, what the agent does, and the lead."""
    row = await find(tx, person.tenant_id, interaction_id)
    key = (person.tenant_id, interaction_id)
    entries = await interactions.page(tx, *key, None, before or row["last_seq"] + 1, TEXTS_A_PAGE)
    if row["unread_count"] and before is None:
        await interactions.mark_read(tx, *key, row["last_seq"])
    phone, contact = row["lead_phone"], await store.contact(tx, *key)
    consent = await suppressions.events(tx, person.tenant_id, phone)
    actors = sorted({one["actor"] for one in (*entries, *consent) if one["actor"]})
    answered = {one.get("key") for one in contact["questionnaire"]}
    tenant = await tenants.get(tx, person.tenant_id)
    assert tenant is not None
    return {
        "thread": row,
        "entries": entries,
        "older": entries[0]["seq"] if entries and entries[0]["seq"] > 1 else None,
        "newest": before is None,
        "waiting": await interactions.scheduled(tx, person.tenant_id, [interaction_id]),
        "people": await store.people(tx, person.tenant_id, actors) if actors else {},
        "turns_of": await store.turns_of(tx, *key, [entry["message_id"] for entry in entries]),
        "last_turn": await store.last_turn(tx, *key),
        "brakes": await store.brakes(tx, *key),
        "twins": TWINS_BY_CHARACTER if tenant["smart_encoding"] else None,
        "state": agent_state(row),
        "suppressed": bool(await interactions.suppressed(tx, [key])),
        "senders": await store.senders(tx, *key),
        "canned": await store.canned(tx, person.tenant_id),
        "contact": contact,
        "unanswered": [one for one in contact["questions"] if one.get("key") not in answered],
        "causes": (await suppressions.causes(tx, person.tenant_id, [phone])).get(phone, []),
        "consent": consent,
        "others": [
            other
            for other in await interactions.of_lead(tx, person.tenant_id, row["lead_id"])
            if other["interaction_id"] != interaction_id
        ],
    }

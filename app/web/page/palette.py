"""What one can go to by its name: conversations, leads, pages, settings."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from starlette.responses import Response
from typing_extensions import TypedDict

from app.domain import phones
from app.store import interactions, lead_choices
from app.store.interactions import Thread
from app.store.lead_choices import LeadChoice
from app.store.thread_filters import ThreadFilter
from app.web.page.page_request import PageGet, PageRequest
from app.web.page.render import STATUS_WORDS
from app.web.page.settings.admin_request import SECTIONS

router = APIRouter(include_in_schema=False)
MAX_FOUND = 6
"""Of each kind: one who sees more goes on typing."""
PAGES = {"/conversations": "Conversations", "/leads": "Leads", "/account": "Account", "/notices": "Needs you"}
ADMIN_PAGES = {"/figures": "Figures", "/system": "System", "/start": "First steps"}


class Goal(TypedDict):
    """Something to go to. `group`: its kind in words; `about`: what tells it from others of the same name."""

    group: str
    name: str
    about: str
    href: str


@router.get("/palette")
async def find_goals(page: PageGet, search: Annotated[str, Query(max_length=100)] = "") -> Response:
    goals = _list_pages(page, search.casefold().split())
    if search.strip():
        async with page.resources.database.read_tx(page.tenant_id) as read:
            filters = ThreadFilter(search=search.strip(), is_quick=True)
            threads = await interactions.list_page(read, page.tenant_id, filters, None, MAX_FOUND)
            leads = await lead_choices.find_page(read, page.tenant_id, filters)
        goals = [*map(_show_thread, threads), *map(_show_lead, leads[:MAX_FOUND]), *goals]
    return JSONResponse({"goals": goals})


def _list_pages(page: PageRequest, words: list[str]) -> list[Goal]:
    """The pages that the person may open and whose names have all words."""
    named_pages = [("Page", name, address) for address, name in PAGES.items()]
    if page.person.admin:
        named_pages += [("Page", name, address) for address, name in ADMIN_PAGES.items()]
        named_pages += [("Setting", name, f"/settings/{section}") for section, name in SECTIONS.items()]
    return [
        Goal(group=group, name=name, about="", href=address)
        for group, name, address in named_pages
        if all(word in f"{group} {name}".casefold() for word in words)
    ]


def _show_thread(thread: Thread) -> Goal:
    number = phones.format_phone(thread.lead_phone)
    return Goal(
        group="Conversation",
        name=" ".join(filter(None, (thread.first_name, thread.last_name))) or number,
        about=f"{number} · {STATUS_WORDS.get(thread.status, thread.status)}",
        href=f"/conversations/{thread.interaction_id}",
    )


def _show_lead(lead: LeadChoice) -> Goal:
    number = phones.format_phone(lead.phone) if lead.phone else "No phone number"
    return Goal(
        group="Lead",
        name=lead.name or number,
        about=f"{number} · {lead.campaign_name or 'No campaign'}",
        href=f"/leads/{lead.lead_id}",
    )

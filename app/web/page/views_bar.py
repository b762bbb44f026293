"""What the list shows besides the threads themselves: the views with their counts, saved views, colleagues,
where each row stands, and what the person has not read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from app.access.sessions import Person
from app.domain.mentions import get_color_number
from app.store import found_texts, people, read_marks, views
from app.store import saved_views as store
from app.store.engine import ReadTx
from app.store.interactions import Thread, key_of
from app.store.thread_filters import ThreadFilter
from app.web.page.list_filter import ListFilter

VIEW_WORDS = {
    "waiting": "Waiting",
    "mine": "Mine",
    "unread": "Unread",
    "held": "Held",
    "snoozed": "Snoozed",
    "all": "All",
}
EMPTY_VIEW_WORDS = {
    "waiting": "Nobody waits for an answer.",
    "mine": "Nothing is assigned to you.",
    "unread": "You have read everything.",
    "held": "Nothing waits for a decision.",
    "snoozed": "Nothing is snoozed.",
}
START_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)
MAX_RANK = 10**17 - 1


@dataclass(frozen=True, slots=True)
class ShownView:
    """A view as a link. `count` None: it has none to show."""

    key: str
    name: str
    count: str | None
    place: dict[str, Any]
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class ShownPerson:
    user_id: str
    name: str
    email: str
    active: bool
    color: int

    @property
    def initials(self) -> str:
        words = self.name.replace(".", " ").split()
        return "".join(word[0] for word in words[:2]).upper() or "?"


async def build_context(read: ReadTx, person: Person, list_filter: ListFilter) -> dict[str, Any]:
    counts = await views.count(read, person.tenant_id, person.user_id)
    return {
        "views": [
            ShownView(
                key=key,
                name=name,
                count=format_count(getattr(counts, key)) if key != "all" else None,
                place=ListFilter().model_dump() | {"view": "" if key == "all" else key},
                is_chosen=(list_filter.view or "all") == key,
            )
            for key, name in VIEW_WORDS.items()
        ],
        "empty_view_words": EMPTY_VIEW_WORDS.get(list_filter.view),
        "saved_views": [
            (row, dict(row.filter), row.filter == list_filter.given_values)
            for row in await store.list_of_person(read, person.tenant_id, person.user_id)
        ],
    }


async def get_colleagues(read: ReadTx, person: Person) -> dict[str, ShownPerson]:
    """Everybody of the tenant by id, also the person."""
    return {
        colleague.user_id: ShownPerson(**asdict(colleague), color=get_color_number(colleague.user_id))
        for colleague in await people.list_colleagues(read, person.tenant_id)
    }


async def build_row_context(
    read: ReadTx, person: Person, filters: ThreadFilter, interaction_ids: Sequence[str]
) -> dict[str, Any]:
    """What a row needs besides its thread and the colleagues. `interaction_ids`: of the rows that are shown."""
    return {
        "found_texts": await found_texts.find_texts(read, person.tenant_id, filters, interaction_ids),
        "unread": await read_marks.count_unread(read, person.tenant_id, person.user_id, interaction_ids),
        "order_of": partial(format_order, filters),
    }


def format_order(filters: ThreadFilter, needs_person: bool, thread: Thread) -> str:
    """Says where a row stands: of two rows, the script puts the one with the higher order first."""
    at, interaction_id = key_of(thread, filters)
    microseconds = (at - START_OF_TIME) // timedelta(microseconds=1)
    rank = MAX_RANK - microseconds if filters.is_by_waiting else microseconds
    return f"{needs_person:d} {rank:017d} {interaction_id}"


def format_count(count: int) -> str:
    return str(count) if count < views.MAX_COUNTED else f"{views.MAX_COUNTED - 1}+"

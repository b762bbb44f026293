"""What the list shows besides its rows: the views with their counts, saved views, whom threads are assigned to,
and what the person has not read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.access.sessions import Person
from app.domain.mentions import get_color_number
from app.store import people, read_marks, views
from app.store import saved_views as store
from app.store.engine import ReadTx
from app.web.page.list_filter import ListFilter

VIEW_WORDS = {
    "waiting": "Waiting",
    "mine": "Mine",
    "unread": "Unread",
    "held": "Held",
    "snoozed": "Snoozed",
    "all": "All",
}


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


async def build_context(
    read: ReadTx, person: Person, list_filter: ListFilter, interaction_ids: Sequence[str]
) -> dict[str, Any]:
    """`interaction_ids`: of the rows that are shown."""
    counts = await views.count(read, person.tenant_id, person.user_id)
    colleagues = await people.list_colleagues(read, person.tenant_id)
    place = list_filter.model_dump()
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
        "saved_views": [
            (row, dict(row.filter), row.filter == {name: value for name, value in place.items() if value})
            for row in await store.list_of_person(read, person.tenant_id, person.user_id)
        ],
        "colleagues": {
            colleague.user_id: ShownPerson(**asdict(colleague), color=get_color_number(colleague.user_id))
            for colleague in colleagues
        },
        "unread": await read_marks.count_unread(read, person.tenant_id, person.user_id, interaction_ids),
    }


def format_count(count: int) -> str:
    return str(count) if count < views.MAX_COUNTED else f"{views.MAX_COUNTED - 1}+"

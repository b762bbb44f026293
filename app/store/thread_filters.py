"""The filters of a list of threads, and their conditions in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain import ids
from app.domain.figures import SENT_STATUSES, ReachedStep
from app.domain.words import INTERACTION_STATUSES, View
from app.store.turn_states import has_begun_sql
from app.store.views import NEEDING_THREADS_SQL, PERSONAL_VIEWS, view_sql
from app.store.waiting import waiting_since_sql


@dataclass(frozen=True, slots=True)
class CommonFilter:
    """What leads and threads are filtered by; None: no filter. Dates are half-open."""

    campaign_ids: Sequence[str] | None = None
    client_ids: Sequence[str] | None = None
    offer_ids: Sequence[str] | None = None
    statuses: Sequence[str] | None = None
    start: datetime | None = None
    end: datetime | None = None
    search: str | None = None
    is_quick: bool = False
    """A person is typing: names are searched for short words among the newest only."""


@dataclass(frozen=True, slots=True)
class ThreadFilter(CommonFilter):
    """Filters for a list of threads; None: no filter. Dates compare the last text.

    `search` matches inside the lead's name and id. If it is digits, it matches the end or the
    beginning of the phone, and the beginning of the lead's id. With `in_messages` it matches texts
    that have all its words."""

    lead_id: str | None = None
    unread: bool | None = None
    in_messages: bool = False
    needs_person: bool | None = None
    view: View | None = None
    person_id: str | None = None
    """Whose view it is."""
    unread_by_person: bool = False
    """Only what `person_id` has not read."""
    assigned_to: str | None = None
    """A person; "": nobody."""
    opened_from: datetime | None = None
    opened_to: datetime | None = None
    """When it was opened; half-open."""
    reached: ReachedStep | None = None
    """How far it came, as figures count it."""
    sms_agent_ids: Sequence[str] | None = None
    """One of them is its agent, as figures count it."""

    @property
    def has_parts(self) -> bool:
        """Whether the threads that need a person come first. A view has only one part."""
        return self.view in (None, "all")

    @property
    def is_by_waiting(self) -> bool:
        """Whether the list begins with who waits longest, instead of the newest activity."""
        return self.view == "waiting" and not self.search


NEEDS_PERSON_SQL = f"(t.status = 'follow_up' OR t.interaction_id = ANY ({NEEDING_THREADS_SQL}))"
NEEDS_NOBODY_SQL = f"t.status <> 'follow_up' AND t.interaction_id <> ALL ({NEEDING_THREADS_SQL})"


SENT_SQL = f"IN ({', '.join(repr(status) for status in SENT_STATUSES)})"
"""Of the status of a text of ours: it was handed to the carrier."""
FIRST_SENT_SQL = f"""(SELECT min(m.seq) FROM messages m WHERE m.tenant_id = t.tenant_id
    AND m.interaction_id = t.interaction_id AND m.role = 'agent' AND m.status {SENT_SQL})"""
REPLIED_SQL = f"""EXISTS (SELECT FROM messages r WHERE r.tenant_id = t.tenant_id
    AND r.interaction_id = t.interaction_id AND r.role = 'user' AND r.seq > {FIRST_SENT_SQL})"""
REACHED_SQL: dict[ReachedStep, str] = {
    "texted": f"{FIRST_SENT_SQL} IS NOT NULL",
    "replied": REPLIED_SQL,
    "qualified": f"t.status = 'qualified' AND {REPLIED_SQL}",
}


NEWEST_TURN_SQL = f"""FROM turns u
    WHERE u.tenant_id = t.tenant_id AND u.interaction_id = t.interaction_id AND u.kind = 'live'
      AND u.sms_agent_id IS NOT NULL AND {has_begun_sql("u")}
    ORDER BY u.turn_id DESC LIMIT 1"""
"""Of a thread `t`: its agent is that of this turn, as figures count it."""


class Params:
    """The parameters of a statement that is being built; $1 is the tenant."""

    def __init__(self, tenant_id: str) -> None:
        self.values: list[Any] = [tenant_id]

    def bind(self, value: Any) -> str:
        """Adds a value and returns its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}"


def wanted_statuses(filters: ThreadFilter) -> Sequence[str]:
    return INTERACTION_STATUSES if filters.statuses is None else filters.statuses


def campaigns_sql(params: Params, filters: CommonFilter) -> str | None:
    """Selects the wanted campaigns by id, client and offer; None: all campaigns."""
    ids_by_column = {
        "campaign_id": filters.campaign_ids,
        "client_id": filters.client_ids,
        "offer_id": filters.offer_ids,
    }
    conditions = [
        f"{column} = ANY ({params.bind(list(ids))}::text[])" for column, ids in ids_by_column.items() if ids is not None
    ]
    if not conditions:
        return None
    return f"SELECT campaign_id FROM campaigns WHERE tenant_id = $1 AND {' AND '.join(conditions)}"


def threads_sql(params: Params, filters: CommonFilter, values_by_column: Mapping[str, str | None]) -> str | None:
    """Selects the threads of the wanted campaigns that have these values; None: all threads."""
    conditions = [f"{column} = {params.bind(value)}" for column, value in values_by_column.items() if value is not None]
    if (campaigns := campaigns_sql(params, filters)) is not None:
        conditions.append(f"campaign_id IN ({campaigns})")
    if not conditions:
        return None
    return f"SELECT interaction_id FROM interactions WHERE tenant_id = $1 AND {' AND '.join(conditions)}"


MAX_CLOCK_SKEW = timedelta(hours=1)
"""Between the clocks of the process that makes an id and of the database."""


def id_span_sql(
    params: Params, kind: ids.IdKind, id_column: str, time_column: str, filters: CommonFilter, below: str | None
) -> str:
    """The dates of the filter, and the id below which the page begins. Ids begin with the time, so their
    index bounds what is read."""
    conditions = ""
    if filters.start is not None:
        first_id = ids.first_since(kind, filters.start - MAX_CLOCK_SKEW)
        conditions += f" AND {id_column} >= {params.bind(first_id)} AND {time_column} >= {params.bind(filters.start)}"
    if filters.end is not None:
        end_id = ids.first_since(kind, filters.end + MAX_CLOCK_SKEW)
        conditions += f" AND {id_column} < {params.bind(end_id)} AND {time_column} < {params.bind(filters.end)}"
    if below is not None:
        conditions += f" AND {id_column} < {params.bind(below)}"
    return conditions


def filtered_view_sql(params: Params, view: View, person_id: str | None) -> str:
    return view_sql(view, params.bind(person_id) if view in PERSONAL_VIEWS else "")


def where_sql(params: Params, filters: ThreadFilter, before: tuple[Any, ...] | None) -> str:
    conditions = ""
    if filters.lead_id is not None:
        conditions += f" AND t.lead_id = {params.bind(filters.lead_id)}"
    if filters.start is not None:
        conditions += f" AND t.last_message_at >= {params.bind(filters.start)}"
    if filters.end is not None:
        conditions += f" AND t.last_message_at < {params.bind(filters.end)}"
    for at, sign in ((filters.opened_from, ">="), (filters.opened_to, "<")):
        if at is not None:
            conditions += f" AND t.interaction_id {sign} {params.bind(ids.first_since('int', at))}"
    if filters.reached is not None:
        conditions += f" AND {REACHED_SQL[filters.reached]}"
    if filters.sms_agent_ids is not None:
        conditions += (
            f" AND (SELECT u.sms_agent_id {NEWEST_TURN_SQL}) = ANY ({params.bind(list(filters.sms_agent_ids))}::text[])"
        )
    if filters.unread is not None:
        conditions += f" AND t.unread_count {'>' if filters.unread else '='} 0"
    if filters.assigned_to is not None:
        conditions += (
            f" AND t.assigned_to {f'= {params.bind(filters.assigned_to)}' if filters.assigned_to else 'IS NULL'}"
        )
    if filters.view is not None and filters.view != "all":
        conditions += f" AND t.interaction_id IN ({filtered_view_sql(params, filters.view, filters.person_id)})"
    if filters.unread_by_person:
        conditions += f" AND t.interaction_id IN ({filtered_view_sql(params, 'unread', filters.person_id)})"
    if filters.needs_person is not None:
        conditions += f" AND {NEEDS_PERSON_SQL if filters.needs_person else NEEDS_NOBODY_SQL}"
    if before is not None:
        conditions += after_sql(params, filters, before)
    return conditions


def after_sql(params: Params, filters: ThreadFilter, before: tuple[Any, ...]) -> str:
    """What comes after `before` in the order of the list."""
    at, interaction_id = (params.bind(part) for part in before)
    if filters.is_by_waiting:
        return f" AND ({waiting_since_sql('t')}, t.interaction_id) > ({at}, {interaction_id})"
    return f" AND (t.last_message_at, t.interaction_id) < ({at}, {interaction_id})"


def full_where_sql(params: Params, filters: ThreadFilter, before: tuple[Any, ...] | None) -> str:
    """All conditions except the search; for statements that sort their rows."""
    conditions = where_sql(params, filters, before)
    if filters.statuses is not None:
        conditions += f" AND t.status = ANY ({params.bind(list(filters.statuses))}::text[])"
    if (campaigns := campaigns_sql(params, filters)) is not None:
        conditions += f" AND t.campaign_id IN ({campaigns})"
    return conditions


FOLDED_TO_ASCII = (
    r"\u00AA\u00B2\u00B3\u00B9-\u00BE\u00C0-\u024F\u02B0-\u02E4\u0300-\u036F\u1D2C-\u1DBF\u1E00-\u1EFF"
    r"\u2070-\u218F\u2460-\u24FF\u2C7C\u2C7D\u3250-\u33FF\uA7F2-\uA7F8\uFB00-\uFB06"
    r"\uFF00-\uFF5F\U00010795-\U0001F1FF\U0001FBF0-\U0001FBF9"
)
"""Ranges that hold all other characters of which `fold_text` makes letters or digits of ASCII: é, ß, ﬁ, ² …, and
the accents that it takes off."""


LEAD_WORDS_SQL = """(((((COALESCE(l.first_name, '') || ' ') || COALESCE(l.last_name, '')) || ' ')
    || l.lead_id) || ' ') || COALESCE(l.email, '')"""
"""The index `ix_leads_folded` is on `fold_text` of it: the same expression, letter by letter."""


def may_have_words_sql(params: Params, text_sql: str, words: Sequence[str]) -> str:
    """A cheap test before `fold_text`. Each text passes that has all these words of ASCII, and some pass that do
    not."""
    tests = [
        f"""({text_sql}) COLLATE "C" ILIKE {params.bind(f"%{word}%")}"""
        for word in sorted(words, key=len, reverse=True)  # long words are rarer
    ]
    has_words = " AND ".join(tests) or "true"
    return f"""({has_words}
            OR octet_length({text_sql}) <> char_length({text_sql}) AND ({text_sql}) ~ '[{FOLDED_TO_ASCII}]')"""

"""The filter of the list of conversations, as the query string of the page has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import AfterValidator, BaseModel, Field

from app.domain.figures import ReachedStep
from app.domain.words import View
from app.store.page import FilterChoices
from app.store.thread_filters import CommonFilter, ThreadFilter
from app.web.filters import EARLIEST, LATEST, NOBODY, split_values
from app.web.page.render import STATUS_WORDS

DATE_RANGES = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "Last 7 days",
    "14d": "Last 14 days",
    "30d": "Last 30 days",
    "90d": "Last 90 days",
    "custom": "Between two dates",
}
DAYS_BACK = {"today": 0, "yesterday": 1, "7d": 6, "14d": 13, "30d": 29, "90d": 89}
"""How many days before today the first day of a range is."""
SNOOZES = {
    "1h": "For an hour",
    "3h": "For three hours",
    "tomorrow": "Until tomorrow, 9:00",
    "monday": "Until Monday, 9:00",
    "reply": "Until the lead writes",
}
MAX_CHOSEN = 100


def _split_chosen(values: list[str]) -> list[str]:
    return (split_values(values) or [])[:MAX_CHOSEN]


Chosen = Annotated[
    list[Annotated[str, Field(max_length=10_000)]], Field(max_length=MAX_CHOSEN), AfterValidator(_split_chosen)
]
"""Values of a repeated parameter. One parameter may hold several, with commas."""


class ListFilter(BaseModel):
    """An empty field filters nothing; of several values, a thread must have one."""

    search: Annotated[str, Field(max_length=100)] = ""
    within: Literal["", "messages"] = ""
    campaign: Chosen = []
    client: Chosen = []
    offer: Chosen = []
    status: Chosen = []
    range: Annotated[str, Field(max_length=10)] = ""
    start: Annotated[str, Field(max_length=10)] = ""
    end: Annotated[str, Field(max_length=10)] = ""
    unread: Literal["", "1"] = ""
    view: View | Literal[""] = ""
    assigned: Annotated[str, Field(max_length=64)] = ""
    opened_from: Annotated[str, Field(max_length=20)] = ""
    opened_to: Annotated[str, Field(max_length=20)] = ""
    reached: ReachedStep | Literal[""] = ""
    agent: Annotated[str, Field(max_length=64)] = ""

    def build_filter(self, zone: tzinfo, person_id: str) -> ThreadFilter:
        """Returns the filter for the store. Days are days in the person's time zone; views are the person's."""
        start, end = self._get_days(datetime.now(zone).date())
        return ThreadFilter(
            campaign_ids=self.campaign or None,
            client_ids=self.client or None,
            offer_ids=self.offer or None,
            statuses=self.status or None,
            start=_get_midnight(start, zone),
            end=_get_midnight(end and end + timedelta(days=1), zone),
            search=self.search.strip() or None,
            is_quick=True,
            in_messages=self.within == "messages",
            view="unread" if self.unread and self.view in ("", "all") else self.view or None,
            unread_by_person=bool(self.unread) and self.view not in ("", "all", "unread"),
            person_id=person_id,
            assigned_to={"": None, NOBODY: ""}.get(self.assigned, self.assigned),
            opened_from=_parse_hour(self.opened_from),
            opened_to=_parse_hour(self.opened_to),
            reached=self.reached or None,
            sms_agent_ids=[self.agent] if self.agent else None,
        )

    def build_lead_filter(self) -> CommonFilter | None:
        """Returns the filter for leads without a conversation; None if it can match none of them."""
        asks_about_threads = self.within or self.status or self.range or self.unread or self.view or self.assigned
        is_from_figure = self.opened_from or self.opened_to or self.reached or self.agent
        if asks_about_threads or is_from_figure or not self.search.strip():
            return None
        return CommonFilter(
            campaign_ids=self.campaign or None,
            client_ids=self.client or None,
            offer_ids=self.offer or None,
            search=self.search.strip(),
            is_quick=True,
        )

    def _get_days(self, today: date) -> tuple[date | None, date | None]:
        """Returns the first and the last day to show."""
        if self.range == "custom":
            return _parse_date(self.start), _parse_date(self.end)
        days_back = DAYS_BACK.get(self.range)
        if days_back is None:
            return None, None
        return today - timedelta(days=days_back), today - timedelta(days=int(self.range == "yesterday"))

    @property
    def given_values(self) -> dict[str, Any]:
        """What the list is narrowed by; a saved view keeps it."""
        return {name: value for name, value in self.model_dump().items() if value}

    @property
    def is_narrowed(self) -> bool:
        return bool(self.given_values)


ListFilterQuery = Annotated[ListFilter, Query()]


def _parse_date(raw_date: str) -> date | None:
    """None also for the first and the last day that there is: in some zone, one begins before all time, and after the
    other comes none."""
    try:
        return min(max(date.fromisoformat(raw_date), EARLIEST.date()), LATEST.date())
    except ValueError:
        return None


def _get_midnight(day: date | None, zone: tzinfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """One value that narrows the list. `place`: the parameters of the list without it."""

    label: str
    words: str
    place: dict[str, Any]


def format_hour(at: datetime) -> str:
    """As a link of a figure has it; `_parse_hour` reads it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M}Z"


def _parse_hour(raw_time: str) -> datetime | None:
    try:
        return min(max(datetime.fromisoformat(raw_time).astimezone(UTC), EARLIEST), LATEST)
    except (ValueError, OverflowError):
        return None


REACHED_WORDS = {"texted": "texted", "replied": "with a reply", "qualified": "qualified after a reply"}


def list_active_filters(
    list_filter: ListFilter, choices: FilterChoices, person_names: Mapping[str, str], zone: tzinfo
) -> list[ActiveFilter]:
    """Returns what narrows the list besides its view, in the order of the form."""
    place = list_filter.model_dump()
    chips: list[ActiveFilter] = []
    if list_filter.search:
        label = "Texts with" if list_filter.within else "Search"
        chips.append(ActiveFilter(label, list_filter.search, place | {"search": "", "within": ""}))
    names_by_field = {
        "campaign": ("Campaign", dict(choices.campaigns)),
        "client": ("Client", dict(choices.clients)),
        "offer": ("Offer", dict(choices.offers)),
        "status": ("Status", STATUS_WORDS),
    }
    for field, (label, names) in names_by_field.items():
        for value in place[field]:
            other_values = [kept_value for kept_value in place[field] if kept_value != value]
            chips.append(ActiveFilter(label, names.get(value, value), place | {field: other_values}))
    if list_filter.range:
        chips.append(ActiveFilter("Date", _describe_range(list_filter), place | {"range": "", "start": "", "end": ""}))
    if list_filter.opened_from or list_filter.opened_to:
        words = _describe_opened(list_filter, zone)
        chips.append(ActiveFilter("Opened", words, place | {"opened_from": "", "opened_to": ""}))
    if list_filter.reached:
        chips.append(ActiveFilter("Only", REACHED_WORDS[list_filter.reached], place | {"reached": ""}))
    if list_filter.agent:
        name = dict(choices.agents).get(list_filter.agent, list_filter.agent)
        chips.append(ActiveFilter("Agent", name, place | {"agent": ""}))
    if list_filter.assigned:
        name = person_names.get(list_filter.assigned, list_filter.assigned)
        chips.append(ActiveFilter("Assigned to", name, place | {"assigned": ""}))
    if list_filter.unread:
        chips.append(ActiveFilter("Only", "unread", place | {"unread": ""}))
    return chips


def _describe_range(list_filter: ListFilter) -> str:
    if list_filter.range != "custom":
        return DATE_RANGES.get(list_filter.range, list_filter.range)
    start, end = _parse_date(list_filter.start), _parse_date(list_filter.end)
    if start and end:
        return f"{_format_date(start)} to {_format_date(end)}"
    if start or end:
        return f"from {_format_date(start)}" if start else f"up to {_format_date(end)}"
    return DATE_RANGES["custom"]


def _describe_opened(list_filter: ListFilter, zone: tzinfo) -> str:
    """The days, by the clock of who reads: those of the figure may begin at another hour."""
    start, end = _parse_hour(list_filter.opened_from), _parse_hour(list_filter.opened_to)
    words = [
        f"{word} {_format_date(at.astimezone(zone).date())}"
        for word, at in (("from", start), ("to", end and end - timedelta(hours=1)))
        if at
    ]
    return " ".join(words) or "at any time"


def _format_date(day: date | None) -> str:
    return f"{day.day} {day:%b %Y}" if day else ""

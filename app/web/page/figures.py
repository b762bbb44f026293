"""The Figures page: what was texted, answered and reached, against the span before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.domain.figures import MEASURES, get_costs, get_parts
from app.domain.zones import list_zones
from app.store import figures as store
from app.store import page as choices
from app.store import tenants
from app.store.engine import ReadTx
from app.store.figures import Dimension, FigureFilter, FigureGroup
from app.store.page import FilterChoices
from app.web.figures import MAX_CSV_ROWS, build_csv
from app.web.page import render
from app.web.page.charts import Chart, build_chart
from app.web.page.key_figures import Counts, Share, build_key_figures, describe_costs, find_best_hour, share
from app.web.page.list_filter import format_hour
from app.web.page.settings.admin_request import AdminGet

router = APIRouter(include_in_schema=False)
Span = Literal["week", "month", "quarter"]
SPANS: dict[Span, tuple[str, int]] = {
    "week": ("Last 7 days", 7),
    "month": ("Last 30 days", 30),
    "quarter": ("Last 90 days", 90),
}
EXPORT_DIMENSIONS: list[Dimension] = ["day", "campaign", "agent"]
DAY_MEASURES = ("texts", "failed")
HOUR_MEASURES = ("texted", "replied")
CAMPAIGN_MEASURES = ("texts", "delivered", "texted", "replied", "qualified", "optOuts")
AGENT_MEASURES = ("texts", "turns", "timedTurns", "agentMs", "handOffs", "staleReplies", "texted", "qualified")
Campaign = Annotated[str, Query(max_length=64)]


@dataclass(frozen=True, slots=True)
class ChartRow:
    """A row of the table behind a chart. `share`: of the second value in the first, where it says something."""

    name: str
    values: Sequence[int]
    share: Share | None


@dataclass(frozen=True, slots=True)
class TableRow:
    """A campaign or an agent. `link`: its conversations."""

    id: str
    name: str
    counts: Counts
    link: str | None = None

    def share(self, part: str, whole: str) -> Share:
        return share(self.counts, part, whole)

    @property
    def cost_per_qualified(self) -> str:
        return describe_costs(get_costs(self.counts).per_qualified)


@dataclass(frozen=True, slots=True)
class Days:
    """The days that are shown, and those before them, in the tenant's time zone."""

    first: date
    count: int
    zone: ZoneInfo
    campaign: str

    def build_filter(self, *, before: bool = False) -> FigureFilter:
        first = self.first - timedelta(days=self.count if before else 0)
        start, end = (self._get_first_hour(day) for day in (first, first + timedelta(days=self.count)))
        return FigureFilter(start, end, self.zone.key, [self.campaign] if self.campaign else None)

    def _get_first_hour(self, day: date) -> datetime:
        """The first hour (UTC) of the day: in some zones it begins later than the day."""
        midnight = datetime.combine(day, time(), self.zone).astimezone(UTC)
        return midnight + timedelta(minutes=-midnight.minute % 60)

    @property
    def begin(self) -> str:
        """When a day begins, by the clock on the wall: not at midnight where hours are not those of UTC."""
        return f"{self._get_first_hour(self.first).astimezone(self.zone):%H:%M}"

    def list_days(self) -> list[date]:
        return [self.first + timedelta(days=place) for place in range(self.count)]

    def build_link(self, **conditions: str) -> str:
        """The conversations that were opened in these days."""
        filters = self.build_filter()
        place = {"campaign": self.campaign, **conditions}
        span = {"opened_from": format_hour(filters.start), "opened_to": format_hour(filters.end)}
        return f"/conversations?{urlencode({name: value for name, value in place.items() if value} | span)}"


async def _get_days(read: ReadTx, page: AdminGet, span: Span, campaign: str) -> Days:
    name = await tenants.get_zone(read, page.tenant_id)
    zone = ZoneInfo(name if name in list_zones() else "UTC")
    count = SPANS[span][1]
    return Days(datetime.now(zone).date() - timedelta(days=count - 1), count, zone, campaign)


@dataclass(frozen=True, slots=True)
class ShownFigures:
    """What the page reads."""

    days: Days
    before: Counts
    now: Counts
    by_day: dict[str, Counts]
    by_hour: dict[str, Counts]
    by_campaign: dict[str, Counts]
    by_agent: dict[str, Counts]
    choices: FilterChoices


async def _read_figures(read: ReadTx, page: AdminGet, span: Span, campaign: str) -> ShownFigures:
    tenant = page.tenant_id
    days = await _get_days(read, page, span, campaign)
    filters = days.build_filter()
    now_counts = await _count(read, tenant, filters)
    costs = [f"threadCost.{currency}" for currency in get_costs(now_counts).threads]
    return ShownFigures(
        days=days,
        before=await _count(read, tenant, days.build_filter(before=True)),
        now=now_counts,
        by_day=await _count_by(read, tenant, filters, "day", DAY_MEASURES),
        by_hour=await _count_by(read, tenant, filters, "hourOfDay", HOUR_MEASURES),
        by_campaign=await _count_by(read, tenant, filters, "campaign", [*CAMPAIGN_MEASURES, *costs]),
        by_agent=await _count_by(read, tenant, filters, "agent", AGENT_MEASURES),
        choices=await choices.get_choices(read, tenant),
    )


@router.get("/figures")
async def show_figures(page: AdminGet, span: Span = "month", campaign: Campaign = "") -> Response:
    lagging_value = await page.run_lagging_read(lambda read: _read_figures(read, page, span, campaign))
    figures = lagging_value.value
    days, now_counts = figures.days, figures.now
    links = {measure: days.build_link(reached=measure) for _, measure in FUNNEL}
    day_rows = [(f"{day:%a} {day.day} {day:%b}", figures.by_day.get(day.isoformat(), {})) for day in days.list_days()]
    hour_rows = [(f"{hour:02}:00", figures.by_hour.get(f"{hour:02}", {})) for hour in range(24)]
    return page.render_page(
        "figures",
        spans=SPANS,
        span=span,
        campaign=campaign,
        campaigns=figures.choices.campaigns,
        key_figures=build_key_figures(now_counts, figures.before, links),
        funnel=[
            (name, now_counts.get(measure, 0), share(now_counts, measure, "texted"), links[measure])
            for name, measure in FUNNEL
        ],
        charts=[
            ("Texts a day", ("texts of yours", "failed texts"), *_chart(day_rows, *DAY_MEASURES)),
            ("Replies by the hour of opening", ("texted", "replied"), *_chart(hour_rows, *HOUR_MEASURES)),
        ],
        best_hour=find_best_hour(hour_rows),
        campaign_rows=_list_rows(figures.by_campaign, dict(figures.choices.campaigns), "No campaign", days, "campaign"),
        agent_rows=[
            row for row in _list_rows(figures.by_agent, dict(figures.choices.agents), "", days, "agent") if row.id
        ],
        statuses=_list_statuses(now_counts, days),
        opt_outs=get_parts(now_counts, "optOuts"),
        counts=now_counts,
        definitions=MEASURES,
        days=days,
        as_of=lagging_value.as_of,
    )


@router.get("/figures/export")
async def export_figures(page: AdminGet, span: Span = "month", campaign: Campaign = "") -> Response:
    """A row for each day, campaign and agent."""

    async def list_groups(read: ReadTx) -> list[FigureGroup]:
        filters = (await _get_days(read, page, span, campaign)).build_filter()
        return await store.list_groups(read, page.tenant_id, filters, EXPORT_DIMENSIONS, None, MAX_CSV_ROWS)

    groups = (await page.run_lagging_read(list_groups)).value
    return build_csv(EXPORT_DIMENSIONS, groups)


async def _count(read: ReadTx, tenant_id: str, filters: FigureFilter) -> Counts:
    groups = await store.list_groups(read, tenant_id, filters, [])
    return groups[0].values if groups else {}


async def _count_by(
    read: ReadTx, tenant_id: str, filters: FigureFilter, by: Dimension, measures: Sequence[str] | None = None
) -> dict[str, Counts]:
    groups = await store.list_groups(read, tenant_id, filters, [by], measures=measures)
    return {group.names[0]: group.values for group in groups}


FUNNEL = (("Texted", "texted"), ("Replied", "replied"), ("Qualified", "qualified"))


def _chart(rows: Sequence[tuple[str, Counts]], *measures: str) -> tuple[Chart, list[ChartRow]]:
    """The chart, and the table behind it."""
    values = [[float(counts.get(measure, 0)) for _, counts in rows] for measure in measures]
    table = [
        ChartRow(name, [counts.get(measure, 0) for measure in measures], share(counts, measures[1], measures[0]))
        for name, counts in rows
    ]
    return build_chart(*values), table


def _list_rows(
    counts_by_id: Mapping[str, Counts],
    names: Mapping[str, Any],
    without: str,
    days: Days,
    condition: Literal["campaign", "agent"],
) -> list[TableRow]:
    """Those with the most texts first. `condition`: of the links to their conversations of these days."""
    rows = [
        TableRow(
            row_id,
            names.get(row_id) or row_id or without,
            counts,
            days.build_link(**{condition: row_id}) if row_id else None,
        )
        for row_id, counts in counts_by_id.items()
    ]
    return sorted(rows, key=lambda row: (-row.counts.get("texts", 0), -row.counts.get("turns", 0), row.name))


def _list_statuses(counts: Counts, days: Days) -> list[tuple[str, int, str]]:
    """Each status in words, its threads, and the list of them."""
    return [
        (render.STATUS_WORDS.get(status, status), count, days.build_link(status=status))
        for status, count in sorted(get_parts(counts, "status").items(), key=lambda item: -item[1])
    ]

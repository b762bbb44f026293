"""The Figures page: what was texted, answered and reached, against the span before."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.commands.leads import available_timezones
from app.domain.figures import MEASURES, get_interval
from app.store import figures as store
from app.store import page as choices
from app.store.engine import ReadTx
from app.store.figures import Dimension, FigureFilter, FigureGroup
from app.web.figures import MAX_CSV_ROWS, build_csv, get_parts
from app.web.page import render
from app.web.page.charts import Chart, build_chart
from app.web.page.settings.admin_request import AdminGet

router = APIRouter(include_in_schema=False)
Span = Literal["week", "month", "quarter"]
SPANS: dict[Span, tuple[str, int]] = {
    "week": ("Last 7 days", 7),
    "month": ("Last 30 days", 30),
    "quarter": ("Last 90 days", 90),
}
EXPORT_DIMENSIONS: list[Dimension] = ["day", "campaign", "agent"]
Campaign = Annotated[str, Query(max_length=64)]
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Share:
    """A share of some cases, in percent, with its 95 % interval."""

    count: int
    total: int

    @property
    def percent(self) -> float | None:
        return 100 * self.count / self.total if self.total else None

    @property
    def ends(self) -> tuple[float, float] | None:
        interval = get_interval(self.count, self.total)
        return (100 * interval[0], 100 * interval[1]) if interval else None


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A figure, and what it was in the span before. `is_good`: more of it is better; None: neither."""

    name: str
    value: float | None
    before: float | None
    unit: str = ""
    is_good: bool | None = None

    @property
    def change(self) -> float | None:
        """The change: of shares in points, of others in percent of the value before."""
        if self.value is None or self.before is None:
            return None
        if self.unit == "%":
            return self.value - self.before
        return 100 * (self.value - self.before) / self.before if self.before else None

    @property
    def is_as_before(self) -> bool:
        return self.change is not None and abs(self.change) < (0.05 if self.unit == "%" else 1)

    @property
    def kind(self) -> str:
        if self.is_good is None or self.change is None or self.is_as_before:
            return ""
        return "better" if (self.change > 0) == self.is_good else "worse"


@dataclass(frozen=True, slots=True)
class ChartRow:
    """A row of the table behind a chart."""

    name: str
    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class TableRow:
    """A campaign or an agent. `link`: its conversations."""

    id: str
    name: str
    counts: Counts
    link: str | None = None

    def share(self, part: str, whole: str) -> Share:
        return share(self.counts, part, whole)


def share(counts: Counts, part: str, whole: str) -> Share:
    total = counts.get(whole, 0)
    return Share(min(counts.get(part, 0), total), total)


@dataclass(frozen=True, slots=True)
class Days:
    """The days that are shown, and those before them, in the person's time zone."""

    first: date
    count: int
    zone: ZoneInfo
    campaign: str

    def build_filter(self, *, before: bool = False) -> FigureFilter:
        first = self.first - timedelta(days=self.count if before else 0)
        start, end = (datetime.combine(day, time(), self.zone) for day in (first, first + timedelta(days=self.count)))
        campaigns = [self.campaign] if self.campaign else None
        return FigureFilter(start.astimezone(UTC), end.astimezone(UTC), self.zone.key, campaigns)

    def list_days(self) -> list[date]:
        return [self.first + timedelta(days=place) for place in range(self.count)]


def _get_days(page: AdminGet, span: Span, campaign: str) -> Days:
    name = getattr(page.zone, "key", "UTC")
    zone = ZoneInfo(name if name in available_timezones() else "UTC")
    count = SPANS[span][1]
    return Days(datetime.now(zone).date() - timedelta(days=count - 1), count, zone, campaign)


@dataclass(frozen=True, slots=True)
class ShownFigures:
    """What the page reads."""

    before: Counts
    by_day: dict[str, Counts]
    by_hour: dict[str, Counts]
    by_campaign: dict[str, Counts]
    by_agent: dict[str, Counts]
    campaigns: Sequence[Any]
    agent_names: dict[str, str]


async def _read_figures(read: ReadTx, tenant_id: str, days: Days) -> ShownFigures:
    filters = days.build_filter()
    return ShownFigures(
        before=await _count(read, tenant_id, days.build_filter(before=True)),
        by_day=await _count_by(read, tenant_id, filters, "day"),
        by_hour=await _count_by(read, tenant_id, filters, "hourOfDay"),
        by_campaign=await _count_by(read, tenant_id, filters, "campaign"),
        by_agent=await _count_by(read, tenant_id, filters, "agent"),
        campaigns=(await choices.get_choices(read, tenant_id)).campaigns,
        agent_names=await store.get_agent_names(read, tenant_id),
    )


@router.get("/figures")
async def show_figures(page: AdminGet, span: Span = "month", campaign: Campaign = "") -> Response:
    days = _get_days(page, span, campaign)
    lagging = await page.run_lagging_read(lambda read: _read_figures(read, page.tenant_id, days))
    figures = lagging.value
    now_counts = _sum_up(figures.by_day.values())
    day_rows = [(f"{day:%a} {day.day} {day:%b}", figures.by_day.get(day.isoformat(), {})) for day in days.list_days()]
    hour_rows = [(f"{hour:02}:00", figures.by_hour.get(f"{hour:02}", {})) for hour in range(24)]
    return page.render_page(
        "figures",
        spans=SPANS,
        span=span,
        campaign=campaign,
        campaigns=figures.campaigns,
        key_figures=build_key_figures(now_counts, figures.before),
        funnel=[(name, now_counts.get(measure, 0), share(now_counts, measure, "texted")) for name, measure in FUNNEL],
        charts=[
            ("Texts a day", ("texts of yours", "failed texts"), *_chart(day_rows, "texts", "failed")),
            ("Replies by the hour of opening", ("texted", "replied"), *_chart(hour_rows, "texted", "replied")),
        ],
        campaign_rows=_list_rows(figures.by_campaign, dict(figures.campaigns), "No campaign", has_links=True),
        agent_rows=[row for row in _list_rows(figures.by_agent, figures.agent_names, "") if row.id],
        statuses=_list_statuses(now_counts, campaign),
        opt_outs=get_parts(dict(now_counts), "optOuts"),
        definitions=MEASURES,
        zone_name=days.zone.key,
        as_of=lagging.as_of,
    )


@router.get("/figures/export")
async def export_figures(page: AdminGet, span: Span = "month", campaign: Campaign = "") -> Response:
    """A row for each day, campaign and agent."""
    filters = _get_days(page, span, campaign).build_filter()

    async def list_groups(read: ReadTx) -> list[FigureGroup]:
        return await store.list_groups(read, page.tenant_id, filters, EXPORT_DIMENSIONS, None, MAX_CSV_ROWS)

    groups = (await page.run_lagging_read(list_groups)).value
    return build_csv(EXPORT_DIMENSIONS, groups)


async def _count(read: ReadTx, tenant_id: str, filters: FigureFilter) -> Counts:
    groups = await store.list_groups(read, tenant_id, filters, [])
    return groups[0].values if groups else {}


def _sum_up(groups: Iterable[Counts]) -> Counts:
    total: Counter[str] = Counter()
    for counts in groups:
        total.update(counts)
    return total


async def _count_by(read: ReadTx, tenant_id: str, filters: FigureFilter, by: Dimension) -> dict[str, Counts]:
    return {group.names[0]: group.values for group in await store.list_groups(read, tenant_id, filters, [by])}


FUNNEL = (("Texted", "texted"), ("Replied", "replied"), ("Qualified", "qualified"))


def build_key_figures(now: Counts, before: Counts) -> list[KeyFigure]:
    """The line at the top."""

    def build_rate(name: str, part: str, whole: str, *, is_good: bool) -> KeyFigure:
        percents = [share(counts, part, whole).percent for counts in (now, before)]
        return KeyFigure(name, percents[0], percents[1], "%", is_good)

    def build_mean(name: str, part: str, whole: str, divisor: int, unit: str) -> KeyFigure:
        means = [
            counts.get(part, 0) / counts[whole] / divisor if counts.get(whole) else None for counts in (now, before)
        ]
        return KeyFigure(name, means[0], means[1], unit, is_good=False)

    return [
        KeyFigure("Texts", now.get("texts", 0), before.get("texts", 0)),
        KeyFigure("Segments", now.get("segments", 0), before.get("segments", 0)),
        build_rate("Delivered", "delivered", "texts", is_good=True),
        build_rate("Replied", "replied", "texted", is_good=True),
        build_rate("Qualified", "qualified", "texted", is_good=True),
        build_rate("Opted out", "optOuts", "texted", is_good=False),
        build_mean("First reply after", "replySeconds", "replied", 60, "min"),
        build_mean("Agents answer in", "agentMs", "timedTurns", 1000, "s"),
    ]


def _chart(rows: Sequence[tuple[str, Counts]], *measures: str) -> tuple[Chart, list[ChartRow]]:
    """The chart, and the table behind it."""
    values = [[float(counts.get(measure, 0)) for _, counts in rows] for measure in measures]
    table = [ChartRow(name, [counts.get(measure, 0) for measure in measures]) for name, counts in rows]
    return build_chart(*values), table


def _list_rows(
    counts_by_id: Mapping[str, Counts], names: Mapping[str, Any], without: str, *, has_links: bool = False
) -> list[TableRow]:
    """Those with the most texts first."""
    rows = [
        TableRow(
            row_id,
            names.get(row_id) or row_id or without,
            counts,
            f"/conversations?{urlencode({'campaign': row_id})}" if has_links and row_id else None,
        )
        for row_id, counts in counts_by_id.items()
    ]
    return sorted(rows, key=lambda row: (-row.counts.get("texts", 0), -row.counts.get("turns", 0), row.name))


def _list_statuses(counts: Counts, campaign: str) -> list[tuple[str, int, str]]:
    """Each status in words, its threads, and the list of them."""
    found = get_parts(dict(counts), "status")
    place = {"campaign": campaign} if campaign else {}
    return [
        (render.STATUS_WORDS.get(status, status), count, f"/conversations?{urlencode(place | {'status': status})}")
        for status, count in sorted(found.items(), key=lambda item: -item[1])
    ]

"""The System page for admins: figures about the organization's texts, turns and agents."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from app.store import contact_checks
from app.store import system as store
from app.store.engine import ReadTx
from app.store.system import AgentFigures, ConsentCount, MonthSegments, TextCount, TurnCount
from app.web.page.charts import Chart, build_chart
from app.web.page.settings.admin_request import AdminGet

router = APIRouter(include_in_schema=False)
Span = Literal["hour", "day", "month"]
SEGMENT_MONTHS = 3
"""The months in the table of segments, including the current one."""
SENT_STATUSES = ("sent", "delivered", "failed", "undelivered", "unknown")
"""A text with one of these statuses was sent to the carrier."""


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A span of time that the page can show, the step of its charts, and what the step is called."""

    name: str
    duration: timedelta
    step: timedelta
    step_name: str

    def get_chart_start(self, now: datetime) -> datetime:
        """Returns the start of the charts, whose last step contains `now`. Steps are those of UTC."""
        step_start = datetime.fromtimestamp(
            now.timestamp() // self.step.total_seconds() * self.step.total_seconds(), UTC
        )
        return step_start + self.step - self.duration


TIME_SPANS: dict[Span, TimeSpan] = {
    "hour": TimeSpan("Last hour", timedelta(hours=1), timedelta(minutes=1), "minute"),
    "day": TimeSpan("Last day", timedelta(days=1), timedelta(hours=1), "hour"),
    "month": TimeSpan("Last 30 days", timedelta(days=30), timedelta(days=1), "day (UTC)"),
}


@dataclass(slots=True)
class Outcome:
    """The outcome of some texts: how many have each status."""

    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def texts(self) -> int:
        return self.statuses.total()

    @property
    def left(self) -> int:
        return sum(self.statuses[status] for status in SENT_STATUSES)

    @property
    def delivered(self) -> int:
        return self.statuses["delivered"]

    @property
    def failed(self) -> int:
        return self.statuses["failed"] + self.statuses["undelivered"]

    @property
    def unknown(self) -> int:
        return self.statuses["unknown"]

    def share(self, count: int) -> float | None:
        """Returns `count` as a percentage of the texts that left; None if none did."""
        return 100 * count / self.left if self.left else None


@dataclass(slots=True)
class ProviderTexts:
    """The outcome of a provider's texts, in total and by number."""

    provider: str
    fate: Outcome
    numbers: dict[str, Outcome]


@dataclass(frozen=True, slots=True)
class Sums:
    """What the page reads of a span of time. It may lag; what is overdue may not."""

    texts: list[TextCount]
    turns: list[TurnCount]
    consent: ConsentCount
    agents: list[AgentFigures]
    segments: list[MonthSegments]


@router.get("/system")
async def show_system(page: AdminGet, span: Span = "hour") -> Response:
    tenant, time_span, now = page.tenant_id, TIME_SPANS[span], datetime.now(UTC)
    since, chart_start = now - time_span.duration, time_span.get_chart_start(now)

    async def read_sums(read: ReadTx) -> Sums:
        return Sums(
            texts=await store.count_texts(read, tenant, since, time_span.step),
            turns=await store.count_turns(read, tenant, since, time_span.step),
            consent=await store.count_consent(read, tenant, since),
            agents=await store.measure_agents(read, tenant, since),
            segments=await store.count_segments(read, tenant, _get_month_start(now, SEGMENT_MONTHS - 1)),
        )

    lagging_value = await page.run_lagging_read(read_sums)
    sums = lagging_value.value
    async with page.resources.database.read_tx(tenant) as read:
        overdue = await store.find_oldest_due(read, tenant)
        silent_webhooks = await contact_checks.list_silent(read, tenant)
    return page.render_page(
        "system",
        looks=TIME_SPANS,
        span=span,
        chart_start=chart_start,
        chart_middle=chart_start + time_span.duration / 2,
        carried=group_by_provider(sums.texts),
        fate=_build_fate(sums.texts),
        sends=_build_chart_of_counts(time_span, chart_start, sums.texts, _filter_failures(sums.texts)),
        turns=_build_chart_of_counts(time_span, chart_start, sums.turns),
        consent=sums.consent,
        agents=sums.agents,
        segments=sums.segments,
        oldest={due.what: due for due in overdue},
        silent=silent_webhooks,
        as_of=lagging_value.as_of,
    )


def _build_fate(counts: Iterable[TextCount]) -> Outcome:
    fate = Outcome()
    for count in counts:
        fate.statuses[count.status] += count.count
    return fate


def group_by_provider(counts: Iterable[TextCount]) -> list[ProviderTexts]:
    """Groups texts by provider and number, those with the most texts first."""
    counts_by_number: dict[str, dict[str, list[TextCount]]] = defaultdict(lambda: defaultdict(list))
    for count in counts:
        counts_by_number[count.provider or "none"][count.from_phone or ""].append(count)
    providers = [
        ProviderTexts(
            provider,
            _build_fate(count for number_counts in numbers.values() for count in number_counts),
            dict(
                sorted(
                    ((number, _build_fate(number_counts)) for number, number_counts in numbers.items()),
                    key=lambda pair: -pair[1].texts,
                )
            ),
        )
        for provider, numbers in counts_by_number.items()
    ]
    return sorted(providers, key=lambda provider_texts: -provider_texts.fate.texts)


def _filter_failures(counts: Iterable[TextCount]) -> list[TextCount]:
    return [count for count in counts if count.status in ("failed", "undelivered")]


def _build_chart_of_counts(time_span: TimeSpan, start: datetime, *series: Sequence[TextCount | TurnCount]) -> Chart:
    """Builds a chart of how many events there were in each step of the span."""
    steps = round(time_span.duration / time_span.step)
    series_values = []
    for counts in series:
        values = [0.0] * steps
        for count in counts:
            step_index = int((count.at - start) / time_span.step)
            # The span begins within the step before the first; the database's clock may be in the one after the last.
            if 0 <= step_index < steps:
                values[step_index] += count.count
        series_values.append(values)
    return build_chart(*series_values)


def _get_month_start(now: datetime, months: int) -> datetime:
    """Returns the start (UTC) of the month that was `months` months ago."""
    month_count = now.year * 12 + now.month - 1 - months
    return datetime(month_count // 12, month_count % 12 + 1, 1, tzinfo=UTC)

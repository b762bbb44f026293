"""Figures: what was texted, answered and reached, in groups."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from app.domain.figures import MEASURES, RATES, get_costs, get_interval, get_parts
from app.domain.problems import Invalid
from app.domain.spreadsheets import guard_value
from app.domain.zones import list_zones
from app.store import figures, tenants
from app.store.engine import ReadTx
from app.store.figures import Dimension, FigureFilter, FigureGroup
from app.web.csv_answers import build_csv_answer, describe_csv
from app.web.dependencies import AppResources, ReadCaller
from app.web.envelope import Answer, Out
from app.web.filters import Values, parse_instant, require_known, split_values
from app.web.lagging import DESCRIBED_HEADERS, run_lagging_read
from app.web.paging import PageParams, build_cursor

router = APIRouter(prefix="/api/v1", tags=["Figures"])
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
MAX_DIMENSIONS = 4
MAX_CSV_ROWS = 50_000
DEFAULT_SPAN = timedelta(days=30)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
PARTS = {"turns": "turnsByEnd", "status": "threadsByStatus", "optOuts": "optOutsByRule"}
"""Measures with parts, by the first word of the measure."""


class Rate(Out):
    """A share between 0 and 1, with the ends of its 95 % interval (Wilson): three of five may be anything."""

    value: float
    low: float
    high: float


class CostShape(Out):
    """By currency (ISO 4217), which are never added. Only what carriers told of: see `pricedTexts`."""

    texts: dict[str, float]
    threads: dict[str, float]
    """Of all texts of the opened threads."""
    per_reply: dict[str, float]
    """Cost of the opened threads for each with a reply."""
    per_qualified: dict[str, float]


class FigureShape(Out):
    """A group. Each figure is a whole number; what was not counted is 0."""

    group: Annotated[dict[str, str | None], Field(description="By dimension of `by`; null where there is none.")]
    counts: Annotated[
        dict[str, int], Field(description="; ".join(f"`{name}`: {is_}" for name, is_ in MEASURES.items()))
    ]
    rates: dict[str, Rate | None]
    """`null`: there was nothing that it could be a share of."""
    turns_by_end: dict[str, int]
    threads_by_status: dict[str, int]
    """Threads opened in the span, by their present status."""
    opt_outs_by_rule: dict[str, int]
    costs: CostShape


class FigurePage(Out):
    figures: list[FigureShape]
    next_cursor: str | None
    has_more: bool


By = Annotated[
    list[str] | None, Query(max_length=20, description=f"Up to {MAX_DIMENSIONS} of {', '.join(DIMENSIONS)}.")
]
From = Annotated[str | None, Query(alias="from", description="Default: 30 days before `to`.")]
Until = Annotated[str | None, Query(alias="to", description="Not included. Default: now.")]
Zone = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=64,
        description="The time zone of days, months and of dates without a time. Default: that of the settings.",
    ),
]


@router.get(
    "/figures",
    response_model=Answer[FigurePage],
    responses=describe_csv("a row per group", DESCRIBED_HEADERS),
    summary="Figures of a span, by campaign, day and more, as JSON or CSV",
)
async def list_figures(
    caller: ReadCaller,
    request: Request,
    resources: AppResources,
    page_query: PageParams,
    by: By = None,
    start: From = None,
    end: Until = None,
    timezone: Zone = None,
    campaign_ids: Annotated[Values, Query(alias="campaignIds")] = None,
    client_ids: Annotated[Values, Query(alias="clientIds")] = None,
    sms_agent_ids: Annotated[Values, Query(alias="smsAgentIds")] = None,
    file_format: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> Any:
    """Counted by the hour, in UTC, a few seconds after something happened. A text, a turn and an opt-out
    belong to the hour in which they were made, and a thread with what came of it to the hour in which it
    was opened. An erased lead leaves the figures. Where a standby answers, the header `Data-As-Of` says
    until when it has everything."""
    if timezone is None:
        async with resources.database.read_tx(caller.tenant_id) as read:
            timezone = await tenants.get_zone(read, caller.tenant_id)
    zone = parse_zone(timezone)
    dimensions = parse_dimensions(by)
    until = _parse_moment(end, "to", zone) or datetime.now(UTC)
    since = _parse_moment(start, "from", zone) or max(until, EARLIEST) - DEFAULT_SPAN
    filters = FigureFilter(
        start=since,
        end=until,
        zone=zone.key,
        campaign_ids=split_values(campaign_ids),
        client_ids=split_values(client_ids),
        sms_agent_ids=split_values(sms_agent_ids),
    )
    key = page_query.get_key(*[str] * len(dimensions))
    limit = MAX_CSV_ROWS if file_format == "csv" else page_query.fetch_limit

    async def list_groups(read: ReadTx) -> list[FigureGroup]:
        return await figures.list_groups(read, caller.tenant_id, filters, dimensions, key, limit)

    groups = (await run_lagging_read(request, resources, caller.tenant_id, list_groups)).value
    if file_format == "csv":
        return build_csv(dimensions, groups)
    rows = groups[: page_query.limit]
    cursor = build_cursor(rows[-1].names) if len(groups) > len(rows) else None
    return Answer(
        data=FigurePage(
            figures=[build_shape(dimensions, group) for group in rows], next_cursor=cursor, has_more=cursor is not None
        )
    )


def parse_zone(name: str) -> ZoneInfo:
    """Raises `Invalid`."""
    if name not in list_zones():
        raise Invalid(details=["timezone: is not an IANA time zone, such as America/New_York"])
    return ZoneInfo(name)


def parse_dimensions(by: list[str] | None) -> list[Dimension]:
    """Raises `Invalid`."""
    wanted = require_known("by", split_values(by), DIMENSIONS) or []
    if len(wanted) > MAX_DIMENSIONS:
        raise Invalid(details=[f"by: must be at most {MAX_DIMENSIONS} dimensions"])
    return [dimension for dimension in DIMENSIONS if dimension in wanted]


def _parse_moment(raw_time: str | None, field: str, zone: ZoneInfo) -> datetime | None:
    """As `parse_instant`, as UTC. Raises `Invalid`."""
    at = parse_instant(raw_time, field, zone)
    return at and at.astimezone(UTC)


def build_rates(values: dict[str, int]) -> dict[str, Rate | None]:
    """The rates of the counts."""
    rates: dict[str, Rate | None] = {}
    for name, (part, whole) in RATES.items():
        total = values.get(whole, 0)
        rates[name] = build_rate(min(values.get(part, 0), total), total)
    return rates


def build_rate(count: int, total: int) -> Rate | None:
    interval = get_interval(count, total)
    if interval is None:
        return None
    return Rate(value=round(count / total, 4), low=round(interval[0], 4), high=round(interval[1], 4))


def build_shape(by: Sequence[Dimension], group: FigureGroup) -> FigureShape:
    return FigureShape(
        group={dimension: name or None for dimension, name in zip(by, group.names, strict=True)},
        counts={measure: group.values.get(measure, 0) for measure in MEASURES},
        rates=build_rates(group.values),
        costs=CostShape.model_validate(get_costs(group.values)),
        **{parts: get_parts(group.values, word) for word, parts in PARTS.items()},
    )


def build_csv(by: Sequence[Dimension], groups: Sequence[FigureGroup]) -> Response:
    """Dimensions, counts, rates with their intervals, and the costs in each currency that there is."""
    ends = [f"{rate}{end}" for rate in RATES for end in ("Rate", "RateLow", "RateHigh")]
    currencies = sorted({currency for group in groups for currency in get_costs(group.values).texts})
    costs = [f"{cost}{currency}" for currency in currencies for cost in ("cost", "threadCost")]
    rows = (_list_values(group, currencies) for group in groups)
    return build_csv_answer("figures.csv", [*by, *MEASURES, *ends, *costs], rows)


def _list_values(group: FigureGroup, currencies: Sequence[str]) -> list[object]:
    own_costs = get_costs(group.values)
    costs = [of.get(currency, 0) for currency in currencies for of in (own_costs.texts, own_costs.threads)]
    rates = build_rates(group.values).values()
    shares = [share for rate in rates for share in ((rate.value, rate.low, rate.high) if rate else ("", "", ""))]
    counts = [group.values.get(measure, 0) for measure in MEASURES]
    return [*[guard_value(name) for name in group.names], *counts, *shares, *costs]

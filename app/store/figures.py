"""Figures as they were counted, in groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from app.store import core
from app.store.counting import DAY_LEVEL
from app.store.engine import ReadTx
from app.store.schema import Figure
from app.store.thread_filters import Params

Dimension = Literal[
    "hour", "day", "month", "weekday", "hourOfDay", "campaign", "client", "number", "agent", "source",
    "experiment", "side",
]  # fmt: skip
LOCAL_SQL = "f.hour AT TIME ZONE {zone}"
GROUP_SQL: dict[Dimension, str] = {
    "hour": "to_char(f.hour AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:00:00\"Z\"')",
    "day": f"to_char({LOCAL_SQL}, 'YYYY-MM-DD')",
    "month": f"to_char({LOCAL_SQL}, 'YYYY-MM')",
    "weekday": f"to_char({LOCAL_SQL}, 'ID')",
    "hourOfDay": f"to_char({LOCAL_SQL}, 'HH24')",
    "campaign": "f.campaign_id",
    "client": "coalesce(c.client_id, '')",
    "number": "coalesce(n.phone_number_id, '')",
    "agent": "f.sms_agent_id",
    "source": "f.source",
    "experiment": "split_part(f.side, '.', 1)",
    "side": "split_part(f.side, '.', 2)",
}
COLUMNS: dict[Dimension, str] = {
    "campaign": "campaign",
    "client": "campaign",
    "number": "number",
    "agent": "agent",
    "source": "source",
    "experiment": "side",
    "side": "side",
}
"""Of the dimensions that are no times: what must be told apart for them."""
LEVELS = {frozenset[str](): "tenant", frozenset({"campaign"}): "campaign", frozenset({"agent"}): "agent"}
"""The sums that tell no more apart than this. Everything else is `full`."""
HOURLY = {"hour", "hourOfDay"}
LOCAL = {"day", "month", "weekday"}
"""Days of UTC tell these apart in UTC only."""
DAY = timedelta(days=1)
SUMMED: dict[str, str] = {
    column.info["measure"]: column.name for column in core.table_of(Figure).columns if column.info
}
"""Measures with a column of their own."""
SOURCE_SQL = """FROM ({rows}) f
LEFT JOIN campaigns c ON c.tenant_id = f.tenant_id AND c.campaign_id = f.campaign_id
LEFT JOIN phone_numbers n ON n.tenant_id = f.tenant_id AND n.phone_number = f.our_number"""


@dataclass(frozen=True, slots=True)
class FigureFilter:
    """Which hours are read, and of what; None: of all. Hours are half-open."""

    start: datetime
    end: datetime
    zone: str
    campaign_ids: Sequence[str] | None = None
    client_ids: Sequence[str] | None = None
    sms_agent_ids: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class FigureGroup:
    """What was counted in a group. `names`: its value of each dimension, "" where there is none."""

    names: list[str]
    values: dict[str, int]


async def list_groups(
    read: ReadTx,
    tenant_id: str,
    filters: FigureFilter,
    by: Sequence[Dimension],
    after: Sequence[str] | None = None,
    limit: int | None = None,
    measures: Sequence[str] | None = None,
) -> list[FigureGroup]:
    """The groups in the order of their names. Without a dimension there is one group, or none if nothing
    was counted. With `measures` only these are read, which takes a fraction of the time."""
    params = Params(tenant_id)
    zone = f"{params.bind(filters.zone)}::text"
    names = [GROUP_SQL[dimension].format(zone=zone) for dimension in by]
    conditions = [f"{zone} IS NOT NULL"]
    told_apart = {COLUMNS[dimension] for dimension in by if dimension in COLUMNS}
    for column, kind, wanted in (
        ("f.campaign_id", "campaign", filters.campaign_ids),
        ("c.client_id", "campaign", filters.client_ids),
        ("f.sms_agent_id", "agent", filters.sms_agent_ids),
    ):
        if wanted is not None:
            conditions.append(f"{column} = ANY ({params.bind(list(wanted))}::text[])")
            told_apart.add(kind)
    if after is not None:
        conditions.append(f"{_array_sql(names)} > {params.bind(list(after))}::text[]")
    rows_sql = _rows_sql(params, filters, by, LEVELS.get(frozenset(told_apart), "full"))
    source_sql, where = SOURCE_SQL.format(rows=rows_sql), " AND ".join(conditions)
    if measures is None:
        columns = [f"name_{place}" for place in range(len(by))]
        named_columns = [f"{name} AS {column}, " for name, column in zip(names, columns, strict=True)]
        groups_sql = f"""
        SELECT {_array_sql(columns)} AS names, jsonb_object_agg(s.measure, s.value) AS values
        FROM (
            SELECT {"".join(named_columns)}x.key AS measure, sum((x.value)::bigint)::bigint AS value
            {source_sql} CROSS JOIN LATERAL jsonb_each(f.counts) x
            WHERE {where} GROUP BY {", ".join([*columns, "x.key"])}
        ) s"""
    else:
        sums = [f"{params.bind(measure)}::text, sum({_count_sql(params, measure)})" for measure in measures]
        groups_sql = f"""
        SELECT {_array_sql(names)} AS names, jsonb_strip_nulls(jsonb_build_object({", ".join(sums)})) AS values
        {source_sql} WHERE {where}"""
    sql = f"{groups_sql} GROUP BY 1 ORDER BY 1 LIMIT {params.bind(limit)}"
    return [FigureGroup(**row) for row in await read.fetch_rows(sql, *params.values)]


def _rows_sql(params: Params, filters: FigureFilter, by: Sequence[Dimension], level: str) -> str:
    """The rows of the span: of whole days of UTC their sums, where these tell all apart, and of the rest the hours."""
    spans = [(level, filters.start, filters.end)]
    if HOURLY.isdisjoint(by) and (LOCAL.isdisjoint(by) or filters.zone == "UTC"):
        first, last = _get_midnight(filters.start + DAY - timedelta.resolution), _get_midnight(filters.end)
        if first < last:
            spans = [(level, filters.start, first), (f"{level}{DAY_LEVEL}", first, last), (level, last, filters.end)]
    return " UNION ALL ".join(
        f"""SELECT * FROM figures WHERE tenant_id = $1 AND level = '{level}'
            AND hour >= {params.bind(start)}::timestamptz AND hour < {params.bind(end)}::timestamptz"""
        for level, start, end in spans
    )


def _get_midnight(at: datetime) -> datetime:
    """The first moment of its day of UTC."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _count_sql(params: Params, measure: str) -> str:
    column = SUMMED.get(measure)
    return f"f.{column}" if column else f"(f.counts -> {params.bind(measure)}::text)::bigint"


def _array_sql(names: Sequence[str]) -> str:
    return f'ARRAY[{", ".join(names)}]::text[] COLLATE "C"'

"""Figures as they were counted, in groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.store.engine import ReadTx
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
) -> list[FigureGroup]:
    """The groups in the order of their names. Without a dimension there is one group, or none if nothing
    was counted."""
    params = Params(tenant_id)
    zone, start, end = (f"{params.bind(value)}::{kind}" for value, kind in (
        (filters.zone, "text"), (filters.start, "timestamptz"), (filters.end, "timestamptz")
    ))  # fmt: skip
    names = [GROUP_SQL[dimension].format(zone=zone) for dimension in by]
    names_sql = f'ARRAY[{", ".join(names)}]::text[] COLLATE "C"'
    conditions = [f"{zone} IS NOT NULL"]
    for column, wanted in (
        ("f.campaign_id", filters.campaign_ids),
        ("c.client_id", filters.client_ids),
        ("f.sms_agent_id", filters.sms_agent_ids),
    ):
        if wanted is not None:
            conditions.append(f"{column} = ANY ({params.bind(list(wanted))}::text[])")
    if after is not None:
        conditions.append(f"{names_sql} > {params.bind(list(after))}::text[]")
    sql = f"""
    SELECT s.names, jsonb_object_agg(s.measure, s.value) AS values
    FROM (
        SELECT {names_sql} AS names, f.measure, sum(f.value)::bigint AS value
        FROM figures f
        LEFT JOIN campaigns c ON c.tenant_id = f.tenant_id AND c.campaign_id = f.campaign_id
        LEFT JOIN phone_numbers n ON n.tenant_id = f.tenant_id AND n.phone_number = f.our_number
        WHERE f.tenant_id = $1 AND f.hour >= {start} AND f.hour < {end} AND {" AND ".join(conditions)}
        GROUP BY 1, 2
    ) s
    GROUP BY s.names ORDER BY s.names LIMIT {params.bind(limit)}
    """
    return [FigureGroup(**row) for row in await read.fetch_rows(sql, *params.values)]


GET_AGENT_NAMES_SQL = "SELECT sms_agent_id, name FROM sms_agents WHERE tenant_id = $1"


async def get_agent_names(read: ReadTx, tenant_id: str) -> dict[str, str]:
    """The names of the agents by id."""
    rows = await read.fetch_rows(GET_AGENT_NAMES_SQL, tenant_id)
    return {row["sms_agent_id"]: row["name"] for row in rows}

"""The query parameters that narrow lists: of threads, leads, texts and turns."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, tzinfo
from typing import Annotated

from fastapi import Depends, Query
from pydantic import Field
from typing_extensions import TypedDict

from app.domain.problems import Invalid

Value = Annotated[str, Field(pattern=r"[^,\s\x1c-\x1f]")]
"""Not blank, nor a list without items: a filter that is given selects something, and this would select everything.
What Python strips is named, because the pattern is matched by another language."""
Values = Annotated[list[Value] | None, Query(max_length=100)]
LeadId = Annotated[Value | None, Query(alias="leadId", max_length=64)]
StartDate = Annotated[str | None, Query(alias="startDate")]
EndDate = Annotated[str | None, Query(alias="endDate")]
PhoneFilter = Annotated[str | None, Query(min_length=1, max_length=40)]
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""What lies outside means "always" or "never"; ids and zones cannot hold it."""
NOBODY = "nobody"
"""Stands for a person: the thread is assigned to none."""


def split_values(values: list[str] | None) -> list[str] | None:
    """Splits `a,b` in repeated parameters, each value once; None if nothing is left."""
    if values is None:
        return None
    parts = [part.strip() for value in values for part in value.split(",") if part.strip()]
    return list(dict.fromkeys(parts)) or None


def require_known(field: str, values: list[str] | None, known_values: Sequence[str]) -> list[str] | None:
    """Returns the values. Raises `Invalid`: one is not among `known_values`."""
    if values is not None and not set(values).issubset(known_values):
        raise Invalid(details=[f"{field}: must be one of {', '.join(known_values)}"])
    return values


def parse_instant(raw_time: str | None, field: str, zone: tzinfo = UTC) -> datetime | None:
    """Parses ISO 8601. A bare date is midnight in `zone`; a time without an offset is UTC. What is earlier than
    `EARLIEST` or later than `LATEST` becomes these. Raises `Invalid`."""
    if raw_time is None:
        return None
    try:
        if len(raw_time) == len("2026-01-31"):
            at = datetime.combine(date.fromisoformat(raw_time), time(), zone)
        else:
            at = datetime.fromisoformat(raw_time)
    except ValueError:
        raise Invalid(details=[f"{field}: is not an ISO 8601 date or time"]) from None
    return min(max(at if at.tzinfo else at.replace(tzinfo=UTC), EARLIEST), LATEST)


class CommonFields(TypedDict):
    """The fields of a `CommonFilter` that every list takes."""

    campaign_ids: list[str] | None
    client_ids: list[str] | None
    offer_ids: list[str] | None
    start: datetime | None
    end: datetime | None


async def get_common_fields(
    campaign_ids: Annotated[Values, Query(alias="campaignIds")] = None,
    client_ids: Annotated[Values, Query(alias="clientIds")] = None,
    offer_ids: Annotated[Values, Query(alias="offerIds")] = None,
    start_date: StartDate = None,
    end_date: EndDate = None,
) -> CommonFields:
    return CommonFields(
        campaign_ids=split_values(campaign_ids),
        client_ids=split_values(client_ids),
        offer_ids=split_values(offer_ids),
        start=parse_instant(start_date, "startDate"),
        end=parse_instant(end_date, "endDate"),
    )


CommonParams = Annotated[CommonFields, Depends(get_common_fields)]

"""The query parameters that narrow lists: of threads, of leads, and their exports."""

from datetime import UTC, date, datetime, time
from typing import Annotated

from fastapi import Query

from app.domain.problems import Invalid

Values = Annotated[list[str] | None, Query(max_length=100)]
CampaignIds = Annotated[list[str] | None, Query(alias="campaignIds", max_length=100)]
ClientIds = Annotated[list[str] | None, Query(alias="clientIds", max_length=100)]
OfferIds = Annotated[list[str] | None, Query(alias="offerIds", max_length=100)]
StartDate = Annotated[str | None, Query(alias="startDate")]
EndDate = Annotated[str | None, Query(alias="endDate")]


def split_values(values: list[str] | None) -> list[str] | None:
    """Splits `a,b` in repeated parameters; None if nothing is left."""
    if values is None:
        return None
    return [part.strip() for value in values for part in value.split(",") if part.strip()] or None


def parse_instant(raw_time: str | None, field: str) -> datetime | None:
    """Parses ISO 8601. A bare date or a time without an offset is UTC. Raises `Invalid`."""
    if raw_time is None:
        return None
    try:
        if len(raw_time) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(raw_time), time(), UTC)
        at = datetime.fromisoformat(raw_time)
    except ValueError:
        raise Invalid(details=[f"{field}: is not an ISO 8601 date or time"]) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)

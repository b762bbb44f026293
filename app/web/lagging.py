"""Answers whose data may lag: a header says how far."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request

from app.domain.transcripts import format_time
from app.resources import Resources
from app.store.engine import ReadTx
from app.store.standby import LaggingValue

T = TypeVar("T")
AS_OF_HEADER = "Data-As-Of"
DESCRIBED_HEADERS = {
    AS_OF_HEADER: {
        "description": "Where a standby of the database answers: what came later may be missing.",
        "schema": {"type": "string", "format": "date-time"},
    }
}
"""For the described API."""


async def run_lagging_read(
    request: Request, resources: Resources, tenant_id: str, read: Callable[[ReadTx], Awaitable[T]]
) -> LaggingValue[T]:
    """As `LaggingReads.run`. Where something may be missing, the answer gets the header."""
    lagging_value = await resources.lagging_reads.run(resources.database, tenant_id, read)
    if lagging_value.as_of:
        headers = getattr(request.state, "answer_headers", {})
        request.state.answer_headers = headers | {AS_OF_HEADER: format_time(lagging_value.as_of)}
    return lagging_value

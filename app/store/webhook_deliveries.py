"""What was sent to endpoints: the newest requests of each, with their bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.store.engine import ReadTx, Tx, as_columns
from app.store.rows import columns_of, unnest_sql

MAX_KEPT = 1000
"""Deliveries that are kept of an endpoint."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request to an endpoint, and what came of it."""

    tenant_id: str
    endpoint_id: str
    delivery_id: str
    event_id: str
    name: str
    interaction_id: str | None
    attempt: int
    at: datetime
    outcome: str
    http_status: int | None
    duration_ms: int
    detail: str | None
    answer: str | None
    request_body: bytes


DELIVERY_COLUMNS_SQL = """tenant_id, endpoint_id, delivery_id, event_id, name, interaction_id, attempt, at,
    outcome, http_status, duration_ms, detail, answer, request_body"""
RECORD_DELIVERIES_SQL = f"""
INSERT INTO webhook_deliveries ({DELIVERY_COLUMNS_SQL})
SELECT {DELIVERY_COLUMNS_SQL} FROM {unnest_sql(Delivery)}
WHERE EXISTS (SELECT FROM webhook_endpoints e
              WHERE e.tenant_id = a.tenant_id AND e.endpoint_id = a.endpoint_id)
"""


async def record(tx: Tx, deliveries: Sequence[Delivery]) -> None:
    """Records the requests; not those of endpoints that were removed meanwhile."""
    if deliveries:
        await tx.execute(RECORD_DELIVERIES_SQL, *columns_of(deliveries))


LIST_DELIVERIES_SQL = f"""
SELECT {DELIVERY_COLUMNS_SQL} FROM webhook_deliveries
WHERE tenant_id = $1 AND endpoint_id = $2 AND ($3::text IS NULL OR delivery_id < $3)
  AND ($4::text IS NULL OR event_id = $4) AND ($5::text IS NULL OR outcome = $5)
ORDER BY delivery_id DESC LIMIT $6
"""


async def list_page(
    read: ReadTx,
    tenant_id: str,
    endpoint_id: str,
    below: str | None,
    limit: int,
    event_id: str | None = None,
    outcome: str | None = None,
) -> list[Delivery]:
    """The newest first; `below`: the id of the last that was seen."""
    return await read.fetch(Delivery, LIST_DELIVERIES_SQL, tenant_id, endpoint_id, below, event_id, outcome, limit)


PRUNE_SQL = """
DELETE FROM webhook_deliveries d
USING unnest($1::text[], $2::text[]) AS a(tenant_id, endpoint_id)
CROSS JOIN LATERAL (
    SELECT n.delivery_id FROM webhook_deliveries n
    WHERE n.tenant_id = a.tenant_id AND n.endpoint_id = a.endpoint_id
    ORDER BY n.delivery_id DESC OFFSET $3 LIMIT 1
) oldest
WHERE d.tenant_id = a.tenant_id AND d.endpoint_id = a.endpoint_id AND d.delivery_id <= oldest.delivery_id
"""


async def prune(tx: Tx, endpoints: Sequence[tuple[str, str]]) -> None:
    """Keeps the newest `MAX_KEPT` of each endpoint (tenant, endpoint)."""
    if endpoints:
        await tx.execute(PRUNE_SQL, *as_columns(endpoints, 2), MAX_KEPT)

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


ROWS_PER_STEP = 500
"""Rows that one transaction deletes: no event is delivered before the transactions that are older have ended."""
PRUNE_SQL = f"""
WITH old AS (
    SELECT d.tenant_id, d.endpoint_id, d.delivery_id
    FROM unnest($1::text[], $2::text[]) AS a(tenant_id, endpoint_id)
    CROSS JOIN LATERAL (
        SELECT n.delivery_id FROM webhook_deliveries n
        WHERE n.tenant_id = a.tenant_id AND n.endpoint_id = a.endpoint_id
        ORDER BY n.delivery_id DESC OFFSET $3 LIMIT 1
    ) oldest
    CROSS JOIN LATERAL (
        SELECT o.tenant_id, o.endpoint_id, o.delivery_id FROM webhook_deliveries o
        WHERE o.tenant_id = a.tenant_id AND o.endpoint_id = a.endpoint_id AND o.delivery_id <= oldest.delivery_id
        LIMIT {ROWS_PER_STEP}
    ) d
    LIMIT {ROWS_PER_STEP}
), gone AS (
    DELETE FROM webhook_deliveries d USING old
    WHERE d.tenant_id = old.tenant_id AND d.endpoint_id = old.endpoint_id AND d.delivery_id = old.delivery_id
    RETURNING 1
)
SELECT count(*) FROM gone
"""


async def prune(tx: Tx, endpoints: Sequence[tuple[str, str]]) -> bool:
    """Deletes deliveries that are older than the newest `MAX_KEPT` of their endpoint (tenant, endpoint). Returns
    whether there are more."""
    removed_count: int = await tx.fetch_value(PRUNE_SQL, *as_columns(endpoints, 2), MAX_KEPT)
    return removed_count == ROWS_PER_STEP

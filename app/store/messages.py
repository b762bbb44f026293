"""Reads one text, its attempts, or a bulk send."""

from dataclasses import dataclass
from datetime import datetime

from app.store.engine import ReadTx, Row

GET_MESSAGE_SQL = """
SELECT m.*, coalesce(m.held_reason, brake.reason) AS held_reason
FROM messages m
LEFT JOIN LATERAL (  -- the brake that keeps a queued text waiting
    SELECT concat_ws(': ', x.what || ' is paused', x.why) AS reason FROM (
        SELECT 'the tenant' AS what, paused_reason AS why FROM tenants
        WHERE tenant_id = m.tenant_id AND paused_at IS NOT NULL
        UNION ALL
        SELECT 'the number', paused_reason FROM phone_numbers
        WHERE tenant_id = m.tenant_id AND phone_number = m.from_phone AND paused_at IS NOT NULL
        UNION ALL
        SELECT 'the agent', g.paused_reason FROM outbox o
        JOIN sms_agents g ON g.tenant_id = o.tenant_id AND g.sms_agent_id = o.sms_agent_id
        WHERE o.tenant_id = m.tenant_id AND o.message_id = m.message_id AND g.paused_at IS NOT NULL
    ) x LIMIT 1
) brake ON m.status = 'queued'
WHERE m.tenant_id = $1 AND m.message_id = $2
"""


async def get(read: ReadTx, tenant_id: str, message_id: str) -> Row | None:
    """The text; `held_reason` also names a brake that keeps it waiting."""
    return await read.fetch_row(GET_MESSAGE_SQL, tenant_id, message_id)


LIST_ATTEMPTS_SQL = "SELECT * FROM attempts WHERE tenant_id = $1 AND message_id = $2 ORDER BY attempt"


async def list_attempts(read: ReadTx, tenant_id: str, message_id: str) -> list[Row]:
    """The attempts to send a text, oldest first."""
    return await read.fetch_rows(LIST_ATTEMPTS_SQL, tenant_id, message_id)


@dataclass(frozen=True, slots=True)
class Bulk:
    """A bulk send."""

    bulk_id: str
    accepted: int
    refused: int
    created_at: datetime
    statuses: dict[str, int]
    """How many of its texts have each status."""


GET_BULK_SQL = """
SELECT b.bulk_id, b.accepted, b.refused, b.created_at, coalesce((SELECT jsonb_object_agg(status, texts) FROM (
           SELECT m.status, count(*) AS texts FROM messages m
           WHERE m.tenant_id = b.tenant_id AND m.bulk_id = b.bulk_id GROUP BY m.status) s),
       '{}') AS statuses
FROM bulks b WHERE b.tenant_id = $1 AND b.bulk_id = $2
"""


async def get_bulk(read: ReadTx, tenant_id: str, bulk_id: str) -> Bulk | None:
    return await read.fetch_one(Bulk, GET_BULK_SQL, tenant_id, bulk_id)

"""Settles claims: what came of the requests to carriers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from app.domain.words import STATUS_RANK
from app.store.engine import Tx
from app.store.outbox import OWED_ROW_SQL
from app.store.rows import columns_of, unnest_sql
from app.store.status_history import step_sql

SettledStatus = Literal["sent", "queued", "unknown", "failed", "cancelled", "undelivered", "delivered"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a claim ended, and the request to the carrier, if there was one."""

    tenant_id: str
    message_id: str
    status: SettledStatus
    due_in: timedelta | None = None
    """When to claim the text again; None: it is no longer owed."""
    provider_message_id: str | None = None
    code: str | None = None
    message: str | None = None
    lookups: int = 0
    was_resent: bool = False
    outcome: str | None = None
    """What came of the request, which is recorded as an attempt; None: there was none."""
    at: datetime | None = None
    """When the text was claimed; None: now."""
    http_status: int | None = None
    duration_ms: int | None = None
    detail: str | None = None
    price: Decimal | None = None
    currency: str | None = None


IS_FORWARD_SQL = """(m.status IN ('sending', 'unknown') AND b.status = 'queued'
        OR ($2::jsonb ->> b.status)::int > ($2::jsonb ->> m.status)::int)"""
SETTLE_TEXTS_SQL = f"""
WITH asked AS (
    SELECT * FROM {unnest_sql(Settlement, first=3)}
), owed AS (
    SELECT a.*, o.place, o.account_id
    FROM (SELECT * FROM asked ORDER BY tenant_id, message_id) a
    CROSS JOIN LATERAL {OWED_ROW_SQL} s
    CROSS JOIN LATERAL (
        SELECT o.ctid AS place, o.account_id FROM outbox o
        WHERE o.ctid = s.place AND o.lease = $1 FOR UPDATE) o
), recorded AS (
    INSERT INTO attempts (tenant_id, message_id, attempt, at, outcome, http_status, duration_ms,
        detail)
    SELECT tenant_id, message_id, 1 + (SELECT count(*) FROM attempts b
               WHERE b.tenant_id = a.tenant_id AND b.message_id = a.message_id),
           coalesce(at, clock_timestamp()), outcome, http_status, duration_ms, detail
    FROM owed a WHERE outcome IS NOT NULL
    ON CONFLICT DO NOTHING
), kept AS (
    UPDATE outbox o SET state = CASE a.status WHEN 'unknown' THEN 'unknown' ELSE 'queued' END,
        due_at = CASE a.status WHEN 'unknown' THEN greatest(o.begun_at + a.due_in,
                                                            clock_timestamp())
                      ELSE clock_timestamp() + a.due_in END,
        looked = a.lookups, resent = a.was_resent, lease = NULL
    FROM owed a WHERE o.ctid = a.place AND a.due_in IS NOT NULL
), done AS (
    DELETE FROM outbox o USING owed a WHERE o.ctid = a.place AND a.due_in IS NULL
), early AS (
    DELETE FROM early_receipts e USING owed a
    WHERE e.tenant_id = a.tenant_id AND e.account_id = a.account_id
      AND e.provider_message_id = a.provider_message_id
    RETURNING a.tenant_id, a.message_id, e.status, e.code, e.message, e.at,
        a.provider_message_id, e.price, e.currency
), steps AS (
    SELECT tenant_id, message_id, status, code, message, clock_timestamp() AS at,
           provider_message_id, price, currency,
           status = 'queued' OR status = 'unknown' AND due_in IS NULL AS forced FROM owed
    UNION ALL
    SELECT tenant_id, message_id, status, code, message, at, provider_message_id, price, currency, false FROM early
), best AS (  -- the furthest step of each text, and all its steps as its history
    SELECT DISTINCT ON (tenant_id, message_id) *,
           jsonb_agg({step_sql("status", "at")}) OVER (
               PARTITION BY tenant_id, message_id ORDER BY at
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS history,
           max(price) OVER (PARTITION BY tenant_id, message_id) AS told_price,
           max(currency) OVER (PARTITION BY tenant_id, message_id) AS told_currency
    FROM steps ORDER BY tenant_id, message_id, ($2::jsonb ->> status)::int DESC
)
-- Compares with the locked row itself: a joined copy may be older.
UPDATE messages m SET
    status = CASE WHEN {IS_FORWARD_SQL} THEN b.status ELSE m.status END,
    error_code = CASE WHEN {IS_FORWARD_SQL} OR b.forced THEN b.code ELSE m.error_code END,
    error_message = CASE WHEN {IS_FORWARD_SQL} OR b.forced THEN b.message ELSE m.error_message END,
    provider_message_id = coalesce(m.provider_message_id, b.provider_message_id),
    price = coalesce(b.told_price, m.price), currency = coalesce(b.told_currency, m.currency),
    status_history = CASE WHEN {IS_FORWARD_SQL} THEN m.status_history || b.history
                     ELSE m.status_history END
FROM best b
WHERE m.tenant_id = b.tenant_id AND m.message_id = b.message_id
"""


async def settle(tx: Tx, lease: str, settlements: Sequence[Settlement]) -> None:
    """Records how the claims of `lease` ended, in one statement. Rows that another worker has
    claimed since are left alone. A status moves forward only, except back to `queued`."""
    await tx.execute_planned_now(SETTLE_TEXTS_SQL, lease, STATUS_RANK, *columns_of(settlements))

"""Texts that rules hold: quiet hours, or the law's."""

from app.store.engine import Tx


def stop_holding_sql(condition: str) -> str:
    """A statement that makes those held texts `o` of a tenant due that fulfil `condition` (`m`: the message)."""
    return f"""
WITH held AS (  -- in key order: settling texts locks rows in the same order
    SELECT o.tenant_id, o.message_id, greatest(m.send_at, statement_timestamp()) AS due_at
    FROM outbox o JOIN messages m ON m.tenant_id = o.tenant_id AND m.message_id = o.message_id
    WHERE o.tenant_id = $1 AND o.state = 'queued' AND o.seq IS NULL
      AND o.due_at > clock_timestamp() AND m.held_until IS NOT NULL AND {condition}
    ORDER BY o.message_id FOR UPDATE OF o
), owed AS (
    UPDATE outbox o SET due_at = h.due_at, expires_at = o.expires_at + (h.due_at - o.due_at)
    FROM held h WHERE o.tenant_id = h.tenant_id AND o.message_id = h.message_id
)
UPDATE messages m SET held_until = NULL, held_reason = NULL
FROM held h WHERE m.tenant_id = h.tenant_id AND m.message_id = h.message_id
"""


STOP_HOLDING_SQL = stop_holding_sql("true")


async def stop_holding(tx: Tx, tenant_id: str) -> None:
    """Makes the tenant's held texts due at their own times. They are judged again before they leave,
    so those for whom it is still night are held again. Their expiry moves by as much."""
    await tx.execute(STOP_HOLDING_SQL, tenant_id)

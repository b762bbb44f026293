"""Moves the time of one lead's threads, so that who tries an agent need not wait. Only for databases that
nobody depends on."""

from datetime import timedelta

from app.store import threads
from app.store.engine import Tx
from app.store.threads import ThreadKey

LOCK_THREADS_OF_LEAD_SQL = f"""
SELECT t.tenant_id, t.interaction_id FROM interactions t WHERE t.tenant_id = $1 AND t.lead_id = $2
{threads.LOCK_IN_ORDER_SQL}
"""
MAKE_OLDER_SQL = (
    """
    UPDATE turns SET opened_at = opened_at - $3::interval, due_at = due_at - $3::interval,
        window_due_at = window_due_at - $3::interval, handed_over_at = handed_over_at - $3::interval,
        accepted_at = accepted_at - $3::interval, closed_at = closed_at - $3::interval,
        expires_at = expires_at - $3::interval
    WHERE tenant_id = $1 AND interaction_id = ANY ($2) AND kind = 'live'
    """,
    "UPDATE messages SET created_at = created_at - $3::interval WHERE tenant_id = $1 AND interaction_id = ANY ($2)",
    "UPDATE outbox SET due_at = due_at - $3::interval WHERE tenant_id = $1 AND interaction_id = ANY ($2)",
    """
    UPDATE interactions SET last_message_at = last_message_at - $3::interval,
        last_inbound_at = last_inbound_at - $3::interval, agent_off_at = agent_off_at - $3::interval,
        paused_until = paused_until - $3::interval, snoozed_until = snoozed_until - $3::interval,
        waiting_since = waiting_since - $3::interval
    WHERE tenant_id = $1 AND interaction_id = ANY ($2)
    """,
)


async def make_older(tx: Tx, tenant_id: str, lead_id: str, by: timedelta) -> list[ThreadKey]:
    """Makes everything in the lead's threads older, and what is to come due sooner. Returns the threads."""
    rows = await tx.fetch_rows(LOCK_THREADS_OF_LEAD_SQL, tenant_id, lead_id)
    keys = [(row["tenant_id"], row["interaction_id"]) for row in rows]
    for sql in MAKE_OLDER_SQL:
        await tx.execute(sql, tenant_id, [interaction_id for _, interaction_id in keys], by)
    return keys

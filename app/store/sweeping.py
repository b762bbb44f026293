"""What has served its time and goes."""

from app.store.engine import Tx

PRUNE = {
    "sessions": "DELETE FROM sessions WHERE expires_at < clock_timestamp()",
    "early_receipts": "DELETE FROM early_receipts"
    " WHERE received_at < clock_timestamp() - interval '2 days'",
    "idempotency": "DELETE FROM idempotency"
    " WHERE created_at < clock_timestamp() - interval '48 hours'",
}


async def prune(tx: Tx) -> dict[str, int]:
    """Removes ended sessions, receipts nobody claimed, and old idempotency keys."""
    removed = {}
    for table, sql in PRUNE.items():
        removed[table] = len(await tx.rows(f"{sql} RETURNING 1"))
    return removed

"""After a restore: the database does not know what was sent after the backup was made."""

from app.store import counting
from app.store.engine import Tx
from app.store.turn_states import CANCELLABLE_SQL

CLOSE_REASON = "the database was restored from a backup"
MARK_UNKNOWN_SQL = """
WITH asked AS (
    UPDATE outbox o SET state = 'unknown', lease = NULL, looked = 0, resent = false,
        begun_at = m.created_at, due_at = clock_timestamp()
    FROM messages m
    WHERE m.tenant_id = o.tenant_id AND m.message_id = o.message_id AND o.seq IS NOT NULL
    RETURNING 1
)
SELECT count(*) FROM asked
"""


async def mark_unknown(tx: Tx) -> int:
    """Marks every released unsent text as `unknown`, so that its carrier is asked before it is sent.
    Returns how many there were."""
    return int(await tx.fetch_value(MARK_UNKNOWN_SQL))


CLOSE_TURNS_SQL = f"""
WITH closed AS (
    UPDATE turns SET state = 'failed', reason = $1, closed_at = clock_timestamp(), lease = NULL,
        posting = false
    WHERE kind = 'live' AND state IN {CANCELLABLE_SQL}
    RETURNING 1
)
SELECT count(*) FROM closed
"""


async def close_turns(tx: Tx) -> int:
    """Fails all unfinished turns, because they may have been answered after the backup. Their texts
    are handed over again with the lead's next text. Returns how many there were."""
    return int(await tx.fetch_value(CLOSE_TURNS_SQL, CLOSE_REASON))


DELETE_EVENTS_SQL = "DELETE FROM tenant_events"
RESET_ENDPOINTS_SQL = """
WITH emptied AS (
    DELETE FROM webhook_queue
), caught_up AS (
    DELETE FROM webhook_backlogs
)
UPDATE webhook_endpoints SET transaction = '0', event_id = 0
"""
RESET_NOTICES_SQL = "UPDATE notice_ways SET transaction = '0', event_id = 0, lease = NULL"


async def delete_events(tx: Tx) -> None:
    """Deletes all events: their transaction ids come from the old server, and on a new one they
    could be in the future. Readers start again."""
    await tx.execute(DELETE_EVENTS_SQL)
    await tx.execute(RESET_ENDPOINTS_SQL)
    await tx.execute(RESET_NOTICES_SQL)
    await counting.count_anew(tx)

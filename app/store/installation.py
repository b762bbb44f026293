"""The one row about this installation: its phone key, and when a web process was last alive."""

from datetime import datetime, timedelta

from app.store.engine import Tx

GET_PHONE_KEY_SQL = """
WITH made AS (
    INSERT INTO installation (phone_key) VALUES ($1) ON CONFLICT (only_row) DO NOTHING
    RETURNING phone_key
)
SELECT phone_key FROM made UNION ALL SELECT phone_key FROM installation LIMIT 1
"""


async def get_phone_key(tx: Tx, new_key: bytes) -> bytes:
    """The sealed key for hashing phones. A new installation stores `new_key`."""
    for _ in range(2):  # when two processes start first at once, one sees no row at its first try
        if sealed_key := await tx.fetch_value(GET_PHONE_KEY_SQL, new_key):
            return bytes(sealed_key)
    raise RuntimeError("the installation has no phone key")


RECORD_BEAT_SQL = """
WITH before AS (SELECT alive_at FROM installation FOR UPDATE)
UPDATE installation SET alive_at = clock_timestamp() FROM before
RETURNING CASE WHEN before.alive_at < clock_timestamp() - $1::interval THEN before.alive_at END
"""


async def record_beat(tx: Tx, away_after: timedelta) -> datetime | None:
    """Records that a web process is alive. Returns when the last one was, if that is longer ago
    than `away_after`, else None."""
    alive_at: datetime | None = await tx.fetch_value(RECORD_BEAT_SQL, away_after)
    return alive_at

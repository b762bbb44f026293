"""What the installation knows of itself."""

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
    """The sealed key of the phone hashes; `new_key` becomes it in a new installation."""
    for _ in range(2):  # a racing first start sees neither row at its first look
        if sealed_key := await tx.fetch_value(GET_PHONE_KEY_SQL, new_key):
            return bytes(sealed_key)
    raise RuntimeError("the installation has no phone key")


RECORD_BEAT_SQL = """
WITH before AS (SELECT alive_at FROM installation FOR UPDATE)
UPDATE installation SET alive_at = clock_timestamp() FROM before
RETURNING before.alive_at, before.alive_at < clock_timestamp() - $1::interval AS away
"""


async def record_beat(tx: Tx, away_after: timedelta) -> datetime | None:
    """A web process is here. Since when none was, if that is longer than `away_after`."""
    row = await tx.fetch_row(RECORD_BEAT_SQL, away_after)
    return row["alive_at"] if row and row["away"] else None

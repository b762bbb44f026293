"""What the installation knows of itself."""

from datetime import datetime, timedelta

from app.store.engine import Tx

PHONE_KEY = """
WITH made AS (
    INSERT INTO installation (phone_key) VALUES ($1) ON CONFLICT (only_row) DO NOTHING
    RETURNING phone_key
)
SELECT phone_key FROM made UNION ALL SELECT phone_key FROM installation LIMIT 1
"""


async def phone_key(tx: Tx, fresh: bytes) -> bytes:
    """The sealed key of the phone hashes; `fresh` becomes it in a new installation."""
    for _ in range(2):  # a racing first start sees neither row at its first look
        if sealed := await tx.value(PHONE_KEY, fresh):
            return bytes(sealed)
    raise RuntimeError("the installation has no phone key")


BEAT = """
WITH before AS (SELECT alive_at FROM installation FOR UPDATE)
UPDATE installation SET alive_at = clock_timestamp() FROM before
RETURNING before.alive_at, before.alive_at < clock_timestamp() - $1::interval AS away
"""


async def beat(tx: Tx, away_after: timedelta) -> datetime | None:
    """A web process is here. Since when none was, if that is longer than `away_after`."""
    row = await tx.row(BEAT, away_after)
    return row["alive_at"] if row and row["away"] else None

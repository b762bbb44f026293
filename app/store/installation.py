"""What the installation knows of itself."""

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

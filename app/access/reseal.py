"""Re-encrypts sealed values under the newest key, after a new key was put first in `SECRET_KEYS`."""

from dataclasses import dataclass

from app.access.sealing import Seal, Unsealable
from app.store import sealed
from app.store.engine import Database


@dataclass(slots=True)
class SealCount:
    """Counts of sealed values: under the newest key, under an older one, under no key we have."""

    newest: int = 0
    older: int = 0
    unreadable: int = 0


async def count_sealed(database: Database, seal: Seal, reseal: bool = False) -> SealCount:
    """Opens and counts all sealed values. With `reseal`, values under an older key are re-encrypted
    under the newest one, each in a transaction of its own."""
    counts = SealCount()
    async with database.system_tx() as tx:
        values = await sealed.list_all(tx)
    for value in values:
        try:
            plain = seal.open(value.bytes)
        except Unsealable:
            counts.unreadable += 1
            continue
        if seal.is_newest(value.bytes):
            counts.newest += 1
            continue
        counts.older += 1
        if reseal:
            async with database.system_tx() as tx:
                await sealed.replace(tx, value, seal.close(plain))
    return counts

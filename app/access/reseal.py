"""Sealing anew under the newest key, after `SECRET_KEYS` got another one in front."""

from dataclasses import dataclass

from app.access.sealing import Seal, Unsealable
from app.store import sealed
from app.store.engine import Database


@dataclass(slots=True)
class SealCount:
    """Sealed things: under the newest key, under an older one, under none that is listed."""

    newest: int = 0
    older: int = 0
    unreadable: int = 0


async def count_sealed(database: Database, seal: Seal, reseal: bool = False) -> SealCount:
    """Opens everything that is sealed. With `reseal` what is under an older key is closed under
    the newest, a transaction each; a process that still has the old list opens both."""
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

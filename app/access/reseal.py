"""Sealing anew under the newest key, after `SECRET_KEYS` got another one in front."""

from dataclasses import dataclass

from app.access.sealing import Seal, Unsealable
from app.store import sealed
from app.store.engine import Database


@dataclass(slots=True)
class Count:
    """Sealed things: under the newest key, under an older one, under none that is listed."""

    newest: int = 0
    older: int = 0
    lost: int = 0


async def count(database: Database, seal: Seal, reseal: bool = False) -> Count:
    """Opens everything that is sealed. With `reseal` what is under an older key is closed under
    the newest, a transaction each; a process that still has the old list opens both."""
    done = Count()
    async with database.system() as tx:
        things = await sealed.everything(tx)
    for thing in things:
        try:
            plain = seal.open(thing.bytes)
        except Unsealable:
            done.lost += 1
            continue
        if seal.is_newest(thing.bytes):
            done.newest += 1
            continue
        done.older += 1
        if reseal:
            async with database.system() as tx:
                await sealed.replace(tx, thing, seal.close(plain))
    return done

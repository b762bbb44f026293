"""API keys: `lss_` + prefix + `_` + secret. The prefix is kept in clear, to look the key up
and to recognise a leaked one; of the whole only the SHA-256 is kept, since a random key of
160 bits needs no slow hash."""

import asyncio
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest

import structlog

from app.access.fresh import Fresh
from app.domain.callers import Caller
from app.domain.problems import Problem, Unauthorized
from app.store import access
from app.store.engine import Database, Read, Row

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
KEY = re.compile(r"(lss_[a-z2-9]{10})_[a-z2-9]{32}")
CACHE_SECONDS = 4.0
"""A revoked key must stop within five seconds."""
log = structlog.get_logger("keys")


@dataclass(frozen=True, slots=True)
class FreshKey:
    """A key as it is shown once, and what is kept of it."""

    prefix: str
    digest: bytes
    whole: str = field(repr=False)


def make() -> FreshKey:
    prefix = "lss_" + _random(10)
    whole = f"{prefix}_{_random(32)}"
    return FreshKey(prefix, sha256(whole.encode()).digest(), whole)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


async def caller_of(read: Read, given: str | None) -> Caller:
    """Whose key it is. Raises `Unauthorized`, the same for missing, unknown and revoked."""
    return _caller(await _row(read, given))


async def _row(read: Read, given: str | None) -> Row:
    match = KEY.fullmatch(given or "")
    row = await access.key(read, match[1]) if match else None
    if row is None or not compare_digest(row["digest"], _digest(given)):
        raise Unauthorized
    return row


def _caller(row: Row) -> Caller:
    return Caller(
        row["tenant_id"],
        row["key_id"],
        "key",
        row["scope"],
        row["sms_agent_id"],
        row["requests_per_second"],
    )


def _digest(given: str | None) -> bytes:
    return sha256((given or "").encode()).digest()


class Keyring:
    """The keys seen in the last seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._callers: Fresh[bytes, Caller] = Fresh(CACHE_SECONDS)
        self._touching: set[asyncio.Task[None]] = set()

    async def caller_of(self, given: str | None) -> Caller:
        """As `caller_of` above, at most `CACHE_SECONDS` behind it."""
        if not KEY.fullmatch(given or ""):
            raise Unauthorized
        return await self._callers.get(_digest(given), lambda: self._ask(given))

    def forget(self, key_id: str) -> None:
        """The key was revoked here; other processes notice within `CACHE_SECONDS`."""
        self._callers.forget(lambda _, caller: caller.actor == key_id)

    async def close(self) -> None:
        """Waits for the uses that are still being noted."""
        await self._callers.close()
        await asyncio.gather(*self._touching, return_exceptions=True)

    async def _ask(self, given: str | None) -> Caller:
        async with self._database.system() as tx:
            row = await _row(tx, given)
        caller = _caller(row)
        if row["stale"]:
            touching = asyncio.create_task(self._touch(caller))
            self._touching.add(touching)
            touching.add_done_callback(self._touching.discard)
        return caller

    async def _touch(self, caller: Caller) -> None:
        try:
            async with self._database.system() as tx:
                await access.touch_key(tx, caller.tenant_id, caller.actor)
        except (Problem, OSError) as error:
            log.info("a key's last use was not noted", error=type(error).__name__)

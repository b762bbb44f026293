"""API keys: `lss_` + prefix + `_` + secret. The prefix is kept in clear, to look the key up
and to recognise a leaked one; of the whole only the SHA-256 is kept, since a random key of
160 bits needs no slow hash."""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest

import structlog

from app.domain.callers import Caller
from app.domain.problems import Problem, Unauthorized
from app.store import access
from app.store.engine import Database, Read, Row

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
KEY = re.compile(r"(lss_[a-z2-9]{10})_[a-z2-9]{32}")
CACHE_SECONDS = 4.0
"""A revoked key must stop within five seconds."""
CACHE_SIZE = 10_000
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
    return Caller(row["tenant_id"], row["key_id"], "key", row["scope"], row["sms_agent_id"])


def _digest(given: str | None) -> bytes:
    return sha256((given or "").encode()).digest()


class Keyring:
    """The keys seen in the last seconds, so that a busy key is looked up once in a while."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._asking: dict[bytes, asyncio.Task[Caller]] = {}
        self._touching: set[asyncio.Task[None]] = set()

    async def caller_of(self, given: str | None) -> Caller:
        """As `caller_of` above, at most `CACHE_SECONDS` behind it."""
        if not KEY.fullmatch(given or ""):
            raise Unauthorized
        digest = _digest(given)
        known = self._known.get(digest)
        if known and time.monotonic() - known[0] < CACHE_SECONDS:
            return known[1]
        # Those who come with the same key meanwhile wait for the same look-up.
        asking = self._asking.get(digest)
        if asking is None:
            asking = asyncio.create_task(self._ask(digest, given))
            self._asking[digest] = asking
            asking.add_done_callback(lambda task: self._asked(digest, task))
        return await asyncio.shield(asking)

    def forget(self, key_id: str) -> None:
        """The key was revoked here; other processes notice within `CACHE_SECONDS`."""
        self._known = {d: known for d, known in self._known.items() if known[1].actor != key_id}

    async def close(self) -> None:
        """Waits for the uses that are still being noted."""
        await asyncio.gather(*self._touching, *self._asking.values(), return_exceptions=True)

    async def _ask(self, digest: bytes, given: str | None) -> Caller:
        asked_at = time.monotonic()
        async with self._database.system() as tx:
            row = await _row(tx, given)
        caller = _caller(row)
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        self._known[digest] = (asked_at, caller)
        if row["stale"]:
            touching = asyncio.create_task(self._touch(caller))
            self._touching.add(touching)
            touching.add_done_callback(self._touching.discard)
        return caller

    def _asked(self, digest: bytes, task: asyncio.Task[Caller]) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # seen: those who waited have it, and nobody may have waited

    async def _touch(self, caller: Caller) -> None:
        try:
            async with self._database.system() as tx:
                await access.touch_key(tx, caller.tenant_id, caller.actor)
        except (Problem, OSError) as error:
            log.info("a key's last use was not noted", error=type(error).__name__)

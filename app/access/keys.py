"""API keys: `lss_` + prefix + `_` + secret; where there are several cells, `lss_` + cell + `_` before it.
The prefix is stored in clear, to find the key and to recognize a leaked one. Of the whole key only the
SHA-256 is stored: a random key of 160 bits needs no slow hash."""

import asyncio
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest

import structlog

from app.access.timed_cache import TimedCache
from app.domain.callers import Caller
from app.domain.problems import Problem, Unauthorized
from app.store import access
from app.store.access import KnownKey
from app.store.engine import Database, ReadTx

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
KEY_PATTERN = re.compile(r"(lss_(?:[a-z2-9]{1,8}_)?[a-z2-9]{10})_[a-z2-9]{32}")
CACHE_SECONDS = 4.0
"""A revoked key must stop working within five seconds."""
log = structlog.get_logger("keys")


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key: `full_key` is shown once, `prefix` and `digest` are stored."""

    prefix: str
    digest: bytes
    full_key: str = field(repr=False)


def make(cell: str | None = None) -> IssuedKey:
    """Makes a new random key. `cell`: stands in it, so that a balancer finds the cell without asking."""
    prefix = f"lss_{f'{cell}_' if cell else ''}{_random_text(10)}"
    full_key = f"{prefix}_{_random_text(32)}"
    return IssuedKey(prefix, sha256(full_key.encode()).digest(), full_key)


def _random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


async def _get_key(read: ReadTx, raw_key: str | None) -> KnownKey:
    match = KEY_PATTERN.fullmatch(raw_key or "")
    key = await access.get_key(read, match[1]) if match else None
    if key is None or not compare_digest(key.digest, _digest_key(raw_key)):
        raise Unauthorized
    return key


def _build_caller(key: KnownKey) -> Caller:
    return Caller(key.tenant_id, key.key_id, "key", key.scope, key.sms_agent_id, key.requests_per_second)


def _digest_key(raw_key: str | None) -> bytes:
    return sha256((raw_key or "").encode()).digest()


class KeyCache:
    """Caches the callers of recently used keys, so that most requests need no query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._callers: TimedCache[bytes, Caller] = TimedCache(CACHE_SECONDS)
        self._touch_tasks: set[asyncio.Task[None]] = set()

    async def get_caller(self, raw_key: str | None) -> Caller:
        """The caller by an API key, at most `CACHE_SECONDS` old. Raises the same `Unauthorized` for a
        missing, unknown or revoked key."""
        if not KEY_PATTERN.fullmatch(raw_key or ""):
            raise Unauthorized
        return await self._callers.get(_digest_key(raw_key), lambda: self._load_caller(raw_key))

    def forget(self, key_id: str) -> None:
        """Forgets a key that was revoked or changed by this process; other processes notice within
        `CACHE_SECONDS`."""
        self._callers.forget(lambda _, caller: caller.actor == key_id)

    async def close(self) -> None:
        """Waits until running look-ups and writes are done."""
        await self._callers.close()
        await asyncio.gather(*self._touch_tasks, return_exceptions=True)

    async def _load_caller(self, raw_key: str | None) -> Caller:
        key = await self._database.look_up(lambda read: _get_key(read, raw_key))
        caller = _build_caller(key)
        if key.stale:
            task = asyncio.create_task(self._touch_key(caller))
            self._touch_tasks.add(task)
            task.add_done_callback(self._touch_tasks.discard)
        return caller

    async def _touch_key(self, caller: Caller) -> None:
        try:
            async with self._database.system_tx() as tx:
                await access.touch_key(tx, caller.tenant_id, caller.actor)
        except (Problem, OSError) as error:
            log.info("last use of a key not recorded", error=type(error).__name__)

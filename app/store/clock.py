"""The clock: a sorted set in Redis that tells workers when to look at which rows.

A member is a hint (`outbox` or `turn:…`), its score the time to look, in milliseconds by the
database's clock. A lost set costs only seconds: the rows are the truth, and the workers poll them
anyway. So no caller waits longer than 200 ms here, and no call fails because of Redis
(docs/laws.md, law 1).
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import redis.asyncio
import structlog
from redis.exceptions import RedisError, ResponseError

from app.store.redis_client import close_client, open_client

CLOCK_KEY = "leadsail:clock"
PROBE_KEY = "leadsail:probe"
RedisState = Literal["ok", "degraded", "away"]
"""`degraded`: it answers and takes no writes, as a replica does, or a server that is full."""
OUTBOX_HINT = "outbox"
AT_ONCE = datetime.fromtimestamp(0, UTC)
TIMEOUT_SECONDS = 0.2
DUE_TIMEOUT_SECONDS = 1.0
"""Timeout for taking due members. It is longer, because no caller waits for it, and a lost answer
loses the members it took: their rows then wait for the poll."""
MAX_MET = 50
BACK_OFF_SECONDS = 1.0
"""After a failure, Redis is not called for this time."""
POP_DUE_LUA = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
return {due, redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]}
"""
log = structlog.get_logger("clock")


def turn_hint(tenant_id: str, interaction_id: str) -> str:
    return f"turn:{tenant_id}:{interaction_id}"


class Clock:
    """The connection to Redis: gives hints, takes due ones, keeps shared counters and who is where."""

    def __init__(self, url: str) -> None:
        self._redis = open_client(
            url,
            redis.asyncio.Redis,
            decode_responses=True,
            socket_timeout=DUE_TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        self._pop_due = self._redis.register_script(POP_DUE_LUA)
        self._retry_at = 0.0
        self._hints: dict[str, float] = {}
        self._hint_task: asyncio.Task[None] | None = None

    def hint(self, hints: Mapping[str, datetime]) -> None:
        """Sends the hints in the background; the last hint of a member wins (debounce). Hints that
        come while others are being sent go together."""
        if not hints or time.monotonic() < self._retry_at:
            return
        self._hints.update((member, at.timestamp() * 1000) for member, at in hints.items())
        if self._hint_task is None:
            self._hint_task = asyncio.create_task(self._send_hints())

    async def _send_hints(self) -> None:
        try:
            while self._hints:
                scores, self._hints = self._hints, {}
                await self._call_redis(self._redis.zadd(CLOCK_KEY, scores))
        finally:
            self._hint_task = None

    async def take_due(self, now: float, limit: int) -> tuple[list[str], float | None]:
        """Takes up to `limit` members that are due at `now` (epoch seconds), the longest due first.
        Returns them, and when the next member is due (None: there is none). While Redis is away,
        returns ([], None)."""
        if time.monotonic() < self._retry_at:
            return [], None
        result = await self._call_redis(self._pop_due(keys=[CLOCK_KEY], args=[now * 1000, limit]), DUE_TIMEOUT_SECONDS)
        if not isinstance(result, list):
            return [], None
        due_members, *next_scores = result  # Redis ends a script's list at the first nil
        return due_members, float(next_scores[0]) / 1000 if next_scores and next_scores[0] else None

    async def add_counts(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Adds to counters that all processes share and that expire after 5 seconds. Returns their
        sums; {} while Redis is away."""
        if not counts or time.monotonic() < self._retry_at:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for name, count in counts.items():
            pipeline.incrby(name, count)
            pipeline.expire(name, 5)
        sums = await self._call_redis(pipeline.execute())
        return dict(zip(counts, sums[::2], strict=True)) if isinstance(sums, list) else {}

    async def meet(self, place: str, member: str, seconds: int) -> list[str]:
        """Notes for some seconds that somebody is at a place. Returns who is there; [] while Redis is away."""
        if time.monotonic() < self._retry_at:
            return []
        key, now = f"leadsail:here:{place}", time.time()
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zadd(key, {member: now + seconds})
        pipeline.zremrangebyscore(key, "-inf", now)
        pipeline.expire(key, 60)
        pipeline.zrange(key, 0, MAX_MET - 1)
        answers = await self._call_redis(pipeline.execute())
        return list(answers[-1]) if isinstance(answers, list) else []

    async def find_state(self) -> RedisState:
        """Asks for a write: a server that only answers gives no hints."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._redis.set(PROBE_KEY, "", px=1000)
        except ResponseError:
            await self._hang_up()
            return "degraded"
        except (RedisError, OSError, TimeoutError):
            return "away"
        return "ok"

    async def close(self) -> None:
        if self._hint_task:
            await self._hint_task
        await close_client(self._redis)

    async def _call_redis(self, call: object, seconds: float = TIMEOUT_SECONDS) -> object:
        try:
            async with asyncio.timeout(seconds):
                return await call  # type: ignore[misc]  # redis-py types its calls loosely
        except ResponseError as error:
            self._note_failure("redis takes no writes", error)
            await self._hang_up()
        except (RedisError, OSError, TimeoutError) as error:
            self._note_failure("redis is away", error)
        return None

    def _note_failure(self, event: str, error: Exception) -> None:
        self._retry_at = time.monotonic() + BACK_OFF_SECONDS
        log.warning(event, error=type(error).__name__)

    async def _hang_up(self) -> None:
        """The next call connects anew: after a failover the same address may lead to the new master,
        while a connection to the old one, now a replica, stays as it is."""
        await self._redis.connection_pool.disconnect(inuse_connections=False)

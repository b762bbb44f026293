"""The clock: a sorted set of debounce keys in Redis that says when to look, and no more.

Member = what to look at, score = when, in milliseconds by the database's clock. Losing the
set loses seconds: the rows are the truth, and the worker polls them anyway. Therefore no
call here keeps anybody waiting longer than 200 ms, and none fails because of Redis.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import redis.asyncio
import structlog
from redis.exceptions import RedisError

KEY = "leadsail:clock"
OUTBOX = "outbox"
AT_ONCE = datetime.fromtimestamp(0, UTC)
PATIENCE = 0.2
DUE_PATIENCE = 1.0
"""Of the loop that drains the set: nobody waits for it, and what was taken from the set and not
heard of would have to wait for the poll."""
REST = 1.0
"""After a failure Redis is left alone for this long (seconds)."""
POP = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
return {due, redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]}
"""
log = structlog.get_logger("clock")


def turn_hint(tenant_id: str, interaction_id: str) -> str:
    return f"turn:{tenant_id}:{interaction_id}"


class Clock:
    """The set, as those who give hints and the loop that drains it see it."""

    def __init__(self, url: str) -> None:
        self._redis = redis.asyncio.from_url(  # type: ignore[no-untyped-call]  # redis-py's
            url,
            decode_responses=True,
            socket_timeout=DUE_PATIENCE,
            socket_connect_timeout=PATIENCE,
        )
        self._pop = self._redis.register_script(POP)
        self._rested_at = 0.0
        self._hints: dict[str, float] = {}
        self._hinting: asyncio.Task[None] | None = None

    def hint(self, hints: Mapping[str, datetime]) -> None:
        """Look at these then: the last hint of a member wins (debounce). Nobody waits for it:
        hints that come while others are on their way go together."""
        if not hints or time.monotonic() < self._rested_at:
            return
        self._hints.update((member, at.timestamp() * 1000) for member, at in hints.items())
        if self._hinting is None:
            self._hinting = asyncio.create_task(self._send_hints())

    async def _send_hints(self) -> None:
        try:
            while self._hints:
                scores, self._hints = self._hints, {}
                await self._try(self._redis.zadd(KEY, scores))
        finally:
            self._hinting = None

    async def due(self, now: float, limit: int) -> tuple[list[str], float | None]:
        """Takes up to `limit` members that are due at `now` (epoch seconds), the longest due
        first; and when the next one is, if there is any. Nothing also while Redis is away."""
        if time.monotonic() < self._rested_at:
            return [], None
        popped = await self._try(self._pop(keys=[KEY], args=[now * 1000, limit]), DUE_PATIENCE)
        if not isinstance(popped, list):
            return [], None
        due, *following = popped  # a list ends where a script's has nothing
        return due, float(following[0]) / 1000 if following and following[0] else None

    async def add_up(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Adds to shared counters that live for some seconds; their sums, {} while Redis is
        away."""
        if not counts or time.monotonic() < self._rested_at:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for name, count in counts.items():
            pipeline.incrby(name, count)
            pipeline.expire(name, 5)
        sums = await self._try(pipeline.execute())
        return dict(zip(counts, sums[::2], strict=True)) if isinstance(sums, list) else {}

    async def answers(self) -> bool:
        return bool(await self._try(self._redis.ping()))

    async def close(self) -> None:
        if self._hinting:
            await self._hinting
        await self._redis.aclose()

    async def _try(self, call: object, patience: float = PATIENCE) -> object:
        try:
            async with asyncio.timeout(patience):
                return await call  # type: ignore[misc]  # redis-py types its calls loosely
        except (RedisError, OSError, TimeoutError) as error:
            self._rested_at = time.monotonic() + REST
            log.warning("redis is away", error=type(error).__name__)
            return None

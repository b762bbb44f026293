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

CLOCK_KEY = "leadsail:clock"
OUTBOX_HINT = "outbox"
AT_ONCE = datetime.fromtimestamp(0, UTC)
PATIENCE_SECONDS = 0.2
DUE_PATIENCE_SECONDS = 1.0
"""Of the loop that drains the set: nobody waits for it, and what was taken from the set and not
heard of would have to wait for the poll."""
REST_SECONDS = 1.0
"""After a failure Redis is left alone for this long (seconds)."""
POP_DUE_LUA = """
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
            socket_timeout=DUE_PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
        )
        self._pop_due = self._redis.register_script(POP_DUE_LUA)
        self._rest_until = 0.0
        self._hints: dict[str, float] = {}
        self._hint_task: asyncio.Task[None] | None = None

    def hint(self, hints: Mapping[str, datetime]) -> None:
        """Look at these then: the last hint of a member wins (debounce). Nobody waits for it:
        hints that come while others are on their way go together."""
        if not hints or time.monotonic() < self._rest_until:
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
        """Takes up to `limit` members that are due at `now` (epoch seconds), the longest due
        first; and when the next one is, if there is any. Nothing also while Redis is away."""
        if time.monotonic() < self._rest_until:
            return [], None
        result = await self._call_redis(self._pop_due(keys=[CLOCK_KEY], args=[now * 1000, limit]), DUE_PATIENCE_SECONDS)
        if not isinstance(result, list):
            return [], None
        due_members, *next_scores = result  # a list ends where a script's has nothing
        return due_members, float(next_scores[0]) / 1000 if next_scores and next_scores[0] else None

    async def add_counts(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Adds to shared counters that live for some seconds; their sums, {} while Redis is
        away."""
        if not counts or time.monotonic() < self._rest_until:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for name, count in counts.items():
            pipeline.incrby(name, count)
            pipeline.expire(name, 5)
        sums = await self._call_redis(pipeline.execute())
        return dict(zip(counts, sums[::2], strict=True)) if isinstance(sums, list) else {}

    async def is_answering(self) -> bool:
        return bool(await self._call_redis(self._redis.ping()))

    async def close(self) -> None:
        if self._hint_task:
            await self._hint_task
        await self._redis.aclose()

    async def _call_redis(self, call: object, seconds: float = PATIENCE_SECONDS) -> object:
        try:
            async with asyncio.timeout(seconds):
                return await call  # type: ignore[misc]  # redis-py types its calls loosely
        except (RedisError, OSError, TimeoutError) as error:
            self._rest_until = time.monotonic() + REST_SECONDS
            log.warning("redis is away", error=type(error).__name__)
            return None

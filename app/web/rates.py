"""Rate limits of API keys: a token bucket per key in each process.

The processes share their counts through Redis a few times a second, outside the requests. While
Redis is away, each process applies the limit by itself."""

import asyncio
import time
from dataclasses import dataclass

from app.domain.callers import Caller
from app.domain.problems import RateLimited
from app.store.clock import Clock

ALIGN_SECONDS = 0.25
FORGET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RateState:
    """The state of a bucket, for the `RateLimit-*` headers of an answer."""

    limit: int
    remaining_requests: int
    reset_seconds: int
    """Seconds until the bucket is full again."""
    wait_seconds: float = 0.0
    """Seconds until the next request is allowed; 0 if this one is."""

    def build_headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining_requests),
            "RateLimit-Reset": str(self.reset_seconds),
        }

    def require_allowed(self) -> None:
        """Raises `RateLimited` unless the request is allowed."""
        if self.wait_seconds:
            raise RateLimited(retry_after=self.wait_seconds)


@dataclass(slots=True)
class _Bucket:
    limit: int
    tokens: float
    updated_at: float
    unshared_requests: int = 0
    """Requests of this process that are not yet added to the count in Redis."""
    second: int = 0
    """The Unix second that the next two fields count."""
    own_requests: int = 0
    known_others: int = 0
    """Requests of the other processes that are already taken from the bucket."""


class Rates:
    """The buckets of one process. A bucket holds the requests of one second. A bulk send may take
    more than that; later requests wait until the bucket has refilled."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take_token(self, caller: Caller) -> RateState | None:
        """Takes one request from the key's bucket if it can, and returns the bucket's state; None for
        a key without a limit."""
        if caller.per_second is None:
            return None
        now = time.monotonic()
        bucket = self._buckets.get(caller.actor)
        if bucket is None or bucket.limit != caller.per_second:
            bucket = _Bucket(caller.per_second, caller.per_second, now)
            self._buckets[caller.actor] = bucket
        limit = bucket.limit
        bucket.tokens = min(limit, bucket.tokens + (now - bucket.updated_at) * limit)
        bucket.updated_at = now
        wait = max(0.0, (1 - bucket.tokens) / limit)
        if not wait:
            bucket.tokens -= 1
            bucket.unshared_requests += 1
        remaining_requests = max(0, int(bucket.tokens))
        return RateState(limit, remaining_requests, max(1, round((limit - bucket.tokens) / limit)), wait)

    def charge(self, caller: Caller, requests: int) -> None:
        """Takes `requests` more for a request that was allowed. The bucket may become negative."""
        bucket = self._buckets.get(caller.actor)
        if bucket is not None:
            bucket.tokens -= requests
            bucket.unshared_requests += requests

    async def run(self) -> None:
        """Aligns the buckets with those of the other processes until it is cancelled."""
        while True:
            await asyncio.sleep(ALIGN_SECONDS)
            await self._align_buckets()

    async def _align_buckets(self) -> None:
        second, now = int(time.time()), time.monotonic()
        unshared_by_name: dict[str, int] = {}
        for name, bucket in list(self._buckets.items()):
            if now - bucket.updated_at > FORGET_SECONDS:
                del self._buckets[name]
                continue
            if bucket.second != second:
                bucket.second, bucket.own_requests, bucket.known_others = second, 0, 0
            bucket.own_requests += bucket.unshared_requests
            unshared_by_name[name] = bucket.unshared_requests
            bucket.unshared_requests = 0
        names = {f"leadsail:rate:{name}:{second}": name for name in unshared_by_name}
        sums = await self._clock.add_counts({key: unshared_by_name[name] for key, name in names.items()})
        for key, total in sums.items():
            bucket = self._buckets[names[key]]
            other_requests = total - bucket.own_requests
            bucket.tokens -= max(0, other_requests - bucket.known_others)
            bucket.known_others = max(bucket.known_others, other_requests)

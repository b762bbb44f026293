"""What `doctor` asks the servers around the service: Redis, a pooler before PostgreSQL, and a standby."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal

import asyncpg
import redis.asyncio
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from app.resources import Resources
from app.store.clock import PROBE_KEY
from app.store.dialling import dial
from app.store.redis_client import close_client, open_client

Severity = Literal["ok", "note", "BAD"]
REDIS_SECONDS, STANDBY_SECONDS, POOLER_SECONDS = 3.0, 3.0, 0.3
MAX_HELD_PROCESSES = 3
GET_PROCESS_SQL = "SELECT pg_backend_pid()"
LOST_STATEMENT_ERRORS = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. BAD: something is broken. note: it works, but somebody should know."""

    severity: Severity
    topic: str
    message: str

    def __str__(self) -> str:
        return f"{self.severity:<4}  {self.topic}: {self.message}"


OLD_POOLER = Finding(
    "BAD",
    "database",
    "a pooler before PostgreSQL loses prepared statements: it must be PgBouncer 1.21 or newer, with "
    "max_prepared_statements = 300, or have a pool of sessions",
)


async def check_redis(url: str) -> Finding:
    client = open_client(url, redis.asyncio.Redis)
    try:
        async with asyncio.timeout(REDIS_SECONDS):
            redis_info = await client.info()
            policy = await _find_eviction_policy(client)
            await client.set(PROBE_KEY, "", px=1000)
    except ResponseError as error:
        state = "is a read-only replica" if isinstance(error, ReadOnlyError) else f"takes no writes ({error})"
        return Finding("BAD", "redis", f"{state}; texts and turns are up to a second late")
    except (RedisError, OSError, TimeoutError) as error:
        message = f"does not answer ({type(error).__name__}); texts and turns are up to a second late"
        return Finding("BAD", "redis", message)
    finally:
        await close_client(client)
    version = redis_info["redis_version"]
    if tuple(map(int, version.split(".")[:2])) < (6, 2):
        return Finding("BAD", "redis", f"{version} is too old; 6.2 or newer is needed")
    if redis_info.get("maxmemory") and policy != "noeviction":
        message = f"{version} evicts keys when it is full ({policy}), so turns may be up to a second late"
        return Finding("note", "redis", message)
    return Finding("ok", "redis", version)


async def _find_eviction_policy(client: "redis.asyncio.Redis") -> str:
    try:
        policy: str = (await client.config_get("maxmemory-policy")).get("maxmemory-policy", "")
    except ResponseError:  # hosted servers may forbid the question
        return "noeviction"
    return policy


async def check_pooler(url: str, keeps_settings: bool) -> Finding:
    if await _loses_statements(url):
        return OLD_POOLER
    if not keeps_settings:
        message = "the pooler before PostgreSQL drops the settings of a session: put them onto the login by ALTER ROLE"
        return Finding("BAD", "database", f"{message}. See the page Scaling")
    message = "a pooler stands before PostgreSQL, so a lost COMMIT cannot be looked up: a request that was"
    return Finding("note", "database", f"{message} answered 503 may have been stored. See the page Scaling")


async def _loses_statements(url: str) -> bool:
    """Prepares a statement, and runs it again while another client holds the server process that knows it."""
    async with AsyncExitStack() as stack:

        async def open_client() -> Any:
            client = await dial(url, command_timeout=POOLER_SECONDS)
            stack.callback(client.terminate)
            return client

        try:
            statement = await (await open_client()).prepare(GET_PROCESS_SQL)
            process = await statement.fetchval()
            for _ in range(MAX_HELD_PROCESSES):
                client = await open_client()
                await client.execute("BEGIN")
                if await client.fetchval(GET_PROCESS_SQL) == process:
                    break
            await statement.fetchval()
        except LOST_STATEMENT_ERRORS:
            return True
        except (TimeoutError, OSError, asyncpg.PostgresError):
            pass  # the pool has no further process, or refuses a further client
    return False


async def check_standby(resources: Resources) -> Finding:
    """Runs after a commit on the primary, of which the standby must hear soon."""
    reads, deadline = resources.lagging_reads, time.monotonic() + STANDBY_SECONDS
    while True:
        standby = await reads.find_condition()
        lag = standby.lag.total_seconds() if standby.lag is not None else None
        if standby.state == "away":
            message = "DATABASE_REPLICA_URL does not answer, or is no standby; the primary answers in its place"
            return Finding("BAD", "standby", message)
        if lag is not None and lag <= STANDBY_SECONDS:
            break
        if time.monotonic() > deadline:
            state = "has replayed nothing yet" if lag is None else f"is {lag:.0f} s behind"
            return Finding("BAD", "standby", f"{state}: does it still follow the primary?")
        await asyncio.sleep(0.2)
    if not await reads.follows(resources.database):
        return Finding("BAD", "standby", "DATABASE_REPLICA_URL is a standby of another database: its figures are wrong")
    return Finding("ok", "standby", f"{max(lag, 0):.1f} s behind; figures are read from it")

"""`doctor`: is everything here as the service needs it? Plain words, one line each."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import redis.asyncio
from redis.exceptions import RedisError

from app.access import reseal
from app.access.sealing import Unsealable
from app.domain.callers import Caller
from app.domain.problems import Problem, Unavailable
from app.resources import Resources, opened
from app.settings import Misconfigured, Settings
from app.store import accounts, owed, readiness, turns
from app.store.engine import AWAY
from app.web.directory import vendor

Mark = Literal["ok", "note", "BAD"]
SKEW, TEXTS_LATE, TURNS_LATE = 1.0, 60.0, 30.0
"""Seconds: clocks may differ so much; texts and turns may be so late."""
VENDORS_AT_ONCE = 8
PATIENCE = 3.0
VERSION = "SELECT split_part(current_setting('server_version'), ' ', 1)"


@dataclass(frozen=True, slots=True)
class Finding:
    """BAD: it does not work so. note: it works, and somebody should know."""

    mark: Mark
    about: str
    said: str

    def __str__(self) -> str:
        return f"{self.mark:<4}  {self.about}: {self.said}"


async def examine(settings: Settings, ask_vendors: bool) -> AsyncIterator[Finding]:
    """Everything that was found, in the order in which it should be put right."""
    for finding in _configuration(settings):
        yield finding
    assert settings.redis_url
    yield await _redis(settings.redis_url)
    try:
        async with opened(settings) as held:
            async for finding in _database(held):
                yield finding
            if ask_vendors:
                for finding in await _vendors(held):
                    yield finding
    except Misconfigured as error:
        yield Finding("BAD", "migrations", str(error))
    except Unavailable:
        yield Finding("BAD", "database", "DATABASE_URL does not answer")
    except Unsealable:
        yield Finding("BAD", "secrets", "what is sealed was sealed under none of SECRET_KEYS")


def _configuration(settings: Settings) -> list[Finding]:
    if settings.production:
        return [Finding("ok", "configuration", f"production, reached at {settings.base_url}")]
    said = f"development, reached at {settings.base_url}; ENVIRONMENT=production is stricter"
    return [Finding("note", "configuration", said)]


async def _redis(url: str) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE), redis.asyncio.from_url(url) as client:  # type: ignore[no-untyped-call]
            told = await client.info()
            policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy", "")
    except (RedisError, OSError, TimeoutError) as error:
        said = f"does not answer ({type(error).__name__}); texts and turns are a second later"
        return Finding("BAD", "redis", said)
    version = told["redis_version"]
    if tuple(map(int, version.split(".")[:2])) < (6, 2):
        return Finding("BAD", "redis", f"{version} is too old: 6.2 or newer")
    if told.get("maxmemory") and policy != "noeviction":
        said = f"{version} throws keys away when it is full ({policy}): turns may be a second late"
        return Finding("note", "redis", said)
    return Finding("ok", "redis", version)


async def _database(held: Resources) -> AsyncIterator[Finding]:
    async with held.database.system() as tx:
        version = await tx.value(VERSION)
        began = time.time()
        skew = await turns.now(tx) - (began + time.time()) / 2
    if not held.database.two_roles:
        said = f"PostgreSQL {version}, one role only: row-level security guards nothing"
        said += "; the roles app_tenant and app_system are made by the first migration, if it may"
        yield Finding("note", "database", said)
    elif int(version.split(".")[0]) < 15:
        yield Finding("BAD", "database", f"PostgreSQL {version} is too old: 15 or newer")
    else:
        yield Finding("ok", "database", f"PostgreSQL {version}, with its two roles")
    try:
        async with held.database.system() as tx:
            await readiness.migrated(tx)
    except (Unavailable, *AWAY) as error:
        yield Finding("BAD", "database", f"cannot write ({type(error).__name__})")
        return
    yield Finding("ok", "migrations", "at head, or newer than this build")
    mark: Mark = "ok" if abs(skew) < SKEW else "BAD"
    yield Finding(
        mark,
        "clock",
        f"{abs(skew):.2f} s {'behind' if skew > 0 else 'ahead of'} the "
        "database's" + (": set it by NTP" if mark == "BAD" else ""),
    )
    yield await _secrets(held)
    async for finding in _owed(held):
        yield finding
    async with held.database.system() as tx:
        failing = await accounts.failing(tx)
    for row in failing:
        said = f"texts missed since {row['missing_since']:%Y-%m-%d %H:%M} UTC cannot be fetched"
        said += f" ({row['fetch_error']}); there may be a STOP among them"
        yield Finding("BAD", f"{row['provider']} {row['account_id']}", said)


async def _secrets(held: Resources) -> Finding:
    found = await reseal.count(held.database, held.seal)
    if found.lost:
        said = f"{found.lost} were sealed under none of SECRET_KEYS: put the old key back"
        return Finding("BAD", "secrets", said)
    if found.older:
        return Finding("note", "secrets", f"{found.older} are under an older key: run `reseal`")
    return Finding("ok", "secrets", f"{found.newest} open, all under the newest key")


async def _owed(held: Resources) -> AsyncIterator[Finding]:
    async with held.database.system() as tx:
        texts, unfinished, unknown = (
            await owed.texts(tx),
            await owed.turns(tx),
            await owed.unknown(tx),
        )
    late = [
        f"{row['count']} texts by {row['provider']} wait ({row['state']}), the oldest for {row['late']:.0f} s too long"
        for row in texts
        if row["late"] > TEXTS_LATE
    ]
    late += [
        f"{row['count']} turns are {row['state']}, the oldest for {row['late']:.0f} s too long"
        for row in unfinished
        if row["late"] > TURNS_LATE
    ]
    for said in late:
        yield Finding("BAD", "owed", f"{said}: is a worker running?")
    if not late:
        count = sum(row["count"] for row in texts) + sum(row["count"] for row in unfinished)
        yield Finding("ok", "owed", f"{count} texts and turns, none late")
    for row in unknown:
        said = f"{row['count']} texts by {row['provider']} may or may not have been taken"
        yield Finding("note", "owed", said)


async def _vendors(held: Resources) -> list[Finding]:
    async with held.database.system() as tx:
        rows = await accounts.active(tx)
    room = asyncio.Semaphore(VENDORS_AT_ONCE)

    async def ask(tenant_id: str, account_id: str, provider: str) -> list[Finding]:
        about = f"{provider} {account_id}"
        caller = Caller(tenant_id, "service", "service", "admin")
        async with room:
            try:
                checked = (await vendor.check(account_id, caller, held)).data
            except Problem as problem:
                said = " ".join([problem.message, *problem.details])
                return [Finding("note", about, f"cannot be checked: {said}")]
        if checked.ok:
            return [Finding("ok", about, "posts our texts to us")]
        return [Finding("BAD", about, said) for said in checked.findings]

    asked = [ask(row["tenant_id"], row["account_id"], row["provider"]) for row in rows]
    return [finding for said in await asyncio.gather(*asked) for finding in said]

"""Authentication: API keys, people and sessions, looked up before the tenant is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from app.domain.words import Scope
from app.store.engine import ReadTx, Tx
from app.store.notices import COUNT_UNSEEN_SQL
from app.store.people import person_name_sql


@dataclass(frozen=True, slots=True)
class KnownKey:
    """An API key that is not revoked. `stale`: its last recorded use is over a minute ago."""

    tenant_id: str
    key_id: str
    scope: Scope
    sms_agent_id: str | None
    requests_per_second: int | None
    digest: bytes
    stale: bool


GET_KEY_SQL = """
SELECT tenant_id, key_id, scope, sms_agent_id, requests_per_second, digest,
       last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS stale
FROM api_keys WHERE prefix = $1 AND revoked_at IS NULL
"""


async def get_key(read: ReadTx, prefix: str) -> KnownKey | None:
    return await read.fetch_one(KnownKey, GET_KEY_SQL, prefix)


TOUCH_KEY_SQL = """
UPDATE api_keys SET last_used_at = now() WHERE tenant_id = $1 AND key_id = $2
  AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


async def touch_key(tx: Tx, tenant_id: str, key_id: str) -> None:
    """Records that the key was used, at most once a minute."""
    await tx.execute(TOUCH_KEY_SQL, tenant_id, key_id)


@dataclass(frozen=True, slots=True)
class KnownPerson:
    tenant_id: str
    user_id: str
    password_hash: str


GET_PERSON_SQL = """
SELECT tenant_id, user_id, password_hash FROM users
WHERE lower(email) = lower($1) AND active
"""


async def get_person(read: ReadTx, email: str) -> KnownPerson | None:
    """The active person with this e-mail, in any tenant."""
    return await read.fetch_one(KnownPerson, GET_PERSON_SQL, email)


REHASH_SQL = "UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND user_id = $2"


async def set_password_hash(tx: Tx, tenant_id: str, user_id: str, password_hash: str) -> None:
    await tx.execute(REHASH_SQL, tenant_id, user_id, password_hash)


OPEN_SESSION_SQL = """
INSERT INTO sessions (tenant_id, digest, user_id, expires_at) VALUES ($1, $2, $3, now() + $4)
"""


async def open_session(tx: Tx, tenant_id: str, user_id: str, digest: bytes, lifetime: timedelta) -> None:
    await tx.execute(OPEN_SESSION_SQL, tenant_id, digest, user_id, lifetime)


@dataclass(frozen=True, slots=True)
class KnownSession:
    """A present session and its person. `arrived`: a renewed token is used for the first time. `due`:
    the token must be renewed, because it is too old, or because its successor apparently never
    reached the browser."""

    tenant_id: str
    user_id: str
    email: str
    name: str
    role: str
    stale: bool
    arrived: bool
    due: bool
    unseen_notices: Annotated[int | None, "bigint"]


GET_SESSION_SQL = f"""
SELECT s.tenant_id, s.user_id, u.email, {person_name_sql("u")} AS name, u.role,
       s.seen_at < now() - interval '1 minute' AS stale,
       s.digest = $1 AND s.previous_digest IS NOT NULL AND s.previous_until IS NULL AS arrived,
       CASE WHEN s.digest = $1 THEN s.renewed_at < now() - $3::interval
            ELSE s.previous_until IS NULL AND s.renewed_at < now() - interval '1 minute' END AS due,
       {COUNT_UNSEEN_SQL} AS unseen_notices
FROM sessions s JOIN users u ON u.tenant_id = s.tenant_id AND u.user_id = s.user_id AND u.active
WHERE (s.digest = $1
       OR s.previous_digest = $1 AND (s.previous_until IS NULL OR s.previous_until > now()))
  AND s.expires_at > now() AND s.seen_at > now() - $2::interval
"""


async def get_session(read: ReadTx, digest: bytes, max_idle: timedelta, renew_after: timedelta) -> KnownSession | None:
    """The session of the token with this digest, unless it expired or was idle too long."""
    return await read.fetch_one(KnownSession, GET_SESSION_SQL, digest, max_idle, renew_after)


TOUCH_SESSION_SQL = """
UPDATE sessions SET seen_at = now(), previous_until = CASE
    WHEN digest = $1 AND previous_digest IS NOT NULL
    THEN coalesce(previous_until, now() + interval '1 minute') ELSE previous_until END
WHERE digest = $1 OR previous_digest = $1
"""


async def touch_session(tx: Tx, digest: bytes) -> None:
    """Records that the session was used. After the first use of a renewed token, the previous token
    is good for one more minute."""
    await tx.execute(TOUCH_SESSION_SQL, digest)


RENEW_SESSION_SQL = """
UPDATE sessions SET previous_digest = $1, previous_until = NULL, digest = $2, renewed_at = now()
WHERE (digest = $1 AND renewed_at < now() - $3::interval)
   OR (previous_digest = $1 AND previous_until IS NULL
       AND renewed_at < now() - interval '1 minute')
RETURNING expires_at - now()
"""


async def renew_session(tx: Tx, digest: bytes, new_digest: bytes, renew_after: timedelta) -> timedelta | None:
    """Replaces the session's token; returns how long the session may still last. None: another
    request has just renewed it."""
    time_left: timedelta | None = await tx.fetch_value(RENEW_SESSION_SQL, digest, new_digest, renew_after)
    return time_left


CLOSE_SESSION_SQL = "DELETE FROM sessions WHERE digest = $1 OR previous_digest = $1"


async def close_session(tx: Tx, digest: bytes) -> None:
    await tx.execute(CLOSE_SESSION_SQL, digest)


CLOSE_SESSIONS_SQL = "DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2"


async def close_sessions(tx: Tx, tenant_id: str, user_id: str) -> None:
    """Signs a person out everywhere."""
    await tx.execute(CLOSE_SESSIONS_SQL, tenant_id, user_id)


COUNT_SESSIONS_SQL = """
SELECT count(*) FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND expires_at > now()
  AND seen_at > now() - $3::interval
"""


async def count_sessions(read: ReadTx, tenant_id: str, user_id: str, max_idle: timedelta) -> int:
    """The number of browsers in which a person is signed in."""
    return int(await read.fetch_value(COUNT_SESSIONS_SQL, tenant_id, user_id, max_idle))


@dataclass(frozen=True, slots=True)
class TryCount:
    """The tries in the present window, and the time until that window ends."""

    who: bytes
    tries: int
    lasts: timedelta


COUNT_TRIES_SQL = """
INSERT INTO sign_in_tries AS t (who, tries, until)
SELECT who, 1, now() + $2::interval FROM unnest($1::bytea[]) who ORDER BY who
ON CONFLICT (who) DO UPDATE SET
    tries = CASE WHEN t.until <= now() THEN 1 ELSE t.tries + 1 END,
    until = CASE WHEN t.until <= now() THEN excluded.until ELSE t.until END
RETURNING who, tries, until - now() AS lasts
"""


async def count_tries(tx: Tx, digests: Sequence[bytes], window: timedelta) -> list[TryCount]:
    """Counts one try for each digest."""
    return await tx.fetch(TryCount, COUNT_TRIES_SQL, list(digests), window)


FORGET_TRIES_SQL = "DELETE FROM sign_in_tries WHERE who = $1"
FORGIVE_TRY_SQL = "UPDATE sign_in_tries SET tries = tries - 1 WHERE who = $1 AND tries > 0"


async def forget_tries(tx: Tx, person: bytes, address: bytes | None) -> None:
    """The password was right: resets the person's count. The address loses only this one try;
    otherwise the owner of one account could reset the count and guess other passwords for ever."""
    await tx.execute(FORGET_TRIES_SQL, person)
    if address:
        await tx.execute(FORGIVE_TRY_SQL, address)

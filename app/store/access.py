"""Doors: keys, people and sessions, looked up before the tenant is known."""

from datetime import timedelta

from app.store.engine import Read, Row, Tx

KEY = """
SELECT tenant_id, key_id, scope, sms_agent_id, digest,
       last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS stale
FROM api_keys WHERE prefix = $1 AND revoked_at IS NULL
"""


async def key(read: Read, prefix: str) -> Row | None:
    """The unrevoked key with this prefix. `stale`: its last use was noted over a minute ago."""
    return await read.row(KEY, prefix)


TOUCH_KEY = """
UPDATE api_keys SET last_used_at = now() WHERE tenant_id = $1 AND key_id = $2
  AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


async def touch_key(tx: Tx, tenant_id: str, key_id: str) -> None:
    """Notes that the key was used; at most once a minute."""
    await tx.execute(TOUCH_KEY, tenant_id, key_id)


PERSON = """
SELECT tenant_id, user_id, email, password_hash, role FROM users
WHERE lower(email) = lower($1) AND active
"""


async def person(read: Read, email: str) -> Row | None:
    """The active person with this e-mail, of whatever tenant."""
    return await read.row(PERSON, email)


REHASH = "UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND user_id = $2"


async def rehash(tx: Tx, tenant_id: str, user_id: str, password_hash: str) -> None:
    await tx.execute(REHASH, tenant_id, user_id, password_hash)


OPEN_SESSION = """
INSERT INTO sessions (tenant_id, digest, user_id, expires_at) VALUES ($1, $2, $3, now() + $4)
"""


async def open_session(
    tx: Tx, tenant_id: str, user_id: str, digest: bytes, lasts: timedelta
) -> None:
    await tx.execute(OPEN_SESSION, tenant_id, digest, user_id, lasts)


SESSION = """
SELECT s.tenant_id, s.user_id, u.email, u.role, s.seen_at < now() - interval '1 minute' AS stale
FROM sessions s JOIN users u ON u.tenant_id = s.tenant_id AND u.user_id = s.user_id AND u.active
WHERE s.digest = $1 AND s.expires_at > now() AND s.seen_at > now() - $2::interval
"""


async def session(read: Read, digest: bytes, idle: timedelta) -> Row | None:
    """The session with this digest, unless it expired or was idle for too long."""
    return await read.row(SESSION, digest, idle)


TOUCH_SESSION = "UPDATE sessions SET seen_at = now() WHERE digest = $1"


async def touch_session(tx: Tx, digest: bytes) -> None:
    await tx.execute(TOUCH_SESSION, digest)


CLOSE_SESSION = "DELETE FROM sessions WHERE digest = $1"


async def close_session(tx: Tx, digest: bytes) -> None:
    await tx.execute(CLOSE_SESSION, digest)


CLOSE_SESSIONS = "DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2"


async def close_sessions(tx: Tx, tenant_id: str, user_id: str) -> None:
    """Signs a person out everywhere."""
    await tx.execute(CLOSE_SESSIONS, tenant_id, user_id)

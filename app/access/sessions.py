"""Signed-in people: a random token in the cookie, and of it only the digest in the database."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest

from app.access import passwords, tries
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.store import access
from app.store.engine import Database, Row, Tx

MAX_IDLE = timedelta(hours=12)
MAX_SESSION = timedelta(days=7)
RENEW_AFTER = timedelta(hours=1)
"""A token that is older gives place to a fresh one: what leaked is soon worth nothing."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in."""

    tenant_id: str
    user_id: str
    email: str
    role: str
    needs_renewal: bool = False
    """The token is to be renewed now."""

    @property
    def admin(self) -> bool:
        """May see and change settings, people and the system's state too."""
        return self.role == "admin"

    @property
    def caller(self) -> Caller:
        return Caller(self.tenant_id, self.user_id, "person", "admin" if self.admin else "api")


async def sign_in(database: Database, email: str, password: str, address: str | None = None) -> str | None:
    """The token of a new session; None when e-mail or password is wrong, which of the two is
    not told, not even by the time it takes. No transaction is open while the hash is checked.
    Raises `RateLimited` after too many attempts, of the person or from the address."""
    await tries.count_try(database, email, address)
    async with database.system_tx() as tx:
        person = await access.get_person(tx, email)
    known_hash = None if person is None else person["password_hash"]
    if not await passwords.verify_password(known_hash, password) or person is None:
        return None
    fresh_hash = None
    if passwords.needs_rehash(person["password_hash"]):
        fresh_hash = await passwords.hash_password(password)
    async with database.system_tx() as tx:
        await tries.forget(tx, email, address)
        if fresh_hash:
            await access.set_password_hash(tx, person["tenant_id"], person["user_id"], fresh_hash)
        return await begin(tx, person["tenant_id"], person["user_id"])


async def begin(tx: Tx, tenant_id: str, user_id: str) -> str:
    """Opens a session and returns its token, for the cookie. The part before the dot stays when
    the token is renewed, so that forms which are open keep fitting."""
    token = f"{secrets.token_urlsafe(32)}.{secrets.token_urlsafe(32)}"
    await access.open_session(tx, tenant_id, user_id, _digest_token(token), MAX_SESSION)
    return token


@dataclass(frozen=True, slots=True)
class RenewedToken:
    """A fresh token, and how long its session may still last."""

    token: str
    time_left: timedelta


async def renew(tx: Tx, token: str) -> RenewedToken | None:
    """A fresh token for the same session. The old one is good until the fresh one is used, and a
    minute more, since requests come side by side and answers get lost. None: another request
    was faster."""
    new_token = f"{token.partition('.')[0]}.{secrets.token_urlsafe(32)}"
    time_left = await access.renew_session(tx, _digest_token(token), _digest_token(new_token), RENEW_AFTER)
    return RenewedToken(new_token, time_left) if time_left else None


async def find_and_touch(tx: Tx, token: str) -> Person | None:
    """Whose session it is; None when it is unknown, ended, expired or idle for too long. Puts off
    the idle expiry; the row is written once a minute at most."""
    row = await access.get_session(tx, _digest_token(token), MAX_IDLE, RENEW_AFTER)
    if row is None:
        return None
    if row["stale"] or row["arrived"]:
        await access.touch_session(tx, _digest_token(token))
    return _build_person(row)


async def end(tx: Tx, token: str) -> None:
    """Signs out: the token opens nothing any more."""
    await access.close_session(tx, _digest_token(token))


async def end_all(tx: Tx, tenant_id: str, user_id: str) -> None:
    """Signs the person out everywhere."""
    await access.close_sessions(tx, tenant_id, user_id)


async def change_password(
    database: Database, person: Person, current: str, new_password: str, address: str | None = None
) -> str:
    """Sets the person's own password and signs them out everywhere; the token of a new session.
    Raises `Invalid` naming `currentPassword` or `password`, `RateLimited`."""
    passwords.require_good(new_password, person.email)
    await tries.count_try(database, person.email, address)
    async with database.system_tx() as tx:
        person_row = await access.get_person(tx, person.email)
    if person_row is None or not await passwords.verify_password(person_row["password_hash"], current):
        raise Invalid(details=["currentPassword: is wrong"])
    fresh_hash = await passwords.hash_password(new_password)
    async with database.system_tx() as tx:
        await tries.forget(tx, person.email, address)
        await access.set_password_hash(tx, person.tenant_id, person.user_id, fresh_hash)
        await end_all(tx, person.tenant_id, person.user_id)
        return await begin(tx, person.tenant_id, person.user_id)


def csrf_token(token: str) -> str:
    """What a form of this session must carry; derived, so nothing more has to be kept."""
    return hmac_digest(token.partition(".")[0].encode(), b"csrf", sha256).hex()


def csrf_matches(token: str, form_token: str) -> bool:
    return compare_digest(csrf_token(token).encode(), form_token.encode(errors="replace"))


def _build_person(row: Row) -> Person:
    return Person(row["tenant_id"], row["user_id"], row["email"], row["role"], row["due"])


def _digest_token(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()

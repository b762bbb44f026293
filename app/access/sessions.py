"""Sessions of signed-in people: a random token in a cookie; the database has only its digest."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest

from app.access import passwords, tries
from app.domain.callers import Caller
from app.domain.problems import Invalid
from app.store import access, audit
from app.store.access import KnownSession
from app.store.engine import Database, Tx

MAX_IDLE = timedelta(hours=12)
MAX_SESSION = timedelta(days=7)
RENEW_AFTER = timedelta(hours=1)
"""Age at which a token is replaced by a new one, so that a leaked token soon stops working."""


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in person."""

    tenant_id: str
    user_id: str
    email: str
    role: str
    needs_renewal: bool = False
    """The session's token should be renewed now."""
    unseen_notices: int | None = None
    """None: the page is not to tell the person anything."""
    name: str = ""
    """How colleagues call the person."""

    @property
    def admin(self) -> bool:
        """Whether the person may also see and change settings, people and the system's state."""
        return self.role == "admin"

    @property
    def caller(self) -> Caller:
        return Caller(self.tenant_id, self.user_id, "person", "admin" if self.admin else "api")


async def sign_in(
    database: Database, email: str, password: str, address: str | None = None, cell: str | None = None
) -> str | None:
    """Opens a session and returns its token; None if e-mail or password is wrong. Both cases take
    the same time, so that nobody can find out which e-mails exist. No transaction is open while the
    hash is computed. Raises `RateLimited` after too many attempts for the e-mail or the address."""
    await tries.count_try(database, email, address)
    async with database.system_tx() as tx:
        person = await access.get_person(tx, email)
    known_hash = None if person is None else person.password_hash
    if not await passwords.verify_password(known_hash, password) or person is None:
        return None
    new_hash = None
    if passwords.needs_rehash(person.password_hash):
        new_hash = await passwords.hash_password(password)
    async with database.system_tx() as tx:
        await tries.forget(tx, email, address)
        if new_hash:
            await audit.switch_off(tx)
            await access.set_password_hash(tx, person.tenant_id, person.user_id, new_hash)
        return await begin(tx, person.tenant_id, person.user_id, cell)


async def begin(tx: Tx, tenant_id: str, user_id: str, cell: str | None = None) -> str:
    """Opens a session and returns its token. A renewal keeps what stands before the last dot: CSRF tokens
    derive from it, so open forms stay valid. `cell`: a balancer finds the cell by it, or the tenant that
    has moved by its id."""
    place = f"{cell}.{tenant_id}." if cell else ""
    token = f"{place}{secrets.token_urlsafe(32)}.{secrets.token_urlsafe(32)}"
    await access.open_session(tx, tenant_id, user_id, _digest_token(token), MAX_SESSION)
    return token


@dataclass(frozen=True, slots=True)
class RenewedToken:
    """A new token, and how long its session may still last."""

    token: str
    time_left: timedelta


async def renew(tx: Tx, token: str) -> RenewedToken | None:
    """Replaces the session's token and returns the new one; None: another request has just renewed
    it. The old token stays valid until a minute after the first use of the new one, because requests
    overlap and answers get lost."""
    new_token = f"{_get_lasting_part(token)}.{secrets.token_urlsafe(32)}"
    time_left = await access.renew_session(tx, _digest_token(token), _digest_token(new_token), RENEW_AFTER)
    return RenewedToken(new_token, time_left) if time_left else None


async def find_and_touch(database: Database, token: str) -> Person | None:
    """The person of a session; None if it is unknown, ended, expired or was idle too long. Records
    the use, which restarts the idle time; writes at most once a minute."""
    digest = _digest_token(token)
    session = await database.look_up(lambda read: access.get_session(read, digest, MAX_IDLE, RENEW_AFTER))
    if session is None:
        return None
    if session.stale or session.arrived:
        async with database.system_tx() as tx:
            await access.touch_session(tx, digest)
    return _build_person(session)


async def end(tx: Tx, token: str) -> None:
    """Ends the session of the token."""
    await access.close_session(tx, _digest_token(token))


async def end_all(tx: Tx, tenant_id: str, user_id: str) -> None:
    """Ends all sessions of the person."""
    await access.close_sessions(tx, tenant_id, user_id)


async def change_password(
    database: Database,
    person: Person,
    current: str,
    new_password: str,
    address: str | None = None,
    cell: str | None = None,
) -> str:
    """Changes the person's own password, ends all their sessions, and returns the token of a new one.
    Raises `Invalid` naming `currentPassword` or `password`; `RateLimited`."""
    passwords.require_good(new_password, person.email)
    await tries.count_try(database, person.email, address)
    async with database.system_tx() as tx:
        known_person = await access.get_person(tx, person.email)
    if known_person is None or not await passwords.verify_password(known_person.password_hash, current):
        raise Invalid(details=["currentPassword: is wrong"])
    new_hash = await passwords.hash_password(new_password)
    async with database.system_tx() as tx:
        await tries.forget(tx, person.email, address)
        await audit.name_author(tx, person.caller.author)
        await access.set_password_hash(tx, person.tenant_id, person.user_id, new_hash)
        await end_all(tx, person.tenant_id, person.user_id)
        return await begin(tx, person.tenant_id, person.user_id, cell)


def csrf_token(token: str) -> str:
    """A new CSRF token for forms of this session. It derives from the session's token, so it need not
    be stored. Each page has another one: from the sizes of compressed pages nobody can guess it."""
    salt = secrets.token_hex(8)
    return f"{salt}.{_sign_form(token, salt)}"


def csrf_matches(token: str, form_token: str) -> bool:
    salt, _, signature = form_token.rpartition(".")
    return compare_digest(_sign_form(token, salt).encode(), signature.encode(errors="replace"))


def _sign_form(token: str, salt: str) -> str:
    return hmac_digest(_get_lasting_part(token).encode(), b"csrf" + salt.encode(errors="replace"), sha256).hex()


def _get_lasting_part(token: str) -> str:
    """What a renewal keeps of the token."""
    return token.rsplit(".", 1)[0]


def _build_person(session: KnownSession) -> Person:
    return Person(
        *(session.tenant_id, session.user_id, session.email, session.role),
        needs_renewal=session.due,
        unseen_notices=session.unseen_notices,
        name=session.name,
    )


def _digest_token(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()

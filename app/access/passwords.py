"""Passwords: argon2id, in a thread, and as slow for an unknown e-mail as for a known one."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from app.domain.problems import Invalid

SHORTEST = 10
LONGEST = 1024
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_hasher = PasswordHasher()
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$WBv/cTOwBo9TnbSv/Bxwdw$reHXSSaLmgY7hnqYIevB7jrno1JufVymG+1GZnfG1Ys"
"""Of a password that nobody has: 32 random bytes, thrown away. Made beforehand, since a process
would spend a tenth of a second on it at its start."""


def require_good(password: str, email: str) -> None:
    """Raises `Invalid`, naming `password`. Length is what counts (NIST SP 800-63B, 3.1.1)."""
    if len(password) < SHORTEST:
        raise Invalid(details=[f"password: must have at least {SHORTEST} characters"])
    if len(password) > LONGEST:
        raise Invalid(details=[f"password: must have at most {LONGEST} characters"])
    if not password.strip() or password.lower() in (email.lower(), email.lower().split("@")[0]):
        raise Invalid(details=["password: is too easy to guess"])


def made() -> str:
    """A password to be told to a person once: 80 random bits that can be read out."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))


async def hashed(password: str) -> str:
    return await asyncio.to_thread(_hasher.hash, password)


async def matches(password_hash: str | None, given: str) -> bool:
    """Whether `given` is the password. None (nobody by that e-mail): False, in the same time."""
    right = await asyncio.to_thread(_verify, password_hash or NOBODY, given)
    return right and password_hash is not None


def outdated(password_hash: str) -> bool:
    """Whether it was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _verify(password_hash: str, given: str) -> bool:
    try:
        return len(given) <= LONGEST and _hasher.verify(password_hash, given)
    except (Argon2Error, InvalidHashError, UnicodeError):
        return False

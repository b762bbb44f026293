"""Passwords: argon2id, in a thread, and as slow for an unknown e-mail as for a known one."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

LONGEST = 1024
_hasher = PasswordHasher()
_nobody = _hasher.hash("nobody has this password")


async def hashed(password: str) -> str:
    return await asyncio.to_thread(_hasher.hash, password)


async def matches(password_hash: str | None, given: str) -> bool:
    """Whether `given` is the password. None (nobody by that e-mail): False, in the same time."""
    right = await asyncio.to_thread(_verify, password_hash or _nobody, given)
    return right and password_hash is not None


def outdated(password_hash: str) -> bool:
    """Whether it was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _verify(password_hash: str, given: str) -> bool:
    try:
        return len(given) <= LONGEST and _hasher.verify(password_hash, given)
    except (Argon2Error, InvalidHashError, UnicodeError):
        return False

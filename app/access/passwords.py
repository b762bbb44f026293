"""Passwords: argon2id, in a thread, and equally slow for unknown and known e-mails."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from app.domain.problems import Invalid

MIN_LENGTH = 10
MAX_LENGTH = 1024
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_hasher = PasswordHasher()
DUMMY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$WBv/cTOwBo9TnbSv/Bxwdw$reHXSSaLmgY7hnqYIevB7jrno1JufVymG+1GZnfG1Ys"
"""The hash of 32 random bytes that were thrown away: nobody has this password. It is a constant,
because hashing at each start would cost a tenth of a second."""


def require_good(password: str, email: str) -> None:
    """Raises `Invalid` naming `password`, if it is too short, too long or easy to guess. No rules on
    kinds of characters: length is what counts (NIST SP 800-63B, 3.1.1)."""
    if len(password) < MIN_LENGTH:
        raise Invalid(details=[f"password: must have at least {MIN_LENGTH} characters"])
    if len(password) > MAX_LENGTH:
        raise Invalid(details=[f"password: must have at most {MAX_LENGTH} characters"])
    if not password.strip() or password.lower() in (email.lower(), email.lower().split("@")[0]):
        raise Invalid(details=["password: is too easy to guess"])


def make_password() -> str:
    """Makes a password to show once: 80 random bits, easy to read out."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))


async def hash_password(password: str) -> str:
    return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether `password` fits the hash. Without a hash (unknown e-mail) it returns False after the
    same time."""
    is_right = await asyncio.to_thread(_verify_hash, password_hash or DUMMY_HASH, password)
    return is_right and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with weaker parameters than the present ones."""
    return _hasher.check_needs_rehash(password_hash)


def _verify_hash(password_hash: str, password: str) -> bool:
    try:
        return len(password) <= MAX_LENGTH and _hasher.verify(password_hash, password)
    except (Argon2Error, InvalidHashError, UnicodeError):
        return False

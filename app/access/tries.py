"""Attempts to sign in are counted, by person and by address, before a password is looked at:
guesses that come at once cannot slip past the limit together."""

from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from app.domain.problems import RateLimited
from app.store import access
from app.store.engine import Database, Tx

WINDOW = timedelta(minutes=15)
BY_PERSON = 10
BY_ADDRESS = 100
"""More, because a whole office may come from one address."""


async def take(database: Database, email: str, address: str | None) -> None:
    """Counts an attempt. Raises `RateLimited` when there were too many, whether or not anybody
    has that e-mail."""
    limits = {_person(email): BY_PERSON}
    if address:
        limits[_address(address)] = BY_ADDRESS
    async with database.system() as tx:
        counted = await access.count_tries(tx, list(limits), WINDOW)
    over = [row["lasts"] for row in counted if row["tries"] > limits[row["who"]]]
    if over:
        left = max(over)
        minutes = max(1, -(-left // timedelta(minutes=1)))
        raise RateLimited(
            f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}.",
            retry_after=left.total_seconds(),
        )


async def forget(tx: Tx, email: str, address: str | None) -> None:
    """The password was right."""
    await access.forget_tries(tx, _person(email), _address(address) if address else None)


def _person(email: str) -> bytes:
    return _digest("person", email.strip().lower())


def _address(written: str) -> bytes:
    """IPv6 by its network of 64 bits: who has one address has them all."""
    try:
        address = ip_address(written)
    except ValueError:
        return _digest("address", written)
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return _digest("address", str(mapped) if mapped else str(int(address) >> 64))
    return _digest("address", str(address))


def _digest(kind: str, value: str) -> bytes:
    return sha256(f"{kind}\0{value}".encode(errors="replace")).digest()

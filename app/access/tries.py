"""Counts attempts to sign in, by e-mail and by address. An attempt is counted before its password is
checked, so that parallel guesses cannot exceed the limit."""

from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from app.domain.problems import RateLimited
from app.store import access
from app.store.engine import Database, Tx

TRY_WINDOW = timedelta(minutes=15)
MAX_BY_PERSON = 10
MAX_BY_ADDRESS = 100
"""Higher, because a whole office may share one address."""


async def count_try(database: Database, email: str, address: str | None) -> None:
    """Counts an attempt. Raises `RateLimited` after too many, whether the e-mail exists or not."""
    limits = {_digest_person(email): MAX_BY_PERSON}
    if address:
        limits[_digest_address(address)] = MAX_BY_ADDRESS
    async with database.system_tx() as tx:
        counts = await access.count_tries(tx, list(limits), TRY_WINDOW)
    waits = [count.lasts for count in counts if count.tries > limits[count.who]]
    if waits:
        time_left = max(waits)
        minutes = max(1, -(-time_left // timedelta(minutes=1)))
        raise RateLimited(
            f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}.",
            retry_after=time_left.total_seconds(),
        )


async def forget(tx: Tx, email: str, address: str | None) -> None:
    """Resets the counts after a right password."""
    await access.forget_tries(tx, _digest_person(email), _digest_address(address) if address else None)


def _digest_person(email: str) -> bytes:
    return _digest_value("person", email.strip().lower())


def _digest_address(raw_address: str) -> bytes:
    """Digests the address. IPv6 counts by its /64 network, because one host can use all of it."""
    try:
        address = ip_address(raw_address)
    except ValueError:
        return _digest_value("address", raw_address)
    if isinstance(address, IPv6Address):
        ipv4_address = address.ipv4_mapped
        return _digest_value("address", str(ipv4_address) if ipv4_address else str(int(address) >> 64))
    return _digest_value("address", str(address))


def _digest_value(kind: str, value: str) -> bytes:
    return sha256(f"{kind}\0{value}".encode(errors="replace")).digest()

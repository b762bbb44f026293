"""Attempts to sign in are counted, by person and by address, before a password is looked at:
guesses that come at once cannot slip past the limit together."""

from datetime import timedelta
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from app.domain.problems import RateLimited
from app.store import access
from app.store.engine import Database, Tx

TRY_WINDOW = timedelta(minutes=15)
MAX_BY_PERSON = 10
MAX_BY_ADDRESS = 100
"""More, because a whole office may come from one address."""


async def count_try(database: Database, email: str, address: str | None) -> None:
    """Counts an attempt. Raises `RateLimited` when there were too many, whether or not anybody
    has that e-mail."""
    limits = {_digest_person(email): MAX_BY_PERSON}
    if address:
        limits[_digest_address(address)] = MAX_BY_ADDRESS
    async with database.system_tx() as tx:
        rows = await access.count_tries(tx, list(limits), TRY_WINDOW)
    waits = [row["lasts"] for row in rows if row["tries"] > limits[row["who"]]]
    if waits:
        time_left = max(waits)
        minutes = max(1, -(-time_left // timedelta(minutes=1)))
        raise RateLimited(
            f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}.",
            retry_after=time_left.total_seconds(),
        )


async def forget(tx: Tx, email: str, address: str | None) -> None:
    """The password was right."""
    await access.forget_tries(tx, _digest_person(email), _digest_address(address) if address else None)


def _digest_person(email: str) -> bytes:
    return _digest_value("person", email.strip().lower())


def _digest_address(raw_address: str) -> bytes:
    """IPv6 by its network of 64 bits: who has one address has them all."""
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

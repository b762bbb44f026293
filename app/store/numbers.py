"""Numbers of ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.store import directory
from app.store.engine import Read, Row, Tx

COLUMNS = (
    "phone_number",
    "account_id",
    "capabilities",
    "active",
    "label",
    "messages_per_second",
)
ADD = directory.adding("phone_numbers", ("phone_number_id", *COLUMNS))


async def add(tx: Tx, numbers: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Adds the numbers that the tenant does not have yet; returns those."""
    return await tx.rows(ADD, [dict(number) for number in numbers])


CHANGE = directory.changing("phone_numbers", "phone_number_id", COLUMNS)


async def change(tx: Tx, numbers: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.rows(CHANGE, [dict(number) for number in numbers])


GET = directory.getting("phone_numbers", "phone_number_id")


async def get(read: Read, tenant_id: str, phone_number_id: str) -> Row | None:
    return await read.row(GET, tenant_id, phone_number_id)


LOCK = directory.getting("phone_numbers", "phone_number_id", lock=True)


async def lock(tx: Tx, tenant_id: str, phone_number_id: str) -> Row | None:
    return await tx.row(LOCK, tenant_id, phone_number_id)


LIST = directory.listing("phone_numbers", "phone_number_id")


async def listed(read: Read, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.rows(LIST, tenant_id, below, limit)


THREADED = "SELECT 1 FROM interactions WHERE tenant_id = $1 AND our_number = $2 LIMIT 1"


async def has_threads(read: Read, tenant_id: str, phone_number: str) -> bool:
    return await read.value(THREADED, tenant_id, phone_number) is not None


REMOVE = directory.removing("phone_numbers", "phone_number_id")


async def remove(tx: Tx, tenant_id: str, phone_number_id: str) -> bool:
    """Raises `StillReferenced` when a campaign or an agent uses it."""
    return await tx.value(REMOVE, tenant_id, phone_number_id) is not None


LOCK_ALL = "SELECT * FROM phone_numbers WHERE tenant_id = $1 ORDER BY phone_number FOR UPDATE"


async def lock_all(tx: Tx, tenant_id: str) -> list[Row]:
    return await tx.rows(LOCK_ALL, tenant_id)


USED_LATELY = """
SELECT DISTINCT our_number FROM interactions
WHERE tenant_id = $1 AND our_number = ANY ($2)
  AND last_message_at > clock_timestamp() - interval '7 days'
"""


async def used_lately(read: Read, tenant_id: str, numbers: Sequence[str]) -> set[str]:
    """Which of the numbers had a text in the last 7 days."""
    rows = await read.rows(USED_LATELY, tenant_id, list(numbers))
    return {row["our_number"] for row in rows}


OF_ACCOUNT = """
SELECT phone_number FROM phone_numbers
WHERE tenant_id = $1 AND account_id = $2 AND active ORDER BY phone_number
"""


async def of_account(read: Read, tenant_id: str, account_id: str) -> list[str]:
    rows = await read.rows(OF_ACCOUNT, tenant_id, account_id)
    return [row["phone_number"] for row in rows]

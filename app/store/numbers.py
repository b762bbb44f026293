"""The tenant's phone numbers, from which texts are sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.store import directory
from app.store.engine import ReadTx, Row, Tx

COLUMNS = (
    "phone_number",
    "account_id",
    "capabilities",
    "active",
    "label",
    "messages_per_second",
)
ADD_NUMBERS_SQL = directory.insert_sql("phone_numbers", ("phone_number_id", *COLUMNS))


async def add(tx: Tx, numbers: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Adds the numbers that the tenant does not have yet, and returns those."""
    return await tx.fetch_rows(ADD_NUMBERS_SQL, [dict(number) for number in numbers])


CHANGE_NUMBERS_SQL = directory.update_sql("phone_numbers", "phone_number_id", COLUMNS)


async def change(tx: Tx, numbers: Sequence[Mapping[str, Any]]) -> list[Row]:
    return await tx.fetch_rows(CHANGE_NUMBERS_SQL, [dict(number) for number in numbers])


GET_NUMBER_SQL = directory.select_one_sql("phone_numbers", "phone_number_id")


async def get(read: ReadTx, tenant_id: str, phone_number_id: str) -> Row | None:
    return await read.fetch_row(GET_NUMBER_SQL, tenant_id, phone_number_id)


LOCK_NUMBER_SQL = directory.select_one_sql("phone_numbers", "phone_number_id", lock=True)


async def lock(tx: Tx, tenant_id: str, phone_number_id: str) -> Row | None:
    return await tx.fetch_row(LOCK_NUMBER_SQL, tenant_id, phone_number_id)


LIST_NUMBERS_SQL = directory.select_page_sql("phone_numbers", "phone_number_id")


async def list_page(read: ReadTx, tenant_id: str, below: str | None, limit: int) -> list[Row]:
    return await read.fetch_rows(LIST_NUMBERS_SQL, tenant_id, below, limit)


HAS_THREADS_SQL = "SELECT 1 FROM interactions WHERE tenant_id = $1 AND our_number = $2 LIMIT 1"


async def has_threads(read: ReadTx, tenant_id: str, phone_number: str) -> bool:
    return await read.fetch_value(HAS_THREADS_SQL, tenant_id, phone_number) is not None


REMOVE_NUMBER_SQL = directory.delete_sql("phone_numbers", "phone_number_id")


async def remove(tx: Tx, tenant_id: str, phone_number_id: str) -> bool:
    """Raises `StillReferenced` when a campaign or an agent uses it."""
    return await tx.fetch_value(REMOVE_NUMBER_SQL, tenant_id, phone_number_id) is not None


LOCK_NUMBERS_SQL = "SELECT * FROM phone_numbers WHERE tenant_id = $1 ORDER BY phone_number FOR UPDATE"


async def lock_all(tx: Tx, tenant_id: str) -> list[Row]:
    return await tx.fetch_rows(LOCK_NUMBERS_SQL, tenant_id)


FIND_USED_LATELY_SQL = """
SELECT DISTINCT our_number FROM interactions
WHERE tenant_id = $1 AND our_number = ANY ($2)
  AND last_message_at > clock_timestamp() - interval '7 days'
"""


async def find_used_lately(read: ReadTx, tenant_id: str, numbers: Sequence[str]) -> set[str]:
    """Which of the numbers had a text in the last 7 days."""
    rows = await read.fetch_rows(FIND_USED_LATELY_SQL, tenant_id, list(numbers))
    return {row["our_number"] for row in rows}


LIST_OF_ACCOUNT_SQL = """
SELECT phone_number FROM phone_numbers
WHERE tenant_id = $1 AND account_id = $2 AND active ORDER BY phone_number
"""


async def list_of_account(read: ReadTx, tenant_id: str, account_id: str) -> list[str]:
    rows = await read.fetch_rows(LIST_OF_ACCOUNT_SQL, tenant_id, account_id)
    return [row["phone_number"] for row in rows]

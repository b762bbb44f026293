"""What only phone numbers need; `store.directory` has the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.store import core
from app.store.engine import ReadTx, Tx
from app.store.schema import PhoneNumber

HAS_THREADS_SQL = "SELECT 1 FROM interactions WHERE tenant_id = $1 AND our_number = $2 LIMIT 1"


async def has_threads(read: ReadTx, tenant_id: str, phone_number: str) -> bool:
    return await read.fetch_value(HAS_THREADS_SQL, tenant_id, phone_number) is not None


LOCK_NUMBERS_SQL = "SELECT * FROM phone_numbers WHERE tenant_id = $1 ORDER BY phone_number FOR UPDATE"


async def lock_all(tx: Tx, tenant_id: str) -> list[PhoneNumber]:
    return await core.fetch_all(tx, PhoneNumber, LOCK_NUMBERS_SQL, tenant_id)


ADD_NUMBERS_SQL = """
INSERT INTO phone_numbers (tenant_id, phone_number_id, phone_number, account_id, capabilities, label)
SELECT tenant_id, phone_number_id, phone_number, account_id, capabilities, label
FROM jsonb_populate_recordset(NULL::phone_numbers, $1)
ON CONFLICT DO NOTHING
"""


async def add_many(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds the numbers that the tenant does not have yet, with account, capabilities and label."""
    await tx.execute(ADD_NUMBERS_SQL, [dict(row) for row in rows])


UPDATE_NUMBERS_SQL = """
UPDATE phone_numbers t SET account_id = a.account_id, capabilities = a.capabilities, label = a.label,
    updated_at = clock_timestamp()
FROM jsonb_populate_recordset(NULL::phone_numbers, $1) a
WHERE t.tenant_id = a.tenant_id AND t.phone_number_id = a.phone_number_id
"""


async def update_many(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes account, capabilities and label of the numbers."""
    await tx.execute(UPDATE_NUMBERS_SQL, [dict(row) for row in rows])


SWITCH_OFF_SQL = """
UPDATE phone_numbers SET active = false, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND phone_number_id = ANY ($2)
"""


async def switch_off(tx: Tx, tenant_id: str, ids: Sequence[str]) -> None:
    await tx.execute(SWITCH_OFF_SQL, tenant_id, list(ids))


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

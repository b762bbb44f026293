"""All sealed values of all tables; used to re-encrypt them under a new key."""

from dataclasses import dataclass

from app.store import audit
from app.store.engine import Tx

SEALED_COLUMNS = (
    ("installation", "only_row", "phone_key"),
    ("provider_accounts", "tenant_id || ' ' || account_id", "credentials"),
    ("former_credentials", "tenant_id || ' ' || account_id || ' ' || extract(epoch FROM replaced_at)", "credentials"),
    ("sms_agents", "tenant_id || ' ' || sms_agent_id", "secret"),
    ("sms_agents", "tenant_id || ' ' || sms_agent_id", "previous_secret"),
    ("experiments", "tenant_id || ' ' || experiment_id", "secret"),
    ("experiments", "tenant_id || ' ' || experiment_id", "previous_secret"),
    ("webhook_endpoints", "tenant_id || ' ' || endpoint_id", "secret"),
    ("webhook_endpoints", "tenant_id || ' ' || endpoint_id", "previous_secret"),
    ("tenants", "tenant_id", "contact_check_secret"),
    ("notice_ways", "tenant_id || ' ' || user_id || ' ' || way", "address"),
)
"""(table, expression that names a row, sealed column)."""


@dataclass(frozen=True, slots=True)
class SealedValue:
    """The sealed bytes in a column of one row."""

    table: str
    column: str
    key: str
    bytes: bytes


LIST_SEALED_SQL = " UNION ALL ".join(
    f"SELECT '{table}' AS table, '{column}' AS column, ({key})::text AS key, {column} AS bytes"
    f" FROM {table} WHERE {column} IS NOT NULL"
    for table, key, column in SEALED_COLUMNS
)


async def list_all(tx: Tx) -> list[SealedValue]:
    return await tx.fetch(SealedValue, LIST_SEALED_SQL)


async def replace(tx: Tx, sealed_value: SealedValue, new_bytes: bytes) -> None:
    """Replaces a sealed value by `new_bytes`, unless it was changed meanwhile."""
    await audit.switch_off(tx)
    key = next(
        row_key
        for table, row_key, column in SEALED_COLUMNS
        if (table, column) == (sealed_value.table, sealed_value.column)
    )
    await tx.execute(
        f"UPDATE {sealed_value.table} SET {sealed_value.column} = $1 WHERE ({key})::text = $2"
        f" AND {sealed_value.column} = $3",
        new_bytes,
        sealed_value.key,
        sealed_value.bytes,
    )

"""The sealed bytes of every table, for who closes them anew."""

from dataclasses import dataclass

from app.store.engine import Tx

PLACES = (
    ("installation", "only_row", "phone_key"),
    ("provider_accounts", "tenant_id || ' ' || account_id", "credentials"),
    ("sms_agents", "tenant_id || ' ' || sms_agent_id", "secret"),
    ("sms_agents", "tenant_id || ' ' || sms_agent_id", "previous_secret"),
)
"""(table, what names a row, column)."""
ALL = " UNION ALL ".join(
    f"SELECT '{table}' AS place, '{column}' AS part, ({key})::text AS key, {column} AS bytes"
    f" FROM {table} WHERE {column} IS NOT NULL"
    for table, key, column in PLACES
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What lies sealed in a column of one row."""

    table: str
    column: str
    key: str
    bytes: bytes


async def everything(tx: Tx) -> list[Sealed]:
    return [Sealed(row["place"], row["part"], row["key"], row["bytes"]) for row in await tx.rows(ALL)]


async def replace(tx: Tx, known: Sealed, fresh: bytes) -> None:
    """`fresh` instead of what is known, unless somebody changed it meanwhile."""
    key = next(k for table, k, column in PLACES if (table, column) == (known.table, known.column))
    await tx.execute(
        f"UPDATE {known.table} SET {known.column} = $1 WHERE ({key})::text = $2 AND {known.column} = $3",
        fresh,
        known.key,
        known.bytes,
    )

"""Builds the common statements of the directory tables. Rows are passed as one JSON array, and
PostgreSQL takes the types from the table: one statement serves one row or a thousand."""

from collections.abc import Sequence

import asyncpg

from app.store.engine import ReadTx

StillReferenced = asyncpg.ForeignKeyViolationError
"""Raised by `remove` functions when another row still refers to the row."""


def insert_sql(table: str, columns: Sequence[str], on_conflict: str = "DO NOTHING") -> str:
    """Inserts an array of objects ($1). An object whose key is taken returns no row."""
    column_list = ", ".join(("tenant_id", *columns))
    return f"""
INSERT INTO {table} AS t ({column_list})
SELECT {column_list} FROM jsonb_populate_recordset(NULL::{table}, $1)
ON CONFLICT {on_conflict} RETURNING t.*
"""


def update_sql(table: str, key: str, columns: Sequence[str]) -> str:
    """Updates the rows that an array of objects ($1) names by their keys."""
    assignments = ", ".join(f"{column} = a.{column}" for column in columns)
    return f"""
UPDATE {table} t SET {assignments}, updated_at = clock_timestamp()
FROM jsonb_populate_recordset(NULL::{table}, $1) a
WHERE t.tenant_id = a.tenant_id AND t.{key} = a.{key} RETURNING t.*
"""


def select_one_sql(table: str, key: str, lock: bool = False) -> str:
    """One row by tenant ($1) and id ($2)."""
    lock_clause = " FOR UPDATE" if lock else ""
    return f"SELECT * FROM {table} WHERE tenant_id = $1 AND {key} = $2{lock_clause}"


def select_page_sql(table: str, key: str, where: str = "true") -> str:
    """Up to $3 rows of a tenant ($1) with ids below $2 (NULL: any), newest ids first."""
    return f"""
SELECT * FROM {table} WHERE tenant_id = $1 AND ($2::text IS NULL OR {key} < $2) AND {where}
ORDER BY {key} DESC LIMIT $3
"""


def delete_sql(table: str, key: str) -> str:
    return f"DELETE FROM {table} WHERE tenant_id = $1 AND {key} = $2 RETURNING {key}"


Reference = tuple[str, str, str]
"""(field name, kind, id); the kind is `campaign`, `number`, `account` or `agent`."""

FIND_UNKNOWN_SQL = """
SELECT a.field
FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS a(field, kind, id, i)
WHERE NOT CASE a.kind
    WHEN 'campaign' THEN EXISTS (SELECT 1 FROM campaigns x
                                 WHERE x.tenant_id = $1 AND x.campaign_id = a.id)
    WHEN 'number' THEN EXISTS (SELECT 1 FROM phone_numbers x
                               WHERE x.tenant_id = $1 AND x.phone_number_id = a.id)
    WHEN 'account' THEN EXISTS (SELECT 1 FROM provider_accounts x
                                WHERE x.tenant_id = $1 AND x.account_id = a.id)
    WHEN 'agent' THEN EXISTS (SELECT 1 FROM sms_agents x
                              WHERE x.tenant_id = $1 AND x.sms_agent_id = a.id)
END ORDER BY a.i
"""


async def find_unknown(read: ReadTx, tenant_id: str, references: Sequence[Reference]) -> list[str]:
    """The fields whose id does not exist in the tenant, in order."""
    if not references:
        return []
    columns = [[reference[i] for reference in references] for i in range(3)]
    return [row["field"] for row in await read.fetch_rows(FIND_UNKNOWN_SQL, tenant_id, *columns)]

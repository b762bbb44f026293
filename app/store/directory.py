"""What the directory's statements share: rows go in as one JSON array, whose fields PostgreSQL
types by the table itself, so that one and a thousand rows are the same statement."""

from collections.abc import Sequence

import asyncpg

from app.store.engine import ReadTx

StillReferenced = asyncpg.ForeignKeyViolationError
"""What `remove` functions raise when something still refers to the row."""


def insert_sql(table: str, columns: Sequence[str], on_conflict: str = "DO NOTHING") -> str:
    """Inserts an array of objects ($1). A taken key returns no row."""
    column_list = ", ".join(("tenant_id", *columns))
    return f"""
INSERT INTO {table} AS t ({column_list})
SELECT {column_list} FROM jsonb_populate_recordset(NULL::{table}, $1)
ON CONFLICT {on_conflict} RETURNING t.*
"""


def update_sql(table: str, key: str, columns: Sequence[str]) -> str:
    """Writes the columns of the rows that the objects ($1) name."""
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
    """Rows of a tenant ($1), newest ids first, from below the id $2; at most $3."""
    return f"""
SELECT * FROM {table} WHERE tenant_id = $1 AND ($2::text IS NULL OR {key} < $2) AND {where}
ORDER BY {key} DESC LIMIT $3
"""


def delete_sql(table: str, key: str) -> str:
    return f"DELETE FROM {table} WHERE tenant_id = $1 AND {key} = $2 RETURNING {key}"


Reference = tuple[str, str, str]
"""(name of the field, kind of thing, id)."""

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
    """The fields that name something the tenant does not have."""
    if not references:
        return []
    columns = [[reference[i] for reference in references] for i in range(3)]
    return [row["field"] for row in await read.fetch_rows(FIND_UNKNOWN_SQL, tenant_id, *columns)]

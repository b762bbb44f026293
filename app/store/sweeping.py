"""Deletes rows that are older than their retention."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

from app.store.accounts import FORMER_CREDENTIALS_LIFE
from app.store.engine import Database
from app.store.views import UNREAD_DAYS

ROWS_PER_STEP = 5000
"""Rows that one statement deletes: its locks stay short, and autovacuum keeps up."""
RETENTION = {
    "sessions": ("expires_at", timedelta(0)),
    "sign_in_tries": ("until", timedelta(0)),
    "early_receipts": ("received_at", timedelta(days=2)),
    "former_credentials": ("replaced_at", FORMER_CREDENTIALS_LIFE),
    "import_parts": ("created_at", timedelta(days=1)),
    "imports": ("created_at", timedelta(days=30)),
    "idempotency": ("created_at", timedelta(hours=48)),
    "tenant_events": ("at", timedelta(days=30)),
    "webhook_deliveries": ("at", timedelta(days=30)),
    "attempts": ("at", timedelta(days=30)),
    "turn_attempts": ("at", timedelta(days=30)),
    "uploads": ("created_at", timedelta(days=90)),
    "contact_checks": ("valid_until", timedelta(0)),
    "read_marks": ("at", timedelta(days=2 * UNREAD_DAYS)),
    "audit_entries": ("at", timedelta(days=730)),
}
"""By table: the column that dates a row, and the default retention."""
DROP_PAYLOADS_SQL = """
, bare AS (
    UPDATE turns u SET payload = NULL FROM gone
    WHERE u.tenant_id = gone.tenant_id AND u.turn_id = gone.turn_id AND u.closed_at IS NOT NULL
)
"""
"""Deletes a turn's payload together with its attempts, because they hold the same text."""


def delete_step_sql(table: str, column: str) -> str:
    extra_sql = DROP_PAYLOADS_SQL if table == "turn_attempts" else ""
    return f"""
WITH gone AS (
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE {column} < now() - $1::interval LIMIT {ROWS_PER_STEP}))
    RETURNING *
){extra_sql}
SELECT count(*) FROM gone
"""


async def prune(database: Database, retention: Mapping[str, timedelta]) -> AsyncIterator[tuple[str, int]]:
    """Deletes old rows in steps, each in a transaction of its own. Yields (table, deleted rows) after
    each step. `retention` overrides `RETENTION` by table."""
    for table, (column, default_age) in RETENTION.items():
        removed_count = ROWS_PER_STEP
        while removed_count == ROWS_PER_STEP:
            async with database.system_tx() as tx:
                removed_count = await tx.fetch_value(delete_step_sql(table, column), retention.get(table, default_age))
            yield table, removed_count

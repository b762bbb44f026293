"""Events have full names, and webhook endpoints are cursors over them

Revision ID: 0021
Revises: 0020
Created: 2026-11-29
"""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

UP_FILE = Path(__file__).with_suffix(".sql")
BASELINE_FILE = Path(__file__).with_name("0014_20261129_baseline.sql")
FORMER_FUNCTIONS = (
    "tell_messages_insert",
    "tell_messages_update",
    "tell_turns_insert",
    "tell_turns_update",
    "tell_interactions_update",
    "tell_consent_events_insert",
)
TAKE_BACK_SQL = """
DROP TABLE webhook_deliveries, webhook_queue, webhook_endpoints;
DROP FUNCTION tell_messages_doubt, tell_turns_more, tell_interactions_insert, tell_leads_insert, tell_pause CASCADE;
DROP FUNCTION author_of;
ALTER TABLE tenant_events DROP COLUMN name, DROP COLUMN actor, DROP COLUMN before;
"""


def upgrade() -> None:
    _run(UP_FILE.read_text())


def downgrade() -> None:
    baseline = BASELINE_FILE.read_text()
    for name in FORMER_FUNCTIONS:
        start = baseline.index(f"CREATE FUNCTION {name}()")
        end = baseline.index("END $$;", start) + len("END $$;")
        _run(baseline[start:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    _run(TAKE_BACK_SQL)


def _run(script: str) -> None:
    # The driver itself runs it: through SQLAlchemy it would take one statement at a time.
    connection: Any = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(script))

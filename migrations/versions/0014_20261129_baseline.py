"""The baseline: the whole schema of the first release

The numbers begin at 0014, so that databases made before the release stand at it.

Revision ID: 0014
Revises:
Created: 2026-11-29
"""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0014"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA_FILE = Path(__file__).with_suffix(".sql")
TABLES = """
    installation, sign_in_tries, tenants, tenant_days, users, sessions, provider_accounts, phone_numbers,
    sms_agents, api_keys, campaigns, leads, canned_replies, interactions, messages, bulks, outbox, attempts,
    early_receipts, provider_ids_seen, inbound_parts, turns, turn_messages, turn_attempts, suppressions,
    consent_events, idempotency, tenant_events
"""
FUNCTIONS = """
    tell_messages_insert, tell_messages_update, tell_turns_insert, tell_turns_update,
    tell_interactions_update, tell_consent_events_insert
"""
# The roles stay: another database of the cluster may use them. So do the extensions: something else
# in this database may use them.
TAKE_GRANTS_BACK_SQL = """
DO $$
BEGIN
    REVOKE SELECT ON alembic_version FROM app_system;
    EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM app_tenant, app_system', current_schema());
EXCEPTION WHEN undefined_object THEN NULL;
END $$
"""


def upgrade() -> None:
    # The driver itself runs the file: through SQLAlchemy it would take one statement at a time.
    connection: Any = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(SCHEMA_FILE.read_text()))


def downgrade() -> None:
    op.execute(f"DROP TABLE {TABLES}")
    op.execute(f"DROP FUNCTION {FUNCTIONS}")
    op.execute(TAKE_GRANTS_BACK_SQL)

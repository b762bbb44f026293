"""People work together: assignments, snoozes, notes of people, what each has read, saved views

Revision ID: 0033
Revises: 0032
Created: 2026-11-29
"""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

# Each step may be repeated: the indexes are built outside a transaction, and may fail halfway.
ADD_COLUMNS_SQL = (
    """ALTER TABLE interactions ADD COLUMN IF NOT EXISTS assigned_to text COLLATE "C",
    ADD COLUMN IF NOT EXISTS snoozed_at timestamptz, ADD COLUMN IF NOT EXISTS snoozed_until timestamptz,
    ADD COLUMN IF NOT EXISTS waiting_since timestamptz, ADD COLUMN IF NOT EXISTS gave_up_at timestamptz""",
    "ALTER TABLE messages ADD COLUMN IF NOT EXISTS note jsonb",
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS name text",
    # For who is there already: what came before is read.
    "ALTER TABLE users ADD COLUMN IF NOT EXISTS unread_from timestamptz NOT NULL DEFAULT clock_timestamp()",
)
INDEXES = {
    # Threads in which a lead waits and nobody answers: `app/store/waiting.py` has the same condition.
    "ix_interactions_waiting": """interactions
        (tenant_id, (coalesce(waiting_since, last_inbound_at)), interaction_id)
        WHERE last_direction = 'inbound' AND status <> 'dnc'
          AND (NOT agent_mode OR gave_up_at > last_inbound_at OR paused_until > last_inbound_at)
          AND (status NOT IN ('completed', 'disqualified')
               OR status_by_hand_at IS NULL OR status_by_hand_at < last_inbound_at)
          AND (snoozed_at IS NULL OR snoozed_until IS NOT NULL OR snoozed_at < last_inbound_at)""",
    "ix_interactions_assigned": """interactions
        (tenant_id, assigned_to, status, last_message_at, interaction_id) WHERE assigned_to IS NOT NULL""",
    "ix_interactions_snoozed": """interactions (tenant_id, (coalesce(snoozed_until, 'infinity'::timestamptz)))
        WHERE snoozed_at IS NOT NULL AND (last_inbound_at IS NULL OR last_inbound_at <= snoozed_at)""",
    "ix_messages_notes": "messages (tenant_id, interaction_id, seq) WHERE note IS NOT NULL",
    # The few events that people may be told of; it takes the place of the index with fewer names.
    "ix_tenant_events_told": """tenant_events (tenant_id, name, transaction, event_id)
        WHERE name IN ('interaction.needs_person', 'interaction.mentioned', 'turn.failed', 'agent.paused',
                       'agent.resumed', 'account.failing', 'account.recovered')""",
}
FORMER_INDEX_SQL = """
CREATE INDEX CONCURRENTLY ix_tenant_events_noted ON tenant_events (tenant_id, name, transaction, event_id)
WHERE name IN ('interaction.needs_person', 'turn.failed', 'agent.paused', 'agent.resumed',
               'account.failing', 'account.recovered')
"""
UP_FILE = Path(__file__).with_suffix(".sql")
TAKE_BACK_SQL = """
DROP TRIGGER audit_rows ON users;
DROP TRIGGER audit_changes ON users;
CREATE TRIGGER audit_rows AFTER INSERT OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION record_setting_change('person', 'user_id', 'email', 'password_hash');
CREATE TRIGGER audit_changes AFTER UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION record_setting_change('person', 'user_id', 'email', 'password_hash');
DROP TABLE read_marks, saved_views;
DROP FUNCTION tell_interactions_work, tell_mentions CASCADE;
ALTER TABLE interactions DROP COLUMN assigned_to, DROP COLUMN snoozed_at, DROP COLUMN snoozed_until,
    DROP COLUMN waiting_since, DROP COLUMN gave_up_at;
ALTER TABLE messages DROP COLUMN note;
ALTER TABLE users DROP COLUMN name, DROP COLUMN unread_from;
"""


def upgrade() -> None:
    for statement in ADD_COLUMNS_SQL:
        op.execute(statement)
    # All rows are read for an index: meanwhile new ones must not wait. The index itself waits for every
    # transaction that runs, however long.
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_tenant_events_noted")
        op.execute("SET lock_timeout = '5s'")
        op.execute("SET statement_timeout = '10min'")
    _run(UP_FILE.read_text())


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    _run(TAKE_BACK_SQL)
    with op.get_context().autocommit_block():
        op.execute(FORMER_INDEX_SQL)


def _run(script: str) -> None:
    # The driver itself runs it: through SQLAlchemy it would take one statement at a time.
    connection: Any = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(script))

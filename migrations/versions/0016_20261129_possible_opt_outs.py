"""Texts that may be an opt-out wait for a person

Revision ID: 0016
Revises: 0015
Created: 2026-11-29
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# Each step may be repeated: the indexes are built outside a transaction, and may fail halfway.
ADD_COLUMNS_SQL = (
    "ALTER TABLE tenants ADD COLUMN IF NOT EXISTS possible_opt_out text NOT NULL DEFAULT 'hold'",
    "ALTER TABLE messages ADD COLUMN IF NOT EXISTS opt_out boolean",
    "ALTER TABLE messages ADD COLUMN IF NOT EXISTS awaits_decision boolean NOT NULL DEFAULT false",
)
INDEXES = {
    "ix_messages_awaiting": "(tenant_id, interaction_id) WHERE awaits_decision",
    "ix_messages_decided": "(tenant_id, message_id) WHERE opt_out IS NOT NULL",
}


def upgrade() -> None:
    for statement in ADD_COLUMNS_SQL:
        op.execute(statement)
    # All texts are read for an index: meanwhile new ones must not wait. The index itself waits for every
    # transaction that runs, however long.
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON messages {definition}")
        op.execute("SET lock_timeout = '5s'")
        op.execute("SET statement_timeout = '10min'")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE messages DROP COLUMN awaits_decision, DROP COLUMN opt_out")
    op.execute("ALTER TABLE tenants DROP COLUMN possible_opt_out")

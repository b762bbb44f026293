"""Texts have a purpose, and obey the rules of the law

Revision ID: 0032
Revises: 0031
Created: 2026-11-29
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

ADDED_COLUMNS = {
    "tenants": (
        "law_rules text NOT NULL DEFAULT 'off'",
        "law_exceptions jsonb NOT NULL DEFAULT '[]'",
        "max_first_contacts_per_day integer",
        "max_texts_per_day_without_reply integer",
        "agent_disclosure text",
    ),
    "sms_agents": ("disclosure text NOT NULL DEFAULT 'off'",),
    "campaigns": ("purpose text NOT NULL DEFAULT 'marketing'", "require_consent jsonb"),
    "leads": ("state text", "postal_code text"),
    "messages": (
        "held_rule text",
        "purpose text",
        "counted_at timestamptz",
        'matter text COLLATE "C"',
        "first_contact boolean NOT NULL DEFAULT false",
    ),
    "consent_events": (
        "basis text",
        "scopes text[]",
        "source text",
        "wording_hash text",
        "proof text",
        "obtained_at timestamptz",
    ),
}
ADD_INDEX_SQL = """
CREATE INDEX CONCURRENTLY ix_messages_counted ON messages (tenant_id, to_phone) WHERE counted_at IS NOT NULL
"""


def upgrade() -> None:
    for table, columns in ADDED_COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"ADD COLUMN IF NOT EXISTS {column}" for column in columns))
    with op.get_context().autocommit_block():  # texts are stored meanwhile
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_messages_counted")  # of an interrupted attempt
        op.execute(ADD_INDEX_SQL)
        op.execute("SET statement_timeout = '10min'")


def downgrade() -> None:
    op.execute("DROP INDEX ix_messages_counted")
    for table, columns in ADDED_COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN {column.split()[0]}" for column in columns))

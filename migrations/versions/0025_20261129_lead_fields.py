"""Leads have tags and custom fields

The index is built beside all traffic; if that is interrupted, run the migration again.

Revision ID: 0025
Revises: 0024
Created: 2026-11-29
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

ADD_COLUMNS_SQL = """
ALTER TABLE leads ADD COLUMN IF NOT EXISTS tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS custom_fields jsonb NOT NULL DEFAULT '{}'
"""
ADD_INDEX_SQL = """
CREATE INDEX CONCURRENTLY ix_leads_tags ON leads USING gin (tenant_id, tags, custom_fields jsonb_path_ops)
WHERE tags <> '{}' OR custom_fields <> '{}'
"""


def upgrade() -> None:
    op.execute(ADD_COLUMNS_SQL)
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_leads_tags")  # of an interrupted attempt
        op.execute(ADD_INDEX_SQL)
        op.execute("SET statement_timeout = '10min'")


def downgrade() -> None:
    op.execute("DROP INDEX ix_leads_tags")
    op.execute("ALTER TABLE leads DROP COLUMN tags, DROP COLUMN custom_fields")

"""Tenants take turns when their webhooks are asked; a question keeps its id

Revision ID: 0040
Revises: 0039
Created: 2026-11-29
"""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

ADD_INDEX_SQL = """
CREATE INDEX CONCURRENTLY ix_contact_checks_tenant_id_due_at ON contact_checks (tenant_id, due_at)
WHERE due_at IS NOT NULL
"""


def upgrade() -> None:
    op.execute("ALTER TABLE contact_checks ADD COLUMN IF NOT EXISTS asked_at timestamptz")
    with op.get_context().autocommit_block():  # questions are stored meanwhile
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_contact_checks_tenant_id_due_at")  # of an interrupted attempt
        op.execute(ADD_INDEX_SQL)
        op.execute("SET lock_timeout = '5s'")
        op.execute("SET statement_timeout = '10min'")


def downgrade() -> None:
    op.execute("DROP INDEX ix_contact_checks_tenant_id_due_at")
    op.execute("ALTER TABLE contact_checks DROP COLUMN asked_at")

"""Events of a tenant that moves keep their ids

Revision ID: 0039
Revises: 0038
Created: 2026-11-29
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

ADD_INDEX_SQL = """
CREATE INDEX CONCURRENTLY ix_tenant_events_former_id ON tenant_events (tenant_id, former_id)
WHERE former_id IS NOT NULL
"""


def upgrade() -> None:
    op.execute("ALTER TABLE tenants ADD COLUMN IF NOT EXISTS feed_epoch bigint NOT NULL DEFAULT 0")
    op.execute('ALTER TABLE tenant_events ADD COLUMN IF NOT EXISTS former_id text COLLATE "C"')
    with op.get_context().autocommit_block():  # texts are stored meanwhile
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_tenant_events_former_id")  # of an interrupted attempt
        op.execute(ADD_INDEX_SQL)
        op.execute("SET lock_timeout = '5s'")
        op.execute("SET statement_timeout = '10min'")


def downgrade() -> None:
    op.execute("DROP INDEX ix_tenant_events_former_id")
    op.execute("ALTER TABLE tenant_events DROP COLUMN former_id")
    op.execute("ALTER TABLE tenants DROP COLUMN feed_epoch")

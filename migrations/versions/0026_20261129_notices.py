"""People are told

Revision ID: 0026
Revises: 0025
Created: 2026-11-29
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

ADD_TABLE_SQL = """
CREATE TABLE notice_ways (
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    way text NOT NULL,
    kinds text[] NOT NULL DEFAULT '{}',
    address bytea,
    transaction xid8 NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot()),
    event_id bigint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease text COLLATE "C",
    attempts integer NOT NULL DEFAULT 0,
    failure text,
    failing_since timestamptz,
    sent_at timestamptz,
    CONSTRAINT pk_notice_ways PRIMARY KEY (tenant_id, user_id, way),
    CONSTRAINT fk_notice_ways_tenant_id_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
) WITH (fillfactor = 50)
"""
GUARD_TABLE_SQL = """
DO $$
BEGIN
    ALTER TABLE notice_ways ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON notice_ways USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE notice_ways FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON notice_ways TO app_system USING (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON notice_ways TO app_tenant, app_system;
    END IF;
END $$
"""
# The few events that people may be told of: a look costs a descent for each name, however many others came.
ADD_INDEX_SQL = """
CREATE INDEX CONCURRENTLY ix_tenant_events_noted ON tenant_events (tenant_id, name, transaction, event_id)
WHERE name IN ('interaction.needs_person', 'turn.failed', 'agent.paused', 'agent.resumed',
               'account.failing', 'account.recovered')
"""


def upgrade() -> None:
    op.execute(ADD_TABLE_SQL)
    op.execute(GUARD_TABLE_SQL)
    with op.get_context().autocommit_block():  # events are written meanwhile
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_tenant_events_noted")  # of an interrupted attempt
        op.execute(ADD_INDEX_SQL)
        op.execute("SET statement_timeout = '10min'")


def downgrade() -> None:
    op.execute("DROP INDEX ix_tenant_events_noted")
    op.execute("DROP TABLE notice_ways")

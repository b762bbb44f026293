"""People send files from the page

Revision ID: 0024
Revises: 0022
Created: 2026-11-29
"""

from alembic import op

revision = "0024"
down_revision = "0022"
branch_labels = None
depends_on = None

ADD_TABLE_SQL = """
CREATE TABLE uploads (
    tenant_id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C" NOT NULL,
    place integer NOT NULL,
    upload_id text COLLATE "C" NOT NULL,
    content_type text NOT NULL,
    content bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_uploads PRIMARY KEY (tenant_id, message_id, place),
    CONSTRAINT uq_uploads_upload_id UNIQUE (upload_id),
    CONSTRAINT fk_uploads_tenant_id_message_id FOREIGN KEY (tenant_id, message_id)
        REFERENCES messages (tenant_id, message_id) ON DELETE CASCADE
)
"""
STORE_UNCOMPRESSED_SQL = "ALTER TABLE uploads ALTER COLUMN content SET STORAGE EXTERNAL"
"""Pictures and films are compressed already."""
ADD_INDEX_SQL = "CREATE INDEX ix_uploads_created_at ON uploads (created_at)"
GUARD_TABLE_SQL = """
DO $$
BEGIN
    ALTER TABLE uploads ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON uploads USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE uploads FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON uploads TO app_system USING (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON uploads TO app_tenant, app_system;
    END IF;
END $$
"""


def upgrade() -> None:
    op.execute(ADD_TABLE_SQL)
    op.execute(STORE_UNCOMPRESSED_SQL)
    op.execute(ADD_INDEX_SQL)
    op.execute(GUARD_TABLE_SQL)


def downgrade() -> None:
    op.execute("DROP TABLE uploads")

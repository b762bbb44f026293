"""A webhook of the tenant is asked before a first contact

Revision ID: 0038
Revises: 0037
Created: 2026-11-29
"""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

ADD_COLUMNS_SQL = """
ALTER TABLE tenants
    ADD COLUMN IF NOT EXISTS contact_check_url text,
    ADD COLUMN IF NOT EXISTS contact_check_hours integer,
    ADD COLUMN IF NOT EXISTS contact_check_secret bytea
"""
ADD_TABLE_SQL = """
CREATE TABLE contact_checks (
    tenant_id text COLLATE "C" NOT NULL,
    phone text COLLATE "C" NOT NULL,
    state text NOT NULL DEFAULT 'asked',
    reason text,
    words text,
    due_at timestamptz DEFAULT clock_timestamp(),
    lease text COLLATE "C",
    attempts integer NOT NULL DEFAULT 0,
    failure text,
    valid_until timestamptz,
    CONSTRAINT pk_contact_checks PRIMARY KEY (tenant_id, phone),
    CONSTRAINT fk_contact_checks_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
) WITH (fillfactor = 50)
"""
ADD_INDEX_SQL = "CREATE INDEX ix_contact_checks_due_at ON contact_checks (due_at) WHERE due_at IS NOT NULL"
GUARD_TABLE_SQL = """
DO $$
BEGIN
    ALTER TABLE contact_checks ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON contact_checks USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE contact_checks FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON contact_checks TO app_system USING (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON contact_checks TO app_tenant, app_system;
    END IF;
END $$
"""
AUDIT_SETTINGS_SQL = """
CREATE TRIGGER audit_changes AFTER UPDATE ON tenants
    FOR EACH ROW EXECUTE FUNCTION record_setting_change('settings', 'tenant_id', '', '{secrets}')
"""
FORGET_AUDIT_SQL = "DROP TRIGGER audit_changes ON tenants"


def upgrade() -> None:
    for sql in (ADD_COLUMNS_SQL, ADD_TABLE_SQL, ADD_INDEX_SQL, GUARD_TABLE_SQL, FORGET_AUDIT_SQL):
        op.execute(sql)
    op.execute(AUDIT_SETTINGS_SQL.format(secrets="contact_check_secret"))


def downgrade() -> None:
    op.execute(FORGET_AUDIT_SQL)
    op.execute(AUDIT_SETTINGS_SQL.format(secrets=""))
    op.execute("DROP TABLE contact_checks")
    op.execute(
        "ALTER TABLE tenants DROP COLUMN contact_check_url, DROP COLUMN contact_check_hours,"
        " DROP COLUMN contact_check_secret"
    )

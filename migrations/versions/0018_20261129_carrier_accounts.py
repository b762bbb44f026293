"""Accounts pause while their carrier refuses them; credentials that were replaced still check webhooks

Revision ID: 0018
Revises: 0015
Created: 2026-11-29
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ADD_BRAKE_SQL = """
ALTER TABLE provider_accounts
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN paused_reason text,
    ADD COLUMN resumes_at timestamptz,
    ADD COLUMN judged_at timestamptz,
    ADD COLUMN pauses integer NOT NULL DEFAULT 0
"""
ADD_PARTS_SQL = "ALTER TABLE messages ADD COLUMN part_receipts jsonb"
ADD_FORMER_CREDENTIALS_SQL = """
CREATE TABLE former_credentials (
    tenant_id text COLLATE "C" NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    replaced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    credentials bytea NOT NULL,
    CONSTRAINT pk_former_credentials PRIMARY KEY (tenant_id, account_id, replaced_at),
    CONSTRAINT fk_former_credentials_tenant_id_account_id FOREIGN KEY (tenant_id, account_id)
        REFERENCES provider_accounts (tenant_id, account_id) ON DELETE CASCADE
)
"""
ADD_INDEX_SQL = "CREATE INDEX ix_former_credentials_replaced_at ON former_credentials (replaced_at)"
GUARD_SQL = """
DO $$
BEGIN
    ALTER TABLE former_credentials ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON former_credentials USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE former_credentials FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON former_credentials TO app_system USING (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON former_credentials TO app_tenant, app_system;
    END IF;
END $$
"""


def upgrade() -> None:
    for statement in (ADD_BRAKE_SQL, ADD_PARTS_SQL, ADD_FORMER_CREDENTIALS_SQL, ADD_INDEX_SQL, GUARD_SQL):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE former_credentials")
    op.execute("ALTER TABLE messages DROP COLUMN part_receipts")
    op.execute(
        "ALTER TABLE provider_accounts DROP COLUMN paused_at, DROP COLUMN paused_reason, DROP COLUMN resumes_at,"
        " DROP COLUMN judged_at, DROP COLUMN pauses"
    )

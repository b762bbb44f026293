"""Turns have outcomes, and a lead's answers have a history

Revision ID: 0017
Revises: 0015
Created: 2026-11-29
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

ADD_TO_INTERACTIONS_SQL = """
ALTER TABLE interactions ADD COLUMN refused_outcome jsonb, ADD COLUMN status_by_hand_at timestamptz
"""
ADD_TABLE_SQL = """
CREATE TABLE lead_answers (
    tenant_id text COLLATE "C" NOT NULL,
    answer_id text COLLATE "C" NOT NULL,
    lead_id text COLLATE "C" NOT NULL,
    key text NOT NULL,
    answer text,
    turn_id text COLLATE "C",
    message_id text COLLATE "C",
    author text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_lead_answers PRIMARY KEY (tenant_id, answer_id),
    CONSTRAINT fk_lead_answers_tenant_id_lead_id FOREIGN KEY (tenant_id, lead_id)
        REFERENCES leads (tenant_id, lead_id) ON DELETE CASCADE
)
"""
ADD_INDEX_SQL = "CREATE INDEX ix_lead_answers_tenant_id_lead_id_key_at ON lead_answers (tenant_id, lead_id, key, at)"
GUARD_TABLE_SQL = """
DO $$
BEGIN
    ALTER TABLE lead_answers ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON lead_answers USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE lead_answers FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON lead_answers TO app_system USING (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON lead_answers TO app_tenant, app_system;
    END IF;
END $$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE turns ADD COLUMN outcome jsonb")
    op.execute(ADD_TO_INTERACTIONS_SQL)
    op.execute(ADD_TABLE_SQL)
    op.execute(ADD_INDEX_SQL)
    op.execute(GUARD_TABLE_SQL)


def downgrade() -> None:
    op.execute("DROP TABLE lead_answers")
    op.execute("ALTER TABLE interactions DROP COLUMN refused_outcome, DROP COLUMN status_by_hand_at")
    op.execute("ALTER TABLE turns DROP COLUMN outcome")

"""Files are imported on the page; Mexican phones that were stored in their old form get today's

A phone that is `+52 1` and ten digits is the one without the 1. Where both forms have a thread with the
same number of ours, the thread of the old form stays as a record: nothing can be sent in it, because a
STOP would come in the other one.

Revision ID: 0022
Revises: 0021
Created: 2026-11-29
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

ADD_IMPORTS_SQL = """
CREATE TABLE imports (
    tenant_id text COLLATE "C" NOT NULL,
    import_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    file_name text NOT NULL,
    size integer NOT NULL,
    state text NOT NULL DEFAULT 'new',
    columns jsonb NOT NULL,
    campaign_id text COLLATE "C",
    reason text,
    actor text NOT NULL,
    up_to_line integer NOT NULL DEFAULT 0,
    read_bytes integer NOT NULL DEFAULT 0,
    added integer NOT NULL DEFAULT 0,
    changed integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    blank integer NOT NULL DEFAULT 0,
    fault text,
    lease text COLLATE "C",
    leased_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT pk_imports PRIMARY KEY (tenant_id, import_id),
    CONSTRAINT fk_imports_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX ix_imports_due ON imports (leased_until) WHERE state IN ('checking', 'importing');

CREATE TABLE import_parts (
    tenant_id text COLLATE "C" NOT NULL,
    import_id text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    content bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_import_parts PRIMARY KEY (tenant_id, import_id, number),
    CONSTRAINT fk_import_parts_tenant_id_import_id FOREIGN KEY (tenant_id, import_id)
        REFERENCES imports ON DELETE CASCADE
);

CREATE TABLE import_refusals (
    tenant_id text COLLATE "C" NOT NULL,
    import_id text COLLATE "C" NOT NULL,
    line integer NOT NULL,
    number integer NOT NULL,
    field text,
    reason text NOT NULL,
    CONSTRAINT pk_import_refusals PRIMARY KEY (tenant_id, import_id, line, number),
    CONSTRAINT fk_import_refusals_tenant_id_import_id FOREIGN KEY (tenant_id, import_id)
        REFERENCES imports ON DELETE CASCADE
)
"""
GUARD_SQL = """
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['imports', 'import_parts', 'import_refusals'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I
            USING (tenant_id = nullif(current_setting(''app.tenant'', true), ''''))
            WITH CHECK (tenant_id = nullif(current_setting(''app.tenant'', true), ''''))', name);
        -- Where the service runs as one role, FORCE would lock it out of its own table.
        IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
                   AND tablename = 'leads' AND policyname = 'system') THEN
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('CREATE POLICY system ON %I TO app_system USING (true)', name);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO app_tenant, app_system', name);
        END IF;
    END LOOP;
END $$
"""
OLD_MEXICAN = "'^\\+521[0-9]{10}$'"
RENAME_PHONES_SQL = tuple(
    f"UPDATE {table} SET {column} = '+52' || substr({column}, 5) WHERE {column} ~ {OLD_MEXICAN}"
    for table, column in (
        ("leads", "phone"),
        ("outbox", "to_phone"),
        ("suppressions", "phone"),
        ("consent_events", "phone"),
    )
)
RENAME_THREADS_SQL = f"""
UPDATE interactions t SET lead_phone = '+52' || substr(lead_phone, 5)
WHERE lead_phone ~ {OLD_MEXICAN} AND NOT EXISTS (
    SELECT FROM interactions o WHERE o.tenant_id = t.tenant_id AND o.our_number = t.our_number
    AND o.lead_phone = '+52' || substr(t.lead_phone, 5))
"""
CLOSE_DOUBLE_THREADS_SQL = f"""
WITH closed AS (
    UPDATE interactions SET status = 'dnc', status_before_dnc = NULL, agent_mode = false
    WHERE lead_phone ~ {OLD_MEXICAN} RETURNING tenant_id, lead_phone
)
INSERT INTO suppressions (tenant_id, phone_hash, cause, phone, reason, actor)
SELECT DISTINCT tenant_id, sha256(lead_phone::bytea), 'person', lead_phone,
       'The old form of +52' || substr(lead_phone, 5) || ': write there.', 'service'
FROM closed ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    for statement in (
        *ADD_IMPORTS_SQL.split(";"),
        GUARD_SQL,
        *RENAME_PHONES_SQL,
        RENAME_THREADS_SQL,
        CLOSE_DOUBLE_THREADS_SQL,
    ):
        op.execute(statement)


def downgrade() -> None:
    for table in ("import_refusals", "import_parts", "imports"):
        op.execute(f"DROP TABLE {table}")

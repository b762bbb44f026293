"""Threads remember who changed their status, changes of settings are audited, short codes may be answered

The triggers that write the steps of a status come with the next revision.

Revision ID: 0020
Revises: 0019
Created: 2026-11-29
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ADD_COLUMNS_SQL = (
    "ALTER TABLE interactions ADD COLUMN last_change jsonb",
    "ALTER TABLE tenants ADD COLUMN answer_short_codes boolean NOT NULL DEFAULT false",
)
ADD_TABLES_SQL = (
    """
CREATE TABLE status_changes (
    tenant_id text COLLATE "C" NOT NULL,
    interaction_id text COLLATE "C" NOT NULL,
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    status text NOT NULL,
    from_status text NOT NULL,
    actor text,
    rule text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_status_changes PRIMARY KEY (tenant_id, interaction_id, change_id),
    CONSTRAINT fk_status_changes_tenant_id_interaction_id FOREIGN KEY (tenant_id, interaction_id)
        REFERENCES interactions (tenant_id, interaction_id) ON DELETE CASCADE
)
""",
    """
CREATE TABLE audit_entries (
    tenant_id text COLLATE "C" NOT NULL,
    audit_id bigint GENERATED ALWAYS AS IDENTITY,
    subject text NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    action text NOT NULL,
    changes jsonb NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_audit_entries PRIMARY KEY (tenant_id, audit_id),
    CONSTRAINT fk_audit_entries_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id) ON DELETE CASCADE
)
""",
    "CREATE INDEX ix_audit_entries_at ON audit_entries USING brin (at)",
)
# Append-only: the service may add rows, and delete old ones. Rows also go with their thread or tenant.
GUARD_TABLE_SQL = """
DO $$
BEGIN
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON {table} USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON {table} TO app_system USING (true);
        GRANT SELECT, INSERT ON {table} TO app_tenant;
        GRANT SELECT, INSERT, DELETE ON {table} TO app_system;
        GRANT SELECT ON SEQUENCE {table}_{column}_seq TO app_system;
    END IF;
END $$
"""
# The arguments: what the row is, the column with its id, the columns that are no settings, and those
# whose values are secret. A column of a later migration is a setting at once. Only of a secret the
# trigger tells no value.
ADD_AUDIT_SQL = """
CREATE FUNCTION record_setting_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    row_before jsonb := CASE WHEN TG_OP = 'INSERT' THEN '{}' ELSE to_jsonb(OLD) END;
    row_after jsonb := CASE WHEN TG_OP = 'DELETE' THEN '{}' ELSE to_jsonb(NEW) END;
    known_row jsonb := row_before || row_after;
    found_changes jsonb;
BEGIN
    IF current_setting('app.audit', true) = 'off' THEN
        RETURN NULL;
    END IF;
    SELECT jsonb_agg(jsonb_build_object('field', x.field, 'from', x.shown_before, 'to', x.shown_after) ORDER BY x.field)
    INTO found_changes
    FROM (
        SELECT c.field,
               CASE WHEN s.is_secret AND c.before IS NOT NULL THEN '"set"' ELSE c.before END AS shown_before,
               CASE WHEN s.is_secret AND c.before IS NULL AND c.after IS NOT NULL THEN '"set"'
                    WHEN s.is_secret AND c.after IS NOT NULL THEN '"changed"' ELSE c.after END AS shown_after
        FROM (SELECT k.field, nullif(row_before -> k.field, 'null') AS before,
                     nullif(row_after -> k.field, 'null') AS after
              FROM jsonb_object_keys(known_row) AS k(field)) c
        CROSS JOIN LATERAL (SELECT c.field = ANY (string_to_array(TG_ARGV[3], ',')) AS is_secret) s
        WHERE c.field NOT IN ('tenant_id', TG_ARGV[1], 'created_at', 'updated_at')
          AND c.field <> ALL (string_to_array(TG_ARGV[2], ',')) AND c.before IS DISTINCT FROM c.after
    ) x;
    IF found_changes IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO audit_entries (tenant_id, subject, subject_id, action, changes, actor)
    SELECT t.tenant_id, TG_ARGV[0], known_row ->> TG_ARGV[1],
           CASE WHEN TG_OP = 'INSERT' THEN 'added'
                WHEN TG_OP = 'DELETE' OR row_before ->> 'revoked_at' IS NULL AND row_after ->> 'revoked_at' IS NOT NULL
                    THEN 'removed'
                ELSE 'changed' END,
           found_changes, coalesce(nullif(current_setting('app.actor', true), ''), 'service')
    FROM tenants t WHERE t.tenant_id = known_row ->> 'tenant_id';  -- none while the tenant itself is deleted
    RETURN NULL;
END $$
"""
ACCOUNT_STATE = (
    "hints,missing_since,noticed_at,fetch_at,fetch_failures,fetch_error,failing_since,paused_at,paused_reason,"
    "resumes_at,judged_at,pauses"
)
AUDITED_TABLES = {
    "provider_accounts": ("account", "account_id", ACCOUNT_STATE, "credentials"),
    "phone_numbers": ("number", "phone_number_id", "former_accounts,free_at", ""),
    "sms_agents": ("agent", "sms_agent_id", "previous_secret,previous_secret_until", "secret"),
    "campaigns": ("campaign", "campaign_id", "", ""),
    "canned_replies": ("cannedReply", "canned_reply_id", "", ""),
    "api_keys": ("key", "key_id", "digest,prefix,last_used_at", ""),
    "users": ("person", "user_id", "email", "password_hash"),
}
AUDIT_ROWS_SQL = """
CREATE TRIGGER audit_rows AFTER INSERT OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION record_setting_change({arguments})
"""
AUDIT_CHANGES_SQL = """
CREATE TRIGGER audit_changes AFTER UPDATE ON {table}
    FOR EACH ROW {condition} EXECUTE FUNCTION record_setting_change({arguments})
"""
CONDITIONS = {
    # Each text that leaves moves this: it must not pay for the audit.
    "phone_numbers": "WHEN (OLD.free_at = NEW.free_at)",
    "api_keys": "WHEN (OLD.last_used_at IS NOT DISTINCT FROM NEW.last_used_at)",
}


def upgrade() -> None:
    for statement in (*ADD_COLUMNS_SQL, *ADD_TABLES_SQL):
        op.execute(statement)
    op.execute(GUARD_TABLE_SQL.format(table="status_changes", column="change_id"))
    op.execute(GUARD_TABLE_SQL.format(table="audit_entries", column="audit_id"))
    op.execute(ADD_AUDIT_SQL)
    for table, given_arguments in AUDITED_TABLES.items():
        arguments = quote_all(given_arguments)
        op.execute(AUDIT_ROWS_SQL.format(table=table, arguments=arguments))
        op.execute(AUDIT_CHANGES_SQL.format(table=table, condition=CONDITIONS.get(table, ""), arguments=arguments))
    # A tenant is added and removed by operators; its own row is audited as its settings.
    arguments = quote_all(("settings", "tenant_id", "", ""))
    op.execute(AUDIT_CHANGES_SQL.format(table="tenants", condition="", arguments=arguments))


def downgrade() -> None:
    for table in AUDITED_TABLES:
        op.execute(f"DROP TRIGGER audit_rows ON {table}")
    for table in (*AUDITED_TABLES, "tenants"):
        op.execute(f"DROP TRIGGER audit_changes ON {table}")
    op.execute("DROP FUNCTION record_setting_change")
    op.execute("DROP TABLE audit_entries")
    op.execute("DROP TABLE status_changes")
    op.execute("ALTER TABLE tenants DROP COLUMN answer_short_codes")
    op.execute("ALTER TABLE interactions DROP COLUMN last_change")


def quote_all(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)

"""Figures, counted by the hour

Revision ID: 0034
Revises: 0033
Created: 2026-11-29
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

ADD_TABLES_SQL = (
    # How far a tenant's events were read. Without a row every hour is counted anew.
    """
    CREATE TABLE figure_cursors (
        tenant_id text COLLATE "C" NOT NULL,
        transaction xid8 NOT NULL,
        event_id bigint NOT NULL,
        CONSTRAINT pk_figure_cursors PRIMARY KEY (tenant_id),
        CONSTRAINT fk_figure_cursors_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
    ) WITH (fillfactor = 50)
    """,
    # The hours that have rows to count. `due_at`: something changed in it since it was counted.
    """
    CREATE TABLE figure_hours (
        tenant_id text COLLATE "C" NOT NULL,
        hour timestamptz NOT NULL,
        due_at timestamptz,
        counted_at timestamptz,
        took interval NOT NULL DEFAULT '0',
        CONSTRAINT pk_figure_hours PRIMARY KEY (tenant_id, hour),
        CONSTRAINT fk_figure_hours_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX ix_figure_hours_due_at ON figure_hours (due_at) WHERE due_at IS NOT NULL",
    # No foreign keys to campaigns, numbers and agents: '' stands where there is none.
    """
    CREATE TABLE figures (
        tenant_id text COLLATE "C" NOT NULL,
        hour timestamptz NOT NULL,
        campaign_id text COLLATE "C" NOT NULL,
        our_number text COLLATE "C" NOT NULL,
        sms_agent_id text COLLATE "C" NOT NULL,
        source text NOT NULL,
        measure text NOT NULL,
        value bigint NOT NULL,
        CONSTRAINT pk_figures PRIMARY KEY (tenant_id, hour, campaign_id, our_number, sms_agent_id, source, measure),
        CONSTRAINT fk_figures_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
    )
    """,
)
GUARD_TABLES_SQL = """
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['figure_cursors', 'figure_hours', 'figures'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %I USING (%s) WITH CHECK (%2$s)', guarded,
                       $own$tenant_id = nullif(current_setting('app.tenant', true), '')$own$);
        -- Where the service runs as one role, FORCE would lock it out of its own table.
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
                                  AND tablename = 'leads' AND policyname = 'system');
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %I TO app_system USING (true)', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO app_tenant, app_system', guarded);
    END LOOP;
END $$
"""
# A removed agent takes its turns along, of which no event tells.
ADD_TRIGGER_SQL = (
    """
    CREATE FUNCTION recount_removed_agent() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE figure_hours h SET due_at = clock_timestamp()
        FROM (SELECT DISTINCT f.hour FROM figures f
              WHERE f.tenant_id = OLD.tenant_id AND f.sms_agent_id = OLD.sms_agent_id) counted
        WHERE h.tenant_id = OLD.tenant_id AND h.hour = counted.hour;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER recount_removed_agent AFTER DELETE ON sms_agents
        FOR EACH ROW EXECUTE FUNCTION recount_removed_agent()
    """,
)
# A turn that was answered and then handed off keeps its state; its reason says it.
FORGET_TURNS_SQL = "DROP TRIGGER tell_turns_update ON turns"
TELL_TURNS_SQL = """
CREATE TRIGGER tell_turns_update AFTER UPDATE OF state, held, posting, window_due_at{columns} ON turns
    FOR EACH ROW WHEN (
        OLD.state <> NEW.state OR OLD.held IS DISTINCT FROM NEW.held
        OR OLD.posting <> NEW.posting OR OLD.window_due_at <> NEW.window_due_at{condition})
    EXECUTE FUNCTION tell_turns_update()
"""
REASON_CONDITION = " OR OLD.closed_at IS NOT NULL AND OLD.reason IS DISTINCT FROM NEW.reason"


def upgrade() -> None:
    for sql in (*ADD_TABLES_SQL, GUARD_TABLES_SQL, *ADD_TRIGGER_SQL, FORGET_TURNS_SQL):
        op.execute(sql)
    op.execute(TELL_TURNS_SQL.format(columns=", reason", condition=REASON_CONDITION))


def downgrade() -> None:
    op.execute(FORGET_TURNS_SQL)
    op.execute(TELL_TURNS_SQL.format(columns="", condition=""))
    op.execute("DROP TRIGGER recount_removed_agent ON sms_agents")
    op.execute("DROP FUNCTION recount_removed_agent()")
    for table in ("figures", "figure_hours", "figure_cursors"):
        op.execute(f"DROP TABLE {table}")

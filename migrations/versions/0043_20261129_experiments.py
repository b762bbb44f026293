"""A/B tests of agents

Revision ID: 0043
Revises: 0042
Created: 2026-11-29
"""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

ADD_TABLE_SQL = (
    """
    CREATE TABLE experiments (
        tenant_id text COLLATE "C" NOT NULL,
        experiment_id text COLLATE "C" NOT NULL,
        sms_agent_id text COLLATE "C" NOT NULL,
        name text NOT NULL,
        webhook_url text NOT NULL,
        secret bytea NOT NULL,
        share double precision NOT NULL,
        kept_side text,
        reason text,
        counts jsonb NOT NULL DEFAULT '[]',
        due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        stopped_at timestamptz,
        CONSTRAINT pk_experiments PRIMARY KEY (tenant_id, experiment_id),
        CONSTRAINT fk_experiments_tenant_id_sms_agent_id FOREIGN KEY (tenant_id, sms_agent_id)
            REFERENCES sms_agents ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_experiments_tenant_id_sms_agent_id ON experiments (tenant_id, sms_agent_id)",
    # Leads are split, or all go to side B: an agent has one at most.
    """
    CREATE UNIQUE INDEX uq_experiments_in_force ON experiments (tenant_id, sms_agent_id)
    WHERE kept_side IS DISTINCT FROM 'a'
    """,
    "CREATE INDEX ix_experiments_due ON experiments (due_at) WHERE kept_side IS NULL",
    # A worker counts all the time, and must not fill the audit.
    """
    CREATE TRIGGER audit_rows AFTER INSERT OR DELETE ON experiments
        FOR EACH ROW EXECUTE FUNCTION record_setting_change('experiment', 'experiment_id', 'counts,due_at', 'secret')
    """,
    """
    CREATE TRIGGER audit_changes AFTER UPDATE OF kept_side ON experiments
        FOR EACH ROW WHEN (OLD.kept_side IS DISTINCT FROM NEW.kept_side)
        EXECUTE FUNCTION record_setting_change('experiment', 'experiment_id', 'counts,due_at', 'secret')
    """,
    """
    CREATE FUNCTION tell_experiment() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO tenant_events (tenant_id, type, name, actor, data)
        VALUES (NEW.tenant_id, 'status', 'experiment.stopped', nullif(current_setting('app.actor', true), ''),
                jsonb_build_object('experimentId', NEW.experiment_id, 'smsAgentId', NEW.sms_agent_id,
                                   'keptSide', NEW.kept_side, 'reason', NEW.reason));
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER tell_experiment AFTER UPDATE OF kept_side ON experiments
        FOR EACH ROW WHEN (NEW.kept_side IS NOT NULL AND OLD.kept_side IS DISTINCT FROM NEW.kept_side)
        EXECUTE FUNCTION tell_experiment()
    """,
)
GUARD_TABLE_SQL = """
DO $$
BEGIN
    ALTER TABLE experiments ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON experiments USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE experiments FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON experiments TO app_system USING (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON experiments TO app_tenant, app_system;
    END IF;
END $$
"""
ADD_COLUMNS_SQL = (
    'ALTER TABLE turns ADD COLUMN IF NOT EXISTS experiment_id text COLLATE "C", ADD COLUMN IF NOT EXISTS side text',
    """ALTER TABLE figures ADD COLUMN IF NOT EXISTS side text COLLATE "C" NOT NULL DEFAULT ''""",
)
TOLD_NAMES = (
    "'interaction.needs_person', 'interaction.mentioned', 'turn.failed', 'agent.paused', 'agent.resumed',"
    "{} 'account.failing', 'account.recovered'"
)
FIGURE_KEY = "tenant_id, hour, campaign_id, our_number, sms_agent_id, source, measure"
INDEXES_SQL = {
    "ix_turns_experiment": "ON turns (tenant_id, experiment_id, turn_id) WHERE experiment_id IS NOT NULL",
    "ix_tenant_events_tellable": f"""ON tenant_events (tenant_id, name, transaction, event_id)
        WHERE name IN ({TOLD_NAMES.format(" 'experiment.stopped',")})""",
    "pk_figures_side": f"ON figures ({FIGURE_KEY}, side)",
}
FORMER_INDEX_SQL = f"""
CREATE INDEX CONCURRENTLY ix_tenant_events_told ON tenant_events (tenant_id, name, transaction, event_id)
WHERE name IN ({TOLD_NAMES.format("")})
"""
TELL_UPDATE_SQL = """
CREATE OR REPLACE FUNCTION tell_turns_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data, before)
    VALUES (NEW.tenant_id, 'turn',
            CASE WHEN NEW.kind <> 'live' OR OLD.state = NEW.state THEN NULL
                 WHEN NEW.state = 'delivering' THEN 'turn.handed_over'
                 WHEN NEW.state = 'awaiting_reply' THEN 'turn.accepted'
                 ELSE 'turn.' || NEW.state END,
            NEW.interaction_id, nullif(current_setting('app.actor', true), ''),
            jsonb_build_object('turnId', NEW.turn_id, 'kind', NEW.kind, 'state', NEW.state, 'reason', NEW.reason,
                               'smsAgentId', NEW.sms_agent_id, 'messageIds', NEW.reply -> 'messageIds',
                               'trigger', NEW.trigger){more},
            jsonb_build_object('state', OLD.state));
    RETURN NULL;
END $$
"""
TELL_MORE_SQL = """
CREATE OR REPLACE FUNCTION tell_turns_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    SELECT NEW.tenant_id, told.type, told.name, NEW.interaction_id,
           CASE WHEN told.type = 'turn' THEN 'agent:' || NEW.sms_agent_id
                ELSE nullif(current_setting('app.actor', true), '') END,
           jsonb_build_object('turnId', NEW.turn_id, 'smsAgentId', NEW.sms_agent_id) || told.more{more}
    FROM (VALUES
        ('turn', 'turn.refused', jsonb_array_length(NEW.refused) > jsonb_array_length(OLD.refused),
         jsonb_build_object('kind', NEW.kind, 'state', NEW.state, 'reason', NEW.reason,
                            'code', NEW.refused -> -1 -> 'code', 'by', NEW.refused -> -1 -> 'by')),
        ('turn', 'outcome.recorded', NEW.outcome IS NOT NULL AND OLD.outcome IS DISTINCT FROM NEW.outcome,
         jsonb_build_object('kind', NEW.kind, 'state', NEW.state, 'reason', NEW.reason,
                            'status', NEW.outcome -> 'status', 'leadStatus', NEW.outcome -> 'leadStatus',
                            'answerKeys', jsonb_path_query_array(NEW.outcome, 'lax $.answers[*].key'))),
        ('status', 'interaction.needs_person', NEW.held IS NOT NULL AND OLD.held IS NULL,
         jsonb_build_object('reason', 'held_reply'))
    ) AS told(type, name, applies, more)
    WHERE told.applies;
    RETURN NULL;
END $$
"""
# Turns outside of A/B tests are told in the same bytes as before.
MORE_SQL = """
           || CASE WHEN NEW.experiment_id IS NULL{also} THEN '{{}}'
                   ELSE jsonb_build_object('experimentId', NEW.experiment_id, 'side', NEW.side) END"""


def upgrade() -> None:
    for sql in ADD_COLUMNS_SQL:
        op.execute(sql)
    # Turns and events are written meanwhile. If it is interrupted, run the migration again.
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        for name, definition in INDEXES_SQL.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE {'UNIQUE ' if name.startswith('pk') else ''}INDEX CONCURRENTLY {name} {definition}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_tenant_events_told")
        op.execute("SET lock_timeout = '5s'")
        op.execute("SET statement_timeout = '10min'")
    op.execute(
        "ALTER TABLE figures DROP CONSTRAINT pk_figures,"
        " ADD CONSTRAINT pk_figures PRIMARY KEY USING INDEX pk_figures_side"
    )
    for sql in (*ADD_TABLE_SQL, GUARD_TABLE_SQL):
        op.execute(sql)
    op.execute(TELL_UPDATE_SQL.format(more=MORE_SQL.format(also="")))
    op.execute(TELL_MORE_SQL.format(more=MORE_SQL.format(also=" OR told.type <> 'turn'")))


def downgrade() -> None:
    op.execute("DELETE FROM figures WHERE side <> ''")
    op.execute("DELETE FROM figure_cursors")  # all hours are counted anew
    op.execute(
        f"ALTER TABLE figures DROP CONSTRAINT pk_figures, ADD CONSTRAINT pk_figures PRIMARY KEY ({FIGURE_KEY}),"
        " DROP COLUMN side"
    )
    op.execute(TELL_UPDATE_SQL.format(more=""))
    op.execute(TELL_MORE_SQL.format(more=""))
    op.execute("ALTER TABLE turns DROP COLUMN experiment_id, DROP COLUMN side")
    op.execute("DROP TABLE experiments")
    op.execute("DROP FUNCTION tell_experiment()")
    op.execute("DROP INDEX ix_tenant_events_tellable")
    with op.get_context().autocommit_block():
        op.execute(FORMER_INDEX_SQL)

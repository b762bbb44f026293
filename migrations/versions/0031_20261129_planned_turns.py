"""Turns may begin without a text of the lead

The indexes are built beside all traffic; if that is interrupted, run the migration again.

Revision ID: 0031
Revises: 0030
Created: 2026-11-29
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

ADD_COLUMNS_SQL = (
    """
    ALTER TABLE sms_agents ADD COLUMN IF NOT EXISTS follow_ups jsonb NOT NULL DEFAULT '[]',
        ADD COLUMN IF NOT EXISTS failed_delivery_turns boolean NOT NULL DEFAULT false
    """,
    """
    ALTER TABLE turns ADD COLUMN IF NOT EXISTS trigger text NOT NULL DEFAULT 'texts',
        ADD COLUMN IF NOT EXISTS step smallint
    """,
)
ADD_TABLE_SQL = """
CREATE TABLE IF NOT EXISTS follow_up_looks (
    tenant_id text COLLATE "C" NOT NULL,
    seen_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    looked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_follow_up_looks PRIMARY KEY (tenant_id),
    CONSTRAINT fk_follow_up_looks_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id) ON DELETE CASCADE
)
"""
GUARD_TABLE_SQL = """
DO $$
BEGIN
    ALTER TABLE follow_up_looks ENABLE ROW LEVEL SECURITY;
    DROP POLICY IF EXISTS tenant ON follow_up_looks;
    DROP POLICY IF EXISTS system ON follow_up_looks;
    CREATE POLICY tenant ON follow_up_looks USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE follow_up_looks FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON follow_up_looks TO app_system USING (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON follow_up_looks TO app_tenant, app_system;
    END IF;
END $$
"""
ADD_AGENT_INDEX_SQL = """
CREATE INDEX IF NOT EXISTS ix_sms_agents_following ON sms_agents (tenant_id)
WHERE follow_ups <> '[]' OR failed_delivery_turns
"""
# Nearly no turn is planned: other turns pay a comparison of their state.
INDEXES = {
    "uq_turns_planned": """
        CREATE UNIQUE INDEX CONCURRENTLY uq_turns_planned ON turns (tenant_id, interaction_id, trigger)
        WHERE kind = 'live' AND state = 'planned'
    """,
    "ix_turns_planned": """
        CREATE INDEX CONCURRENTLY ix_turns_planned ON turns (due_at)
        WHERE kind = 'live' AND state = 'planned'
    """,
}
TELL_INSERT_SQL = """
CREATE OR REPLACE FUNCTION tell_turns_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, {actor_column}data)
    SELECT n.tenant_id, 'turn', CASE WHEN n.kind = 'live' THEN {name} END, n.interaction_id, {actor}
           jsonb_build_object('turnId', n.turn_id, 'kind', n.kind, 'state', n.state, 'reason', n.reason,
                              'smsAgentId', n.sms_agent_id{more})
    FROM new_rows n;
    RETURN NULL;
END $$
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
                               'smsAgentId', NEW.sms_agent_id, 'messageIds', NEW.reply -> 'messageIds'{more}),
            jsonb_build_object('state', OLD.state));
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    for statement in ADD_COLUMNS_SQL:
        op.execute(statement)
    op.execute(ADD_AGENT_INDEX_SQL)
    op.execute(ADD_TABLE_SQL)
    op.execute(GUARD_TABLE_SQL)
    op.execute(
        TELL_INSERT_SQL.format(
            name="CASE n.state WHEN 'planned' THEN 'turn.planned' ELSE 'turn.opened' END",
            actor_column="actor, ",
            actor="nullif(current_setting('app.actor', true), ''),",
            more=", 'trigger', n.trigger",
        )
    )
    op.execute(TELL_UPDATE_SQL.format(more=", 'trigger', NEW.trigger"))
    with op.get_context().autocommit_block():  # turns are written meanwhile
        op.execute("SET statement_timeout = 0")
        for name, statement in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # of an interrupted attempt
            op.execute(statement)
        op.execute("SET statement_timeout = '10min'")


def downgrade() -> None:
    op.execute("UPDATE turns SET state = 'cancelled', closed_at = now() WHERE state = 'planned'")
    op.execute(TELL_INSERT_SQL.format(name="'turn.opened'", actor_column="", actor="", more=""))
    op.execute(TELL_UPDATE_SQL.format(more=""))
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE turns DROP COLUMN trigger, DROP COLUMN step")
    op.execute("ALTER TABLE sms_agents DROP COLUMN follow_ups, DROP COLUMN failed_delivery_turns")  # with its index
    op.execute("DROP TABLE follow_up_looks")

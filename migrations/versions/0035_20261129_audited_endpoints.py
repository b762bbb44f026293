"""Changes of webhook endpoints are audited, events about agents' answers name the agent

Revision ID: 0035
Revises: 0034
Created: 2026-11-29
"""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

# Where an endpoint stands, and how it fares, is no setting; that it was paused is told.
STATE = "transaction,event_id,quiet_until,failures,failing_since,previous_secret,previous_secret_until"
ARGUMENTS = f"'endpoint', 'endpoint_id', '{STATE}', 'secret'"
ADD_TRIGGERS_SQL = (
    f"""
CREATE TRIGGER audit_rows AFTER INSERT OR DELETE ON webhook_endpoints
    FOR EACH ROW EXECUTE FUNCTION record_setting_change({ARGUMENTS})
""",
    # Deliveries move its cursor all the time and must not pay for the audit. What people change has a time.
    f"""
CREATE TRIGGER audit_changes AFTER UPDATE ON webhook_endpoints FOR EACH ROW
    WHEN (OLD.updated_at IS DISTINCT FROM NEW.updated_at OR OLD.paused_at IS DISTINCT FROM NEW.paused_at)
    EXECUTE FUNCTION record_setting_change({ARGUMENTS})
""",
)
# Whose answer it is, whichever key or job brought it.
TELL_TURNS_MORE_SQL = """
CREATE OR REPLACE FUNCTION tell_turns_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    SELECT NEW.tenant_id, told.type, told.name, NEW.interaction_id, {actor},
           jsonb_build_object('turnId', NEW.turn_id, 'smsAgentId', NEW.sms_agent_id) || told.more
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
CALLER_SQL = "nullif(current_setting('app.actor', true), '')"
AGENT_SQL = f"CASE WHEN told.type = 'turn' THEN 'agent:' || NEW.sms_agent_id ELSE {CALLER_SQL} END"


def upgrade() -> None:
    for statement in ADD_TRIGGERS_SQL:
        op.execute(statement)
    op.execute(TELL_TURNS_MORE_SQL.format(actor=AGENT_SQL))


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_rows ON webhook_endpoints")
    op.execute("DROP TRIGGER audit_changes ON webhook_endpoints")
    op.execute(TELL_TURNS_MORE_SQL.format(actor=CALLER_SQL))

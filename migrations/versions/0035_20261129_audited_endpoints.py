"""Changes of webhook endpoints are audited

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


def upgrade() -> None:
    for statement in ADD_TRIGGERS_SQL:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_rows ON webhook_endpoints")
    op.execute("DROP TRIGGER audit_changes ON webhook_endpoints")

"""What happens in a tenant, written down by the tables themselves

Triggers: every writer is heard, none has to remember, and none needs a round trip for it.

Revision ID: 0005
Revises: 0004
Created: 2026-11-24
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = """jsonb_build_object('messageId', {n}.message_id, 'seq', {n}.seq, 'role', {n}.role,
    'source', {n}.source, 'status', {n}.status, 'errorCode', {n}.error_code)"""
TURN = """jsonb_build_object('turnId', {n}.turn_id, 'kind', {n}.kind, 'state', {n}.state,
    'reason', {n}.reason)"""
INSERTED = {
    "messages": ("'message'", "n.interaction_id", TEXT.format(n="n")),
    "turns": ("'turn'", "n.interaction_id", TURN.format(n="n")),
    "consent_events": (
        "'consent'",
        "NULL",
        "jsonb_build_object('event', n.event, 'cause', n.cause, 'phone', n.phone)",
    ),
}
"""By table, from the rows of one statement: type, thread, data."""
CHANGED = {
    "messages": (
        "OF status, seq",
        "OLD.status <> NEW.status OR OLD.seq IS DISTINCT FROM NEW.seq",
        "CASE WHEN OLD.seq IS DISTINCT FROM NEW.seq THEN 'message' ELSE 'receipt' END",
        TEXT.format(n="NEW"),
    ),
    "turns": (
        "OF state, held, posting, window_due_at",
        "OLD.state <> NEW.state OR OLD.held IS DISTINCT FROM NEW.held"
        " OR OLD.posting <> NEW.posting OR OLD.window_due_at <> NEW.window_due_at",
        "'turn'",
        TURN.format(n="NEW"),
    ),
    "interactions": (
        "OF status, agent_mode, paused_until, lead_id",
        "OLD.status <> NEW.status OR OLD.agent_mode <> NEW.agent_mode"
        " OR OLD.lead_id <> NEW.lead_id OR OLD.paused_until IS DISTINCT FROM NEW.paused_until",
        "'status'",
        "jsonb_build_object('status', NEW.status, 'agentMode', NEW.agent_mode, 'leadId', NEW.lead_id)",
    ),
}
"""By table, row by row: columns that must be written and changed, type, data. A statement's
transition tables would have to be joined with each other, under a plan made for no rows."""
TELL = "INSERT INTO tenant_events (tenant_id, type, interaction_id, data)"


def upgrade() -> None:
    op.drop_index(op.f("ix_tenant_events_at"), "tenant_events")
    op.create_index(op.f("ix_tenant_events_at"), "tenant_events", ["at"], postgresql_using="brin")
    for table, (type_, thread, data) in INSERTED.items():
        tell(
            f"tell_{table}_insert",
            f"{TELL} SELECT n.tenant_id, {type_}, {thread}, {data} FROM new_rows n",
            f"AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
        )
    for table, (columns, changed, type_, data) in CHANGED.items():
        tell(
            f"tell_{table}_update",
            f"{TELL} VALUES (NEW.tenant_id, {type_}, NEW.interaction_id, {data})",
            f"AFTER UPDATE {columns} ON {table} FOR EACH ROW WHEN ({changed})",
        )


def tell(name: str, said: str, when: str) -> None:
    op.execute(f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            {said};
            RETURN NULL;
        END $$""")
    op.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    named = [(table, "insert") for table in INSERTED] + [(table, "update") for table in CHANGED]
    for table, verb in named:
        op.execute(f"DROP TRIGGER tell_{table}_{verb} ON {table}")
        op.execute(f"DROP FUNCTION tell_{table}_{verb}()")
    op.drop_index(op.f("ix_tenant_events_at"), "tenant_events")
    op.create_index(op.f("ix_tenant_events_at"), "tenant_events", ["at"])

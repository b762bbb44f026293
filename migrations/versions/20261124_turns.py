"""Turns: stale replies held, protected turns, the loop breaker, replays; canned replies

Revision ID: 0004
Revises: 0003
Created: 2026-11-24
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Id = sa.Text(collation="C")
MADE: dict[str, Any] = {"server_default": sa.text("clock_timestamp()"), "nullable": False}
MINE = "tenant_id = nullif(current_setting('app.tenant', true), '')"
TWO_ROLES = """
SELECT count(*) = 2 FROM pg_policies WHERE schemaname = current_schema() AND tablename = 'leads'
"""
UNFINISHED = "state IN ('collecting', 'delivering', 'awaiting_reply')"


def kept(value: str) -> dict[str, Any]:
    return {"server_default": sa.text(value), "nullable": False}


def columns() -> dict[str, tuple[sa.Column[Any], ...]]:
    return {
        "sms_agents": (
            sa.Column("stale_reply", sa.Text(), **kept("'rerun'")),
            sa.Column("resume_after_minutes", sa.Integer()),
            sa.Column("max_turns_per_day", sa.Integer(), **kept("50")),
            sa.Column("business_hours", postgresql.JSONB()),
            sa.Column("reply_delay_ms", sa.Integer(), **kept("0")),
            sa.Column("shadow_webhook_url", sa.Text()),
        ),
        "interactions": (
            sa.Column("agent_off_at", sa.DateTime(timezone=True)),
            sa.Column("stale_replies", sa.SmallInteger(), **kept("0")),
            sa.Column("paused_until", sa.DateTime(timezone=True)),
            sa.Column("paused_reason", sa.Text()),
        ),
        "outbox": (sa.Column("guarded", sa.Boolean(), **kept("false")),),
        "turns": (sa.Column("held", postgresql.JSONB()), sa.Column("of_turn", Id)),
    }


def upgrade() -> None:
    for table, added in columns().items():
        for column in added:
            op.add_column(table, column)
    op.alter_column("turns", "interaction_id", nullable=True)
    op.create_index(
        op.f("ix_interactions_agent_off_at"),
        "interactions",
        ["agent_off_at"],
        postgresql_where=sa.text("agent_off_at IS NOT NULL"),
    )
    op.create_index(
        "ix_turns_held",
        "turns",
        ["tenant_id", "interaction_id"],
        postgresql_where=sa.text("held IS NOT NULL"),
    )
    op.create_index(
        "ix_turns_of",
        "turns",
        ["tenant_id", "of_turn"],
        postgresql_where=sa.text("of_turn IS NOT NULL"),
    )
    op.drop_index("ix_turns_clock", "turns")
    op.create_index(
        "ix_turns_clock",
        "turns",
        ["due_at"],
        postgresql_where=sa.text(f"kind = 'live' AND {UNFINISHED}"),
    )
    op.create_table(
        "canned_replies",
        sa.Column("tenant_id", Id, primary_key=True),
        sa.Column("canned_reply_id", Id, primary_key=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), **MADE),
        sa.Column("updated_at", sa.DateTime(timezone=True), **MADE),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], ondelete="CASCADE"),
    )
    op.execute("ALTER TABLE canned_replies ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON canned_replies USING ({MINE}) WITH CHECK ({MINE})")
    if op.get_bind().scalar(sa.text(TWO_ROLES)):
        op.execute("ALTER TABLE canned_replies FORCE ROW LEVEL SECURITY")
        op.execute("CREATE POLICY system ON canned_replies TO app_system USING (true)")
        op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON canned_replies TO app_tenant, app_system")


def downgrade() -> None:
    op.drop_table("canned_replies")
    op.execute("DELETE FROM turns WHERE interaction_id IS NULL OR kind <> 'live'")
    op.drop_index("ix_turns_clock", "turns")
    op.create_index("ix_turns_clock", "turns", ["due_at"], postgresql_where=sa.text(UNFINISHED))
    op.drop_index("ix_turns_of", "turns")
    op.drop_index("ix_turns_held", "turns")
    op.drop_index(op.f("ix_interactions_agent_off_at"), "interactions")
    op.alter_column("turns", "interaction_id", nullable=False)
    for table, added in columns().items():
        for column in added:
            op.drop_column(table, column.name)

"""The gate: schedules, brakes, limits, bulk sends, pacing, joined parts

Revision ID: 0003
Revises: 0002
Created: 2026-11-24
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Id = sa.Text(collation="C")
MADE: dict[str, Any] = {"server_default": sa.text("clock_timestamp()"), "nullable": False}
OFF: dict[str, Any] = {"server_default": sa.text("false"), "nullable": False}
TO_TENANT = (["tenant_id"], ["tenants.tenant_id"])
PAUSABLE = ("tenants", "phone_numbers", "sms_agents")
MINE = "tenant_id = nullif(current_setting('app.tenant', true), '')"
TWO_ROLES = """
SELECT count(*) = 2 FROM pg_policies WHERE schemaname = current_schema() AND tablename = 'leads'
"""


def instant() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    for table in PAUSABLE:
        op.add_column(table, sa.Column("paused_at", instant()))
        op.add_column(table, sa.Column("paused_reason", sa.Text()))
    op.add_column("tenants", sa.Column("smart_encoding", sa.Boolean(), **OFF))
    op.add_column("tenants", sa.Column("texts_per_day", sa.Integer()))
    op.add_column("tenants", sa.Column("allowed_countries", sa.ARRAY(sa.Text())))
    op.add_column("api_keys", sa.Column("requests_per_second", sa.Integer()))
    op.add_column("interactions", sa.Column("last_inbound_at", instant()))
    op.add_column("messages", sa.Column("possible_opt_out", sa.Boolean(), **OFF))
    op.add_column("messages", sa.Column("late", sa.Boolean(), **OFF))
    op.add_column("early_receipts", sa.Column("message", sa.Text()))
    op.add_column("provider_accounts", sa.Column("missing_since", instant()))
    op.add_column("provider_accounts", sa.Column("noticed_at", instant()))
    op.add_column("installation", sa.Column("alive_at", instant(), **MADE))
    op.drop_column("messages", "cancel_on_reply")
    one: dict[str, Any] = {"server_default": sa.text("1"), "nullable": False}
    op.add_column("outbox", sa.Column("segments", sa.SmallInteger(), **one))
    op.add_column("outbox", sa.Column("sms_agent_id", Id))
    op.add_column("outbox", sa.Column("exempt", sa.Boolean(), **OFF))
    op.add_column("outbox", sa.Column("cancel_on_reply", sa.Boolean(), **OFF))
    op.drop_index("ix_outbox_due_at", "outbox")
    op.create_index(
        "ix_outbox_senders",
        "outbox",
        ["tenant_id", "from_phone", "lane", "due_at"],
        postgresql_where=sa.text("state = 'queued' AND seq IS NOT NULL"),
    )
    op.create_index("ix_outbox_begun", "outbox", ["due_at"], postgresql_where=sa.text("state <> 'queued'"))
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["due_at"],
        postgresql_where=sa.text("state = 'queued' AND seq IS NULL"),
    )
    op.create_table(
        "tenant_days",
        sa.Column("tenant_id", Id, primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("texts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(*TO_TENANT, ondelete="CASCADE"),
    )
    op.create_table(
        "bulks",
        sa.Column("tenant_id", Id, primary_key=True),
        sa.Column("bulk_id", Id, primary_key=True),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("created_at", instant(), **MADE),
        sa.ForeignKeyConstraint(*TO_TENANT, ondelete="CASCADE"),
    )
    op.create_table(
        "inbound_parts",
        *(
            sa.Column(name, Id, primary_key=True)
            for name in ("tenant_id", "account_id", "sender", "our_number", "reference")
        ),
        sa.Column("number", sa.SmallInteger(), primary_key=True),
        sa.Column("total", sa.SmallInteger(), nullable=False),
        sa.Column("provider_id", Id, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("received_at", instant(), **MADE),
        sa.ForeignKeyConstraint(*TO_TENANT, ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_inbound_parts_received_at"), "inbound_parts", ["received_at"])
    for table in ("tenant_days", "bulks", "inbound_parts"):
        guard(table)


def guard(table: str) -> None:
    """Row-level security as the tables before have it."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING ({MINE}) WITH CHECK ({MINE})")
    if op.get_bind().scalar(sa.text(TWO_ROLES)):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY system ON {table} TO app_system USING (true)")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO app_tenant, app_system")


def downgrade() -> None:
    for table in ("inbound_parts", "bulks", "tenant_days"):
        op.drop_table(table)
    for name in ("senders", "begun", "waiting"):
        op.drop_index(f"ix_outbox_{name}", "outbox")
    op.create_index("ix_outbox_due_at", "outbox", ["due_at"])
    for name in ("segments", "sms_agent_id", "exempt", "cancel_on_reply"):
        op.drop_column("outbox", name)
    op.add_column("messages", sa.Column("cancel_on_reply", sa.Boolean(), **OFF))
    op.drop_column("installation", "alive_at")
    op.drop_column("provider_accounts", "noticed_at")
    op.drop_column("provider_accounts", "missing_since")
    op.drop_column("early_receipts", "message")
    op.drop_column("messages", "late")
    op.drop_column("messages", "possible_opt_out")
    op.drop_column("interactions", "last_inbound_at")
    op.drop_column("api_keys", "requests_per_second")
    for name in ("smart_encoding", "texts_per_day", "allowed_countries"):
        op.drop_column("tenants", name)
    for table in PAUSABLE:
        op.drop_column(table, "paused_at")
        op.drop_column(table, "paused_reason")

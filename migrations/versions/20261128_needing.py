"""The newest threads of a status are read from one index, in their order

The list walks the statuses, threads to follow up first. Without the thread's id the index does not
hold the order, and a plan made for tenants with few of a status read all of them, and sorted.

Revision ID: 0012
Revises: 0011
Created: 2026-11-28
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BEFORE = "ix_interactions_tenant_id_status_last_message_at"
AFTER = f"{BEFORE}_interaction_id"


def upgrade() -> None:
    op.create_index(AFTER, "interactions", ["tenant_id", "status", "last_message_at", "interaction_id"])
    op.drop_index(BEFORE, "interactions")


def downgrade() -> None:
    op.create_index(BEFORE, "interactions", ["tenant_id", "status", "last_message_at"])
    op.drop_index(AFTER, "interactions")

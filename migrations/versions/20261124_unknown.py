"""Texts of unknown outcome can be counted at once

Revision ID: 0006
Revises: 0005
Created: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_messages_unknown", "messages", ["tenant_id", "message_id"],
        postgresql_where=sa.text("status = 'unknown'"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_messages_unknown", "messages")

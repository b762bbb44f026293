"""Texts that failed of late can be found at once

Revision ID: 0009
Revises: 0008
Created: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_messages_failed", "messages", ["tenant_id", "created_at"],
        postgresql_where=sa.text("error_code IS NOT NULL"),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_messages_failed", "messages")

"""A text can be undone

Revision ID: 0030
Revises: 0029
Created: 2026-11-29
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE tenants ADD COLUMN undo_seconds integer")


def downgrade() -> None:
    op.execute("ALTER TABLE tenants DROP COLUMN undo_seconds")

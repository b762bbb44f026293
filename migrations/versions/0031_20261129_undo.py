"""A text can be undone

Revision ID: 0031
Revises: 0026
Created: 2026-11-29
"""

from alembic import op

revision = "0031"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE tenants ADD COLUMN undo_seconds integer")


def downgrade() -> None:
    op.execute("ALTER TABLE tenants DROP COLUMN undo_seconds")

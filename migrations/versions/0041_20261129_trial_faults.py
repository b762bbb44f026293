"""A trial says why it failed

Revision ID: 0041
Revises: 0040
Created: 2026-11-29
"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE trials ADD COLUMN IF NOT EXISTS fault text")


def downgrade() -> None:
    op.execute("ALTER TABLE trials DROP COLUMN fault")

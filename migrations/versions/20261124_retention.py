"""Old hand-overs are found without reading them all

Revision ID: 0007
Revises: 0006
Created: 2026-11-24
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(None, "turn_attempts", ["at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ix_turn_attempts_at", "turn_attempts")

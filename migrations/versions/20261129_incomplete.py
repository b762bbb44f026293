"""A text from a carrier's record is completed by the webhook that comes after it

Records name neither attachments nor what the carrier took a text for. What is stored of one waits
for its fuller copy, once.

Revision ID: 0014
Revises: 0013
Created: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("incomplete", sa.Boolean(), server_default="false", nullable=False))


def downgrade() -> None:
    op.drop_column("messages", "incomplete")

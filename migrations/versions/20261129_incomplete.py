"""A text from a carrier's record is completed by the webhook that comes after it

Records name neither attachments nor what the carrier took a text for. What is stored of one waits
for its fuller copy, once.

Revision ID: 0013
Revises: 0012
Created: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "messages", sa.Column("incomplete", sa.Boolean(), server_default="false", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("messages", "incomplete")

"""When an account's missed texts are fetched next, and since when that fails

All accounts of which texts were missed were asked once a second, the first twenty in one fixed
order: those whose carrier refused kept all others from ever being asked.

Revision ID: 0013
Revises: 0012
Created: 2026-11-28
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

DUE = "ix_provider_accounts_fetch_at"


def upgrade() -> None:
    op.add_column("provider_accounts", sa.Column("fetch_at", sa.DateTime(timezone=True)))
    op.add_column(
        "provider_accounts",
        sa.Column("fetch_failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("provider_accounts", sa.Column("fetch_error", sa.Text()))
    op.add_column("provider_accounts", sa.Column("failing_since", sa.DateTime(timezone=True)))
    op.create_index(
        DUE,
        "provider_accounts",
        ["fetch_at"],
        postgresql_where=sa.text("missing_since IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(DUE, "provider_accounts")
    for column in ("failing_since", "fetch_error", "fetch_failures", "fetch_at"):
        op.drop_column("provider_accounts", column)

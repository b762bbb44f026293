"""People: admins, renewed session tokens, counted attempts to sign in

Until now everybody was a member: the first person of each tenant becomes its admin.

Revision ID: 0008
Revises: 0007
Created: 2026-11-24
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MADE: dict[str, Any] = {"server_default": sa.text("clock_timestamp()"), "nullable": False}
FIRST_ADMINS = """
UPDATE users u SET role = 'admin'
FROM (SELECT DISTINCT ON (tenant_id) tenant_id, user_id FROM users
      WHERE active ORDER BY tenant_id, created_at, user_id) first
WHERE u.tenant_id = first.tenant_id AND u.user_id = first.user_id
  AND NOT EXISTS (SELECT 1 FROM users a WHERE a.tenant_id = u.tenant_id AND a.role = 'admin')
"""
TWO_ROLES = """
SELECT count(*) = 2 FROM pg_policies WHERE schemaname = current_schema() AND tablename = 'leads'
"""


def instant() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("sessions", sa.Column("previous_digest", sa.LargeBinary()))
    op.add_column("sessions", sa.Column("previous_until", instant()))
    op.add_column("sessions", sa.Column("renewed_at", instant(), **MADE))
    op.create_index(
        "ix_sessions_previous_digest",
        "sessions",
        ["previous_digest"],
        postgresql_where=sa.text("previous_digest IS NOT NULL"),
    )
    op.create_table(
        "sign_in_tries",
        sa.Column("who", sa.LargeBinary(), primary_key=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("until", instant(), nullable=False),
    )
    op.create_index(op.f("ix_sign_in_tries_until"), "sign_in_tries", ["until"])
    two_roles = op.get_bind().scalar(sa.text(TWO_ROLES))
    if two_roles:
        op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_tries TO app_system")
        # Forced policies hold for the owner too, who may be no superuser.
        op.execute("SET LOCAL ROLE app_system")
    op.execute(FIRST_ADMINS)
    if two_roles:
        op.execute("RESET ROLE")


def downgrade() -> None:
    op.drop_table("sign_in_tries")
    op.drop_index("ix_sessions_previous_digest", "sessions")
    for name in ("previous_digest", "previous_until", "renewed_at"):
        op.drop_column("sessions", name)

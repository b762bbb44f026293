"""The role that sees everything may be dumped by, too

Revision ID: 0011
Revises: 0010
Created: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TWO_ROLES = """
SELECT count(*) = 2 FROM pg_policies WHERE schemaname = current_schema() AND tablename = 'leads'
"""


def schema() -> str:
    named: str = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return named


def upgrade() -> None:
    if op.get_bind().scalar(sa.text(TWO_ROLES)):
        op.execute("GRANT SELECT ON alembic_version TO app_system")
        op.execute(f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema()} TO app_system")


def downgrade() -> None:
    if op.get_bind().scalar(sa.text(TWO_ROLES)):
        op.execute("REVOKE SELECT ON alembic_version FROM app_system")
        op.execute(f"REVOKE SELECT ON ALL SEQUENCES IN SCHEMA {schema()} FROM app_system")

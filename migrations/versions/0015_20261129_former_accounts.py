"""Phone numbers remember the accounts they belonged to

Revision ID: 0015
Revises: 0014
Created: 2026-11-29
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ADD_COLUMN_SQL = "ALTER TABLE phone_numbers ADD COLUMN former_accounts jsonb NOT NULL DEFAULT '{}'"
# A trigger, so that no way of moving a number can forget it. A number may be without an account for
# a while: it has moved when it gets the next one.
ADD_FUNCTION_SQL = """
CREATE FUNCTION remember_former_account() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    former text := coalesce(OLD.account_id, (
        SELECT key FROM jsonb_each_text(OLD.former_accounts) ORDER BY value::timestamptz DESC LIMIT 1));
BEGIN
    IF former IS NOT NULL THEN
        NEW.former_accounts = OLD.former_accounts || jsonb_build_object(former, clock_timestamp());
    END IF;
    RETURN NEW;
END $$
"""
ADD_TRIGGER_SQL = """
CREATE TRIGGER remember_former_account BEFORE UPDATE OF account_id ON phone_numbers
    FOR EACH ROW WHEN (OLD.account_id IS DISTINCT FROM NEW.account_id)
    EXECUTE FUNCTION remember_former_account()
"""


def upgrade() -> None:
    op.execute(ADD_COLUMN_SQL)
    op.execute(ADD_FUNCTION_SQL)
    op.execute(ADD_TRIGGER_SQL)


def downgrade() -> None:
    op.execute("DROP TRIGGER remember_former_account ON phone_numbers")
    op.execute("DROP FUNCTION remember_former_account")
    op.execute("ALTER TABLE phone_numbers DROP COLUMN former_accounts")

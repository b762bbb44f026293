"""Figures have sums of days, lists of prices go on where they stopped, A/B tests have a former secret

Revision ID: 0045
Revises: 0044
Created: 2026-11-29
"""

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

ADD_COLUMNS_SQL = (
    # Where a list that is being read goes on, and when its beginning was read.
    """
    ALTER TABLE price_fetches ADD COLUMN IF NOT EXISTS next_page text,
        ADD COLUMN IF NOT EXISTS begun_at timestamptz
    """,
    """
    ALTER TABLE experiments ADD COLUMN IF NOT EXISTS previous_secret bytea,
        ADD COLUMN IF NOT EXISTS previous_secret_until timestamptz
    """,
)
# A day is summed up when one of its hours is counted. What was counted before, and what workers of the version before
# count until they are restarted, has another `summed_at` than `counted_at`: the new ones count it again.
ADD_DAYS_SQL = (
    "ALTER TABLE figure_hours ADD COLUMN summed_at timestamptz",
    """
    CREATE INDEX ix_figure_hours_waiting ON figure_hours (coalesce(due_at, counted_at))
    WHERE due_at IS NOT NULL OR counted_at IS DISTINCT FROM summed_at
    """,
    "DROP INDEX ix_figure_hours_due_at",
)
FORGET_DAYS_SQL = (
    "CREATE INDEX ix_figure_hours_due_at ON figure_hours (due_at) WHERE due_at IS NOT NULL",
    "DROP INDEX ix_figure_hours_waiting",
    "ALTER TABLE figure_hours DROP COLUMN summed_at",
    r"DELETE FROM figures WHERE level LIKE '%\_day'",
)
AUDIT_ROWS_SQL = """
CREATE OR REPLACE TRIGGER audit_rows AFTER INSERT OR DELETE ON experiments
    FOR EACH ROW EXECUTE FUNCTION record_setting_change({arguments})
"""
AUDIT_CHANGES_SQL = """
CREATE OR REPLACE TRIGGER audit_changes AFTER UPDATE OF {columns} ON experiments
    FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION record_setting_change({arguments})
"""
WORKING_COLUMNS = "counts,due_at"
"""They change all the time, and are no settings."""


def upgrade() -> None:
    for sql in (*ADD_COLUMNS_SQL, *ADD_DAYS_SQL):
        op.execute(sql)
    arguments = f"'experiment', 'experiment_id', '{WORKING_COLUMNS},previous_secret,previous_secret_until', 'secret'"
    op.execute(AUDIT_ROWS_SQL.format(arguments=arguments))
    columns = ("kept_side", "secret")
    condition = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
    op.execute(AUDIT_CHANGES_SQL.format(columns=", ".join(columns), condition=condition, arguments=arguments))


def downgrade() -> None:
    arguments = f"'experiment', 'experiment_id', '{WORKING_COLUMNS}', 'secret'"
    op.execute(AUDIT_ROWS_SQL.format(arguments=arguments))
    condition = "OLD.kept_side IS DISTINCT FROM NEW.kept_side"
    op.execute(AUDIT_CHANGES_SQL.format(columns="kept_side", condition=condition, arguments=arguments))
    op.execute("ALTER TABLE experiments DROP COLUMN previous_secret, DROP COLUMN previous_secret_until")
    op.execute("ALTER TABLE price_fetches DROP COLUMN next_page, DROP COLUMN begun_at")
    for sql in FORGET_DAYS_SQL:
        op.execute(sql)

"""Texts have prices, a tenant has a time zone, figures have sums, and the audit knows corpora and trials

Revision ID: 0044
Revises: 0043
Created: 2026-11-29
"""

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

ADD_COLUMNS_SQL = (
    # The days of figures are days of this zone.
    "ALTER TABLE tenants ADD COLUMN IF NOT EXISTS timezone text NOT NULL DEFAULT 'UTC'",
    # What the carrier says that a text costs, and the currency (ISO 4217).
    "ALTER TABLE messages ADD COLUMN IF NOT EXISTS price numeric, ADD COLUMN IF NOT EXISTS currency text",
    "ALTER TABLE early_receipts ADD COLUMN IF NOT EXISTS price numeric, ADD COLUMN IF NOT EXISTS currency text",
)
# A price that comes without a new status is told to the figures only, which count what events name.
TELL_PRICES_SQL = (
    """
    CREATE FUNCTION tell_messages_price() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO tenant_events (tenant_id, type, interaction_id, data)
        VALUES (NEW.tenant_id, 'price', NEW.interaction_id, jsonb_build_object('messageId', NEW.message_id));
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER tell_messages_price AFTER UPDATE OF price, currency ON messages
        FOR EACH ROW WHEN ((OLD.price, OLD.currency) IS DISTINCT FROM (NEW.price, NEW.currency)
            AND OLD.status = NEW.status AND OLD.seq IS NOT DISTINCT FROM NEW.seq)
        EXECUTE FUNCTION tell_messages_price()
    """,
)
# A page reads months of hours. So all measures of a combination stand in one row, and an hour is also kept in sums: of
# the tenant, of each campaign and of each agent. All hours are counted anew.
RENEW_FIGURES_SQL = (
    "TRUNCATE figures, figure_cursors",
    "ALTER TABLE figures DROP CONSTRAINT pk_figures",
    """
    ALTER TABLE figures DROP COLUMN measure, DROP COLUMN value,
        ADD COLUMN level text NOT NULL, ADD COLUMN counts jsonb NOT NULL
    """,
    """
    ALTER TABLE figures ADD CONSTRAINT pk_figures
        PRIMARY KEY (tenant_id, level, hour, campaign_id, our_number, sms_agent_id, source, side)
    """,
)
FORMER_FIGURES_SQL = (
    "TRUNCATE figures, figure_cursors",
    "ALTER TABLE figures DROP CONSTRAINT pk_figures",
    """
    ALTER TABLE figures DROP COLUMN level, DROP COLUMN counts CASCADE,  -- and what is made of them
        ADD COLUMN measure text NOT NULL, ADD COLUMN value bigint NOT NULL
    """,
    """
    ALTER TABLE figures ADD CONSTRAINT pk_figures
        PRIMARY KEY (tenant_id, hour, campaign_id, our_number, sms_agent_id, source, measure, side)
    """,
)
# Of accounts whose carriers tell prices only in their record: when it is read next.
ADD_FETCHES_SQL = (
    """
    CREATE TABLE price_fetches (
        tenant_id text COLLATE "C" NOT NULL,
        account_id text COLLATE "C" NOT NULL,
        since timestamptz NOT NULL,
        due_at timestamptz NOT NULL,
        CONSTRAINT pk_price_fetches PRIMARY KEY (tenant_id, account_id),
        CONSTRAINT fk_price_fetches_tenant_id_account_id FOREIGN KEY (tenant_id, account_id)
            REFERENCES provider_accounts (tenant_id, account_id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_price_fetches_due_at ON price_fetches (due_at)",
    """
    DO $$
    BEGIN
        ALTER TABLE price_fetches ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON price_fetches USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
            WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
        -- Where the service runs as one role, FORCE would lock it out of its own table.
        IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
                   AND tablename = 'leads' AND policyname = 'system') THEN
            ALTER TABLE price_fetches FORCE ROW LEVEL SECURITY;
            CREATE POLICY system ON price_fetches TO app_system USING (true);
            GRANT SELECT, INSERT, UPDATE, DELETE ON price_fetches TO app_tenant, app_system;
        END IF;
    END $$
    """,
)
# What tables of campaigns and agents show, read ten times as fast as out of `counts`.
SUMMED = {
    "texts": "texts", "delivered": "delivered", "texted": "texted", "replied": "replied", "qualified": "qualified",
    "opt_outs": "optOuts", "turns": "turns", "timed_turns": "timedTurns", "agent_ms": "agentMs",
    "hand_offs": "handOffs", "stale_replies": "staleReplies",
}  # fmt: skip
ADD_SUMMED_SQL = "ALTER TABLE figures " + ", ".join(
    f"ADD COLUMN {column} bigint GENERATED ALWAYS AS ((counts -> '{measure}')::bigint) STORED"
    for column, measure in SUMMED.items()
)
TRIAL_ARGUMENTS = "'trial', 'trial_id', 'lease,leased_until,finished_at,fault,actor', ''"
AUDIT_SQL = (
    """
    CREATE TRIGGER audit_rows AFTER INSERT OR DELETE ON corpora
        FOR EACH ROW EXECUTE FUNCTION record_setting_change('corpus', 'corpus_id', '', '')
    """,
    """
    CREATE TRIGGER audit_changes AFTER UPDATE ON corpora
        FOR EACH ROW EXECUTE FUNCTION record_setting_change('corpus', 'corpus_id', '', '')
    """,
    f"""
    CREATE TRIGGER audit_rows AFTER INSERT OR DELETE ON trials
        FOR EACH ROW EXECUTE FUNCTION record_setting_change({TRIAL_ARGUMENTS})
    """,
    # Workers move it all the time; only people stop it.
    f"""
    CREATE TRIGGER audit_changes AFTER UPDATE ON trials
        FOR EACH ROW WHEN (OLD.state <> NEW.state AND NEW.state = 'stopped')
        EXECUTE FUNCTION record_setting_change({TRIAL_ARGUMENTS})
    """,
)


def upgrade() -> None:
    for sql in (*ADD_COLUMNS_SQL, *TELL_PRICES_SQL, *RENEW_FIGURES_SQL, ADD_SUMMED_SQL, *ADD_FETCHES_SQL, *AUDIT_SQL):
        op.execute(sql)


def downgrade() -> None:
    for table in ("trials", "corpora"):
        for trigger in ("audit_changes", "audit_rows"):
            op.execute(f"DROP TRIGGER {trigger} ON {table}")
    for sql in ("DROP TABLE price_fetches", *FORMER_FIGURES_SQL, "DROP FUNCTION tell_messages_price() CASCADE"):
        op.execute(sql)
    for table in ("early_receipts", "messages"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN price, DROP COLUMN currency")
    op.execute("ALTER TABLE tenants DROP COLUMN timezone")

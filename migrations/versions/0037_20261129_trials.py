"""Turns are kept to try agents with

Revision ID: 0037
Revises: 0036
Created: 2026-11-29
"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

TABLES = ("corpora", "corpus_turns", "trials", "trial_results")
ADD_TABLES_SQL = (
    """
    CREATE TABLE corpora (
        tenant_id text COLLATE "C" NOT NULL,
        corpus_id text COLLATE "C" NOT NULL,
        name text NOT NULL,
        description text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_corpora PRIMARY KEY (tenant_id, corpus_id),
        CONSTRAINT uq_corpora_tenant_id_name UNIQUE (tenant_id, name),
        CONSTRAINT fk_corpora_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
    )
    """,
    # The payload is a copy: that of the turn is deleted for its age. It goes with its thread.
    """
    CREATE TABLE corpus_turns (
        tenant_id text COLLATE "C" NOT NULL,
        corpus_id text COLLATE "C" NOT NULL,
        corpus_turn_id text COLLATE "C" NOT NULL,
        interaction_id text COLLATE "C",
        name text,
        payload bytea NOT NULL,
        recorded_answer jsonb,
        checks jsonb NOT NULL DEFAULT '{}',
        actor text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_corpus_turns PRIMARY KEY (tenant_id, corpus_id, corpus_turn_id),
        CONSTRAINT fk_corpus_turns_tenant_id_corpus_id FOREIGN KEY (tenant_id, corpus_id)
            REFERENCES corpora ON DELETE CASCADE,
        CONSTRAINT fk_corpus_turns_tenant_id_interaction_id FOREIGN KEY (tenant_id, interaction_id)
            REFERENCES interactions ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_corpus_turns_tenant_id_interaction_id ON corpus_turns (tenant_id, interaction_id)",
    """
    CREATE TABLE trials (
        tenant_id text COLLATE "C" NOT NULL,
        trial_id text COLLATE "C" NOT NULL,
        corpus_id text COLLATE "C" NOT NULL,
        sms_agent_id text COLLATE "C" NOT NULL,
        webhook_url text,
        of_shadow boolean NOT NULL DEFAULT false,
        checks jsonb NOT NULL DEFAULT '{}',
        judge_url text,
        per_minute integer NOT NULL,
        max_seconds integer NOT NULL,
        state text NOT NULL DEFAULT 'running',
        actor text NOT NULL,
        lease text COLLATE "C",
        leased_until timestamptz NOT NULL DEFAULT clock_timestamp(),
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        CONSTRAINT pk_trials PRIMARY KEY (tenant_id, trial_id),
        CONSTRAINT fk_trials_tenant_id_corpus_id FOREIGN KEY (tenant_id, corpus_id)
            REFERENCES corpora ON DELETE CASCADE,
        CONSTRAINT fk_trials_tenant_id_sms_agent_id FOREIGN KEY (tenant_id, sms_agent_id)
            REFERENCES sms_agents ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_trials_due ON trials (leased_until) WHERE state = 'running'",
    "CREATE INDEX ix_trials_tenant_id_corpus_id ON trials (tenant_id, corpus_id)",
    "CREATE INDEX ix_trials_tenant_id_sms_agent_id ON trials (tenant_id, sms_agent_id)",
    """
    CREATE TABLE trial_results (
        tenant_id text COLLATE "C" NOT NULL,
        trial_id text COLLATE "C" NOT NULL,
        corpus_turn_id text COLLATE "C" NOT NULL,
        corpus_id text COLLATE "C" NOT NULL,
        turn_id text COLLATE "C" NOT NULL,
        begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        settled_at timestamptz,
        kind text,
        answer jsonb,
        http_status smallint,
        duration_ms integer,
        segments integer,
        is_same boolean,
        has_passed boolean,
        checks jsonb,
        CONSTRAINT pk_trial_results PRIMARY KEY (tenant_id, trial_id, corpus_turn_id),
        CONSTRAINT fk_trial_results_tenant_id_trial_id FOREIGN KEY (tenant_id, trial_id)
            REFERENCES trials ON DELETE CASCADE,
        CONSTRAINT fk_trial_results_tenant_id_corpus_id_corpus_turn_id
            FOREIGN KEY (tenant_id, corpus_id, corpus_turn_id) REFERENCES corpus_turns ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX ix_trial_results_tenant_id_corpus_id_corpus_turn_id
        ON trial_results (tenant_id, corpus_id, corpus_turn_id)
    """,
)
GUARD_TABLES_SQL = f"""
DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY[{", ".join(f"'{table}'" for table in TABLES)}] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %I USING (%s) WITH CHECK (%2$s)', guarded,
                       $own$tenant_id = nullif(current_setting('app.tenant', true), '')$own$);
        -- Where the service runs as one role, FORCE would lock it out of its own table.
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
                                  AND tablename = 'leads' AND policyname = 'system');
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %I TO app_system USING (true)', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO app_tenant, app_system', guarded);
    END LOOP;
END $$
"""


def upgrade() -> None:
    for sql in (*ADD_TABLES_SQL, GUARD_TABLES_SQL):
        op.execute(sql)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")

-- What a person has read of a thread. Without a row: what came before `users.unread_from`.
CREATE TABLE read_marks (
    tenant_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    interaction_id text COLLATE "C" NOT NULL,
    read_seq integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_read_marks PRIMARY KEY (tenant_id, user_id, interaction_id),
    CONSTRAINT fk_read_marks_tenant_id_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, user_id) ON DELETE CASCADE,
    CONSTRAINT fk_read_marks_tenant_id_interaction_id FOREIGN KEY (tenant_id, interaction_id)
        REFERENCES interactions (tenant_id, interaction_id) ON DELETE CASCADE
) WITH (fillfactor = 85);
-- For the foreign key: when a thread is erased, its marks are found.
CREATE INDEX ix_read_marks_tenant_id_interaction_id ON read_marks (tenant_id, interaction_id);
CREATE INDEX ix_read_marks_at ON read_marks (at);

-- A filter of the list under a name. Without a person everybody of the tenant sees it.
CREATE TABLE saved_views (
    tenant_id text COLLATE "C" NOT NULL,
    saved_view_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C",
    name text NOT NULL,
    filter jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_saved_views PRIMARY KEY (tenant_id, saved_view_id),
    CONSTRAINT fk_saved_views_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    CONSTRAINT fk_saved_views_tenant_id_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
);

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['read_marks', 'saved_views'] LOOP
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
END $$;

-- No text touches these columns, so that no text pays for the trigger.
CREATE FUNCTION tell_interactions_work() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data, before)
    SELECT NEW.tenant_id, 'status', told.name, NEW.interaction_id,
           nullif(current_setting('app.actor', true), ''),
           jsonb_build_object('status', NEW.status, 'agentMode', NEW.agent_mode, 'leadId', NEW.lead_id,
                              'campaignId', NEW.campaign_id, 'assignedTo', NEW.assigned_to) || told.more,
           told.before
    FROM (VALUES
        ('interaction.assigned', OLD.assigned_to IS DISTINCT FROM NEW.assigned_to, '{}'::jsonb,
         jsonb_build_object('assignedTo', OLD.assigned_to)),
        ('interaction.snoozed', NEW.snoozed_at IS NOT NULL AND OLD.snoozed_at IS DISTINCT FROM NEW.snoozed_at,
         jsonb_build_object('snoozedUntil', coalesce(to_jsonb(NEW.snoozed_until), '"reply"')),
         jsonb_build_object('snoozedUntil', CASE WHEN OLD.snoozed_at IS NOT NULL
             THEN coalesce(to_jsonb(OLD.snoozed_until), '"reply"') END)),
        ('interaction.unsnoozed', NEW.snoozed_at IS NULL AND OLD.snoozed_at IS NOT NULL,
         jsonb_build_object('snoozedUntil', NULL),
         jsonb_build_object('snoozedUntil', coalesce(to_jsonb(OLD.snoozed_until), '"reply"')))
    ) AS told(name, applies, more, before)
    WHERE told.applies;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_interactions_work AFTER UPDATE OF assigned_to, snoozed_at ON interactions
    FOR EACH ROW WHEN (OLD.assigned_to IS DISTINCT FROM NEW.assigned_to
                       OR OLD.snoozed_at IS DISTINCT FROM NEW.snoozed_at)
    EXECUTE FUNCTION tell_interactions_work();

-- At the end of the transaction, so that the note itself is told first.
CREATE FUNCTION tell_mentions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    SELECT NEW.tenant_id, 'status', 'interaction.mentioned', NEW.interaction_id, author_of(NEW.actor),
           jsonb_build_object('messageId', NEW.message_id, 'leadId', NEW.lead_id, 'personId', m.person_id)
    FROM jsonb_array_elements_text(NEW.note -> 'mentions') AS m(person_id);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tell_mentions AFTER INSERT ON messages
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.note IS NOT NULL)
    EXECUTE FUNCTION tell_mentions();

-- Reading changes no setting.
DROP TRIGGER audit_rows ON users;
DROP TRIGGER audit_changes ON users;
CREATE TRIGGER audit_rows AFTER INSERT OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION record_setting_change('person', 'user_id', 'email,unread_from', 'password_hash');
CREATE TRIGGER audit_changes AFTER UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION record_setting_change('person', 'user_id', 'email,unread_from', 'password_hash');

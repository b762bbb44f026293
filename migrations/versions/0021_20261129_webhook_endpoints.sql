-- Events -----------------------------------------------------------------------------------------

-- `name`: the full name, such as message.sent; NULL: only the page is told. `before`: the former
-- values of what changed. What an event says is frozen here: a body that is sent again is the same.
ALTER TABLE tenant_events ADD COLUMN name text, ADD COLUMN actor text, ADD COLUMN before jsonb;

-- The name by which events and histories know an actor: texts and the record of consent have its bare id.
CREATE FUNCTION author_of(actor text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN actor LIKE 'key\_%' THEN 'key:' || actor
                WHEN actor LIKE 'user\_%' THEN 'person:' || actor
                WHEN actor LIKE 'smsagent\_%' THEN 'agent:' || actor
                ELSE actor END
$$;

CREATE OR REPLACE FUNCTION tell_messages_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    SELECT n.tenant_id, 'message', 'message.' || n.status, n.interaction_id,
           coalesce(author_of(n.actor), nullif(current_setting('app.actor', true), '')),
           jsonb_build_object('messageId', n.message_id, 'seq', n.seq, 'role', n.role,
                              'source', n.source, 'status', n.status, 'errorCode', n.error_code,
                              'leadId', n.lead_id, 'turnId', n.turn_id, 'bulkId', n.bulk_id,
                              'accountId', n.account_id)
    FROM new_rows n;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_messages_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data, before)
    VALUES (NEW.tenant_id,
            CASE WHEN OLD.seq IS DISTINCT FROM NEW.seq THEN 'message' ELSE 'receipt' END,
            CASE WHEN OLD.status <> NEW.status THEN 'message.' || NEW.status END,
            NEW.interaction_id, nullif(current_setting('app.actor', true), ''),
            jsonb_build_object('messageId', NEW.message_id, 'seq', NEW.seq, 'role', NEW.role,
                               'source', NEW.source, 'status', NEW.status, 'errorCode', NEW.error_code,
                               'leadId', NEW.lead_id, 'turnId', NEW.turn_id, 'bulkId', NEW.bulk_id,
                               'accountId', NEW.account_id),
            jsonb_build_object('status', OLD.status));
    IF NEW.status IN ('failed', 'undelivered') AND OLD.status NOT IN ('failed', 'undelivered')
       AND NEW.seq IS NOT NULL AND EXISTS (
           SELECT FROM interactions t
           WHERE t.tenant_id = NEW.tenant_id AND t.interaction_id = NEW.interaction_id
             AND t.status NOT IN ('completed', 'disqualified', 'dnc')) THEN
        INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
        VALUES (NEW.tenant_id, 'status', 'interaction.needs_person', NEW.interaction_id,
                jsonb_build_object('reason', 'failed_text', 'messageId', NEW.message_id,
                                   'leadId', NEW.lead_id));
    END IF;
    RETURN NULL;
END $$;

-- An inbound text that may be an opt-out. For a new text the trigger runs at the end of the
-- transaction: a trigger of rows would otherwise come before the one of the statement, which tells the
-- text itself. A trigger of the statement would cost every text.
CREATE FUNCTION tell_messages_doubt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
    SELECT NEW.tenant_id, 'status', told.name, NEW.interaction_id,
           jsonb_build_object('messageId', NEW.message_id, 'leadId', NEW.lead_id) || told.more
    FROM (VALUES
        ('possible_optout', NEW.possible_opt_out AND (TG_OP = 'INSERT' OR NOT OLD.possible_opt_out),
         jsonb_build_object('held', NEW.awaits_decision)),
        ('interaction.needs_person', NEW.awaits_decision AND (TG_OP = 'INSERT' OR NOT OLD.awaits_decision),
         jsonb_build_object('reason', 'possible_optout'))
    ) AS told(name, applies, more)
    WHERE told.applies;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tell_messages_doubt_insert AFTER INSERT ON messages
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.possible_opt_out OR NEW.awaits_decision)
    EXECUTE FUNCTION tell_messages_doubt();
CREATE TRIGGER tell_messages_doubt_update AFTER UPDATE OF possible_opt_out, awaits_decision ON messages
    FOR EACH ROW WHEN (NEW.possible_opt_out AND NOT OLD.possible_opt_out
                       OR NEW.awaits_decision AND NOT OLD.awaits_decision)
    EXECUTE FUNCTION tell_messages_doubt();

CREATE OR REPLACE FUNCTION tell_turns_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
    SELECT n.tenant_id, 'turn', CASE WHEN n.kind = 'live' THEN 'turn.opened' END, n.interaction_id,
           jsonb_build_object('turnId', n.turn_id, 'kind', n.kind, 'state', n.state, 'reason', n.reason,
                              'smsAgentId', n.sms_agent_id)
    FROM new_rows n;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_turns_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data, before)
    VALUES (NEW.tenant_id, 'turn',
            CASE WHEN NEW.kind <> 'live' OR OLD.state = NEW.state THEN NULL
                 WHEN NEW.state = 'delivering' THEN 'turn.handed_over'
                 WHEN NEW.state = 'awaiting_reply' THEN 'turn.accepted'
                 ELSE 'turn.' || NEW.state END,
            NEW.interaction_id, nullif(current_setting('app.actor', true), ''),
            jsonb_build_object('turnId', NEW.turn_id, 'kind', NEW.kind, 'state', NEW.state, 'reason', NEW.reason,
                               'smsAgentId', NEW.sms_agent_id, 'messageIds', NEW.reply -> 'messageIds'),
            jsonb_build_object('state', OLD.state));
    RETURN NULL;
END $$;

CREATE FUNCTION tell_turns_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    SELECT NEW.tenant_id, told.type, told.name, NEW.interaction_id,
           nullif(current_setting('app.actor', true), ''),
           jsonb_build_object('turnId', NEW.turn_id, 'smsAgentId', NEW.sms_agent_id) || told.more
    FROM (VALUES
        ('turn', 'turn.refused', jsonb_array_length(NEW.refused) > jsonb_array_length(OLD.refused),
         jsonb_build_object('kind', NEW.kind, 'state', NEW.state, 'reason', NEW.reason,
                            'code', NEW.refused -> -1 -> 'code', 'by', NEW.refused -> -1 -> 'by')),
        ('turn', 'outcome.recorded', NEW.outcome IS NOT NULL AND OLD.outcome IS DISTINCT FROM NEW.outcome,
         jsonb_build_object('kind', NEW.kind, 'state', NEW.state, 'reason', NEW.reason,
                            'status', NEW.outcome -> 'status', 'leadStatus', NEW.outcome -> 'leadStatus',
                            'answerKeys', jsonb_path_query_array(NEW.outcome, 'lax $.answers[*].key'))),
        ('status', 'interaction.needs_person', NEW.held IS NOT NULL AND OLD.held IS NULL,
         jsonb_build_object('reason', 'held_reply'))
    ) AS told(type, name, applies, more)
    WHERE told.applies;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_turns_more AFTER UPDATE OF refused, outcome, held ON turns
    FOR EACH ROW WHEN (NEW.kind = 'live' AND (
        OLD.refused <> NEW.refused OR OLD.outcome IS DISTINCT FROM NEW.outcome
        OR OLD.held IS NULL AND NEW.held IS NOT NULL))
    EXECUTE FUNCTION tell_turns_more();

CREATE FUNCTION tell_interactions_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    VALUES (NEW.tenant_id, 'status', 'interaction.opened', NEW.interaction_id,
            nullif(current_setting('app.actor', true), ''),
            jsonb_build_object('status', NEW.status, 'agentMode', NEW.agent_mode, 'leadId', NEW.lead_id,
                               'campaignId', NEW.campaign_id));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_interactions_insert AFTER INSERT ON interactions
    FOR EACH ROW EXECUTE FUNCTION tell_interactions_insert();

-- A change of status and agent mode at once is two events. `last_change` says who did it. A statement
-- that does not know leaves it as it was: then nobody is named, not the one before.
CREATE OR REPLACE FUNCTION tell_interactions_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change jsonb := CASE WHEN NEW.last_change IS DISTINCT FROM OLD.last_change THEN NEW.last_change END;
    author text := coalesce(change ->> 'actor', nullif(current_setting('app.actor', true), ''));
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data, before)
    SELECT NEW.tenant_id, 'status', told.name, NEW.interaction_id, author,
           jsonb_build_object('status', NEW.status, 'agentMode', NEW.agent_mode, 'leadId', NEW.lead_id,
                              'campaignId', NEW.campaign_id, 'rule', change ->> 'rule')
           || coalesce(told.more, '{}'),
           told.before
    FROM (VALUES
        ('interaction.status', OLD.status <> NEW.status, jsonb_build_object('status', OLD.status), NULL),
        ('interaction.agent_mode', OLD.agent_mode <> NEW.agent_mode,
         jsonb_build_object('agentMode', OLD.agent_mode), NULL),
        ('interaction.lead', OLD.lead_id <> NEW.lead_id, jsonb_build_object('leadId', OLD.lead_id), NULL),
        ('interaction.paused', OLD.paused_until IS DISTINCT FROM NEW.paused_until AND NEW.paused_until IS NOT NULL,
         jsonb_build_object('pausedUntil', OLD.paused_until),
         jsonb_build_object('pausedUntil', NEW.paused_until, 'reason', NEW.paused_reason)),
        ('interaction.resumed', OLD.paused_until IS NOT NULL AND NEW.paused_until IS NULL,
         jsonb_build_object('pausedUntil', OLD.paused_until), NULL),
        ('interaction.needs_person', OLD.status <> NEW.status AND NEW.status = 'follow_up', NULL,
         jsonb_build_object('reason', 'follow_up'))
    ) AS told(name, applies, before, more)
    WHERE told.applies;
    IF OLD.status <> NEW.status THEN
        INSERT INTO status_changes (tenant_id, interaction_id, status, from_status, actor, rule)
        VALUES (NEW.tenant_id, NEW.interaction_id, NEW.status, OLD.status, author, change ->> 'rule');
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_consent_events_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    SELECT n.tenant_id, 'consent',
           CASE WHEN n.event IN ('opted_out', 'suppressed') THEN 'optout'
                WHEN n.event IN ('opted_in', 'lifted', 'opt_out_undone') THEN 'optin' END,
           (SELECT m.interaction_id FROM messages m
            WHERE m.tenant_id = n.tenant_id AND m.message_id = n.message_id),
           author_of(n.actor),
           jsonb_build_object('event', n.event, 'cause', n.cause, 'phone', n.phone, 'rule', n.rule,
                              'messageId', n.message_id, 'consentEventId', n.event_id)
    FROM new_rows n;
    RETURN NULL;
END $$;

CREATE FUNCTION tell_leads_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, actor, data)
    SELECT n.tenant_id, 'status', 'lead.created', nullif(current_setting('app.actor', true), ''),
           jsonb_build_object('leadId', n.lead_id, 'campaignId', n.campaign_id, 'status', n.status,
                              'isPlaceholder', n.is_placeholder, 'isTest', n.is_test)
    FROM new_rows n;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_leads_insert AFTER INSERT ON leads
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_leads_insert();

-- The trigger's arguments: the names of the two events, the id's column and its name in `data`.
CREATE FUNCTION tell_pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, actor, data)
    VALUES (NEW.tenant_id, 'status', CASE WHEN NEW.paused_at IS NULL THEN TG_ARGV[1] ELSE TG_ARGV[0] END,
            nullif(current_setting('app.actor', true), ''),
            jsonb_build_object(TG_ARGV[3], to_jsonb(NEW) -> TG_ARGV[2], 'reason', NEW.paused_reason));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_pause AFTER UPDATE OF paused_at ON phone_numbers
    FOR EACH ROW WHEN ((OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL))
    EXECUTE FUNCTION tell_pause('number.paused', 'number.resumed', 'phone_number_id', 'phoneNumberId');
CREATE TRIGGER tell_pause AFTER UPDATE OF paused_at ON sms_agents
    FOR EACH ROW WHEN ((OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL))
    EXECUTE FUNCTION tell_pause('agent.paused', 'agent.resumed', 'sms_agent_id', 'smsAgentId');
CREATE TRIGGER tell_pause AFTER UPDATE OF paused_at ON provider_accounts
    FOR EACH ROW WHEN ((OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL))
    EXECUTE FUNCTION tell_pause('account.failing', 'account.recovered', 'account_id', 'accountId');
CREATE TRIGGER tell_pause AFTER UPDATE OF paused_at ON tenants
    FOR EACH ROW WHEN ((OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL))
    EXECUTE FUNCTION tell_pause('tenant.paused', 'tenant.resumed', 'tenant_id', 'tenantId');

-- Endpoints --------------------------------------------------------------------------------------

-- Who hears the events. (transaction, event_id) is the endpoint's cursor: everything up to it was
-- delivered, or waits in `webhook_queue`.
CREATE TABLE webhook_endpoints (
    tenant_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    url text NOT NULL,
    types text[],
    include text[] NOT NULL DEFAULT '{}',
    description text,
    active boolean NOT NULL DEFAULT true,
    paused_at timestamptz,
    paused_reason text,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_secret_until timestamptz,
    transaction xid8 NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot()),
    event_id bigint NOT NULL DEFAULT 0,
    quiet_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_webhook_endpoints PRIMARY KEY (tenant_id, endpoint_id),
    CONSTRAINT fk_webhook_endpoints_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE TRIGGER tell_pause AFTER UPDATE OF paused_at ON webhook_endpoints
    FOR EACH ROW WHEN ((OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL))
    EXECUTE FUNCTION tell_pause('endpoint.paused', 'endpoint.resumed', 'endpoint_id', 'endpointId');

-- Events that an endpoint is owed. The key's order is the order of delivery within a subject.
CREATE TABLE webhook_queue (
    tenant_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    transaction xid8 NOT NULL,
    event_id bigint NOT NULL,
    due_at timestamptz NOT NULL,
    lease text COLLATE "C",
    attempts smallint NOT NULL DEFAULT 0,
    CONSTRAINT pk_webhook_queue PRIMARY KEY (tenant_id, endpoint_id, subject, transaction, event_id),
    CONSTRAINT fk_webhook_queue_tenant_id_endpoint_id FOREIGN KEY (tenant_id, endpoint_id)
        REFERENCES webhook_endpoints (tenant_id, endpoint_id) ON DELETE CASCADE
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
-- An expression: so this index is taken where the claim looks for what is due, and never, whatever the
-- statistics say, where a row is looked up by its key.
CREATE INDEX ix_webhook_queue_due ON webhook_queue ((tenant_id || endpoint_id), due_at);

-- The newest requests to an endpoint, with the exact bytes.
CREATE TABLE webhook_deliveries (
    tenant_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    delivery_id text COLLATE "C" NOT NULL,
    event_id text NOT NULL,
    name text NOT NULL,
    interaction_id text COLLATE "C",
    attempt smallint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text NOT NULL,
    http_status smallint,
    duration_ms integer NOT NULL,
    detail text,
    answer text,
    request_body bytea NOT NULL,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (tenant_id, endpoint_id, delivery_id),
    CONSTRAINT fk_webhook_deliveries_tenant_id_endpoint_id FOREIGN KEY (tenant_id, endpoint_id)
        REFERENCES webhook_endpoints (tenant_id, endpoint_id) ON DELETE CASCADE
);
CREATE INDEX ix_webhook_deliveries_at ON webhook_deliveries USING brin (at);

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['webhook_endpoints', 'webhook_queue', 'webhook_deliveries'] LOOP
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

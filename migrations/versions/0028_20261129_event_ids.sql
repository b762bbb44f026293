-- What an endpoint's cursor passed without queueing it: a subject's events from (transaction, event_id) on.
CREATE TABLE webhook_backlogs (
    tenant_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    transaction xid8 NOT NULL,
    event_id bigint NOT NULL,
    CONSTRAINT pk_webhook_backlogs PRIMARY KEY (tenant_id, endpoint_id, subject),
    CONSTRAINT fk_webhook_backlogs_tenant_id_endpoint_id FOREIGN KEY (tenant_id, endpoint_id)
        REFERENCES webhook_endpoints (tenant_id, endpoint_id) ON DELETE CASCADE
) WITH (fillfactor = 50);
DO $$
BEGIN
    ALTER TABLE webhook_backlogs ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON webhook_backlogs USING (tenant_id = nullif(current_setting('app.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
    -- Where the service runs as one role, FORCE would lock it out of its own table.
    IF EXISTS (SELECT FROM pg_policies WHERE schemaname = current_schema()
               AND tablename = 'leads' AND policyname = 'system') THEN
        ALTER TABLE webhook_backlogs FORCE ROW LEVEL SECURITY;
        CREATE POLICY system ON webhook_backlogs TO app_system USING (true);
        GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_backlogs TO app_tenant, app_system;
    END IF;
END $$;

-- The ids that an event of a thread names besides its own: a reader need not look them up, and they are those
-- of the time when it happened.
CREATE FUNCTION ids_of_thread(tenant text, thread text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_build_object('leadId', t.lead_id, 'campaignId', t.campaign_id, 'clientId', c.client_id,
                                  'phoneNumberId', n.phone_number_id)
        FROM interactions t
        LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
        LEFT JOIN phone_numbers n ON n.tenant_id = t.tenant_id AND n.phone_number = t.our_number
        WHERE t.tenant_id = tenant AND t.interaction_id = thread
    ), '{"leadId": null, "campaignId": null, "clientId": null, "phoneNumberId": null}');
END $$;

-- Texts are told most often, so these two do without the function: one statement costs half of two.
CREATE OR REPLACE FUNCTION tell_messages_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    SELECT n.tenant_id, 'message', 'message.' || n.status, n.interaction_id,
           coalesce(author_of(n.actor), nullif(current_setting('app.actor', true), '')),
           jsonb_build_object('messageId', n.message_id, 'seq', n.seq, 'role', n.role,
                              'source', n.source, 'status', n.status, 'errorCode', n.error_code,
                              'leadId', n.lead_id, 'campaignId', ids.campaign_id, 'clientId', ids.client_id,
                              'phoneNumberId', ids.phone_number_id, 'turnId', n.turn_id, 'bulkId', n.bulk_id,
                              'accountId', n.account_id)
    FROM new_rows n LEFT JOIN LATERAL (
        SELECT t.campaign_id, c.client_id, p.phone_number_id
        FROM interactions t
        LEFT JOIN campaigns c ON c.tenant_id = t.tenant_id AND c.campaign_id = t.campaign_id
        LEFT JOIN phone_numbers p ON p.tenant_id = t.tenant_id AND p.phone_number = t.our_number
        WHERE t.tenant_id = n.tenant_id AND t.interaction_id = n.interaction_id OFFSET 0
    ) ids ON true;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_messages_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data, before)
    SELECT NEW.tenant_id,
           CASE WHEN OLD.seq IS DISTINCT FROM NEW.seq THEN 'message' ELSE 'receipt' END,
           CASE WHEN OLD.status <> NEW.status THEN 'message.' || NEW.status END,
           NEW.interaction_id, nullif(current_setting('app.actor', true), ''),
           jsonb_build_object('messageId', NEW.message_id, 'seq', NEW.seq, 'role', NEW.role,
                              'source', NEW.source, 'status', NEW.status, 'errorCode', NEW.error_code,
                              'leadId', NEW.lead_id, 'campaignId', t.campaign_id, 'clientId', c.client_id,
                              'phoneNumberId', p.phone_number_id, 'turnId', NEW.turn_id, 'bulkId', NEW.bulk_id,
                              'accountId', NEW.account_id),
           jsonb_build_object('status', OLD.status)
    FROM (SELECT) once
    LEFT JOIN interactions t ON t.tenant_id = NEW.tenant_id AND t.interaction_id = NEW.interaction_id
    LEFT JOIN campaigns c ON c.tenant_id = NEW.tenant_id AND c.campaign_id = t.campaign_id
    LEFT JOIN phone_numbers p ON p.tenant_id = NEW.tenant_id AND p.phone_number = t.our_number;
    IF NEW.status IN ('failed', 'undelivered') AND OLD.status NOT IN ('failed', 'undelivered')
       AND NEW.seq IS NOT NULL AND EXISTS (
           SELECT FROM interactions t
           WHERE t.tenant_id = NEW.tenant_id AND t.interaction_id = NEW.interaction_id
             AND t.status NOT IN ('completed', 'disqualified', 'dnc')) THEN
        INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
        VALUES (NEW.tenant_id, 'status', 'interaction.needs_person', NEW.interaction_id,
                ids_of_thread(NEW.tenant_id, NEW.interaction_id)
                || jsonb_build_object('reason', 'failed_text', 'messageId', NEW.message_id, 'leadId', NEW.lead_id));
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_messages_doubt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
    SELECT NEW.tenant_id, 'status', told.name, NEW.interaction_id,
           ids_of_thread(NEW.tenant_id, NEW.interaction_id)
           || jsonb_build_object('messageId', NEW.message_id, 'leadId', NEW.lead_id) || told.more
    FROM (VALUES
        ('possible_optout', NEW.possible_opt_out AND (TG_OP = 'INSERT' OR NOT OLD.possible_opt_out),
         jsonb_build_object('held', NEW.awaits_decision)),
        ('interaction.needs_person', NEW.awaits_decision AND (TG_OP = 'INSERT' OR NOT OLD.awaits_decision),
         jsonb_build_object('reason', 'possible_optout'))
    ) AS told(name, applies, more)
    WHERE told.applies;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_turns_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, data)
    SELECT n.tenant_id, 'turn', CASE WHEN n.kind = 'live' THEN 'turn.opened' END, n.interaction_id,
           ids_of_thread(n.tenant_id, n.interaction_id)
           || jsonb_build_object('turnId', n.turn_id, 'kind', n.kind, 'state', n.state, 'reason', n.reason,
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
            ids_of_thread(NEW.tenant_id, NEW.interaction_id)
            || jsonb_build_object('turnId', NEW.turn_id, 'kind', NEW.kind, 'state', NEW.state, 'reason', NEW.reason,
                               'smsAgentId', NEW.sms_agent_id, 'messageIds', NEW.reply -> 'messageIds'),
            jsonb_build_object('state', OLD.state));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_turns_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    SELECT NEW.tenant_id, told.type, told.name, NEW.interaction_id,
           nullif(current_setting('app.actor', true), ''),
           ids_of_thread(NEW.tenant_id, NEW.interaction_id)
           || jsonb_build_object('turnId', NEW.turn_id, 'smsAgentId', NEW.sms_agent_id) || told.more
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

CREATE OR REPLACE FUNCTION tell_interactions_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data)
    VALUES (NEW.tenant_id, 'status', 'interaction.opened', NEW.interaction_id,
            nullif(current_setting('app.actor', true), ''),
            ids_of_thread(NEW.tenant_id, NEW.interaction_id)
            || jsonb_build_object('status', NEW.status, 'agentMode', NEW.agent_mode));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_interactions_update() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change jsonb := CASE WHEN NEW.last_change IS DISTINCT FROM OLD.last_change THEN NEW.last_change END;
    author text := coalesce(change ->> 'actor', nullif(current_setting('app.actor', true), ''));
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, interaction_id, actor, data, before)
    SELECT NEW.tenant_id, 'status', told.name, NEW.interaction_id, author,
           ids_of_thread(NEW.tenant_id, NEW.interaction_id)
           || jsonb_build_object('status', NEW.status, 'agentMode', NEW.agent_mode, 'leadId', NEW.lead_id,
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
           m.interaction_id, author_of(n.actor),
           ids_of_thread(n.tenant_id, m.interaction_id)
           || jsonb_build_object('event', n.event, 'cause', n.cause, 'phone', n.phone, 'rule', n.rule,
                              'messageId', n.message_id, 'consentEventId', n.event_id)
    FROM new_rows n LEFT JOIN LATERAL (
        SELECT m.interaction_id FROM messages m
        WHERE m.tenant_id = n.tenant_id AND m.message_id = n.message_id OFFSET 0
    ) m ON true;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tell_leads_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, name, actor, data)
    SELECT n.tenant_id, 'status', 'lead.created', nullif(current_setting('app.actor', true), ''),
           jsonb_build_object('leadId', n.lead_id, 'campaignId', n.campaign_id, 'clientId', (
                                  SELECT c.client_id FROM campaigns c
                                  WHERE c.tenant_id = n.tenant_id AND c.campaign_id = n.campaign_id),
                              'status', n.status,
                              'isPlaceholder', n.is_placeholder, 'isTest', n.is_test)
    FROM new_rows n;
    RETURN NULL;
END $$;

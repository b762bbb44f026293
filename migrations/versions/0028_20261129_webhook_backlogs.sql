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

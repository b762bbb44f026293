-- The whole schema of the first release. `app/store/schema/` says what each column means; here
-- stands why a table, a key or an index is there.
--
-- Every key begins with `tenant_id`, so that no row can point across tenants and the tables can be
-- distributed by it. Ids and phones compare as bytes (COLLATE "C"), whatever the database's locale.
-- Look-ups that come before the tenant is known have unique indexes of their own.
--
-- `fillfactor = 85`: rows that are written again soon find room on their page, and stay there.

-- Extensions. Both are trusted: whoever may create in the database may install them.

CREATE EXTENSION IF NOT EXISTS pg_trgm;    -- finds a lead by a part of the name
CREATE EXTENSION IF NOT EXISTS btree_gin;  -- lets those indexes begin with the tenant

-- The installation -------------------------------------------------------------------------------

-- One row: what the installation made for itself at its first start, sealed.
CREATE TABLE installation (
    only_row boolean DEFAULT true,
    phone_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alive_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_installation PRIMARY KEY (only_row),
    CONSTRAINT ck_installation_only_row CHECK (only_row)
);

-- How often somebody tried to sign in, by a digest of the e-mail or address. There may be no such
-- person, hence no tenant.
CREATE TABLE sign_in_tries (
    who bytea,
    tries integer NOT NULL,
    until timestamptz NOT NULL,
    CONSTRAINT pk_sign_in_tries PRIMARY KEY (who)
);
CREATE INDEX ix_sign_in_tries_until ON sign_in_tries (until);

-- Tenants and their people -----------------------------------------------------------------------

CREATE TABLE tenants (
    tenant_id text COLLATE "C",
    name text NOT NULL,
    default_provider text,
    default_country text NOT NULL DEFAULT 'US',
    quiet_hours jsonb NOT NULL DEFAULT '{"enabled": false, "start": "08:00", "end": "21:00"}',
    opt_out_confirmation text, help_text text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at timestamptz, paused_reason text,
    smart_encoding boolean NOT NULL DEFAULT false,
    texts_per_day integer,
    allowed_countries text[],
    CONSTRAINT pk_tenants PRIMARY KEY (tenant_id)
);

-- How many texts a tenant with a daily limit has accepted on a day (UTC).
CREATE TABLE tenant_days (
    tenant_id text COLLATE "C", day date,
    texts integer NOT NULL,
    CONSTRAINT pk_tenant_days PRIMARY KEY (tenant_id, day),
    CONSTRAINT fk_tenant_days_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);

CREATE TABLE users (
    tenant_id text COLLATE "C", user_id text COLLATE "C",
    email text NOT NULL,
    password_hash text NOT NULL,
    role text NOT NULL DEFAULT 'member', active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_users PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT fk_users_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
-- Unique over all tenants: a person signs in with the e-mail alone.
CREATE UNIQUE INDEX uq_users_email ON users (lower(email));

-- A signed-in person. Only the digest of the cookie is kept.
CREATE TABLE sessions (
    tenant_id text COLLATE "C", digest bytea,
    user_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    previous_digest bytea, previous_until timestamptz,
    renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_sessions PRIMARY KEY (tenant_id, digest),
    CONSTRAINT fk_sessions_tenant_id_user_id FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX ix_sessions_expires_at ON sessions (expires_at);
-- The cookie comes before the tenant is known: the one of now, or the one before.
CREATE UNIQUE INDEX uq_sessions_digest ON sessions (digest);
CREATE INDEX ix_sessions_previous_digest ON sessions (previous_digest) WHERE previous_digest IS NOT NULL;

-- Carriers and numbers ---------------------------------------------------------------------------

-- A tenant's account at a carrier. The credentials are sealed.
CREATE TABLE provider_accounts (
    tenant_id text COLLATE "C", account_id text COLLATE "C",
    provider text NOT NULL,
    name text NOT NULL,
    credentials bytea NOT NULL,
    hints jsonb NOT NULL,
    base_url text,
    is_default boolean NOT NULL DEFAULT false, active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    missing_since timestamptz, noticed_at timestamptz,
    fetch_at timestamptz,
    fetch_failures integer NOT NULL DEFAULT 0, fetch_error text, failing_since timestamptz,
    CONSTRAINT pk_provider_accounts PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT fk_provider_accounts_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
-- A webhook names the account alone.
CREATE UNIQUE INDEX uq_provider_accounts_account_id ON provider_accounts (account_id);
CREATE UNIQUE INDEX uq_provider_accounts_default ON provider_accounts (tenant_id, provider) WHERE is_default;
-- The accounts of all tenants whose missed texts are fetched next.
CREATE INDEX ix_provider_accounts_fetch_at ON provider_accounts (fetch_at) WHERE missing_since IS NOT NULL;

-- A number of the tenant's. `free_at`: when pacing lets the next segment leave.
CREATE TABLE phone_numbers (
    tenant_id text COLLATE "C", phone_number_id text COLLATE "C",
    phone_number text COLLATE "C" NOT NULL,
    account_id text COLLATE "C",
    capabilities text[] NOT NULL,
    active boolean NOT NULL DEFAULT true,
    label text,
    messages_per_second double precision,
    free_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at timestamptz, paused_reason text,
    CONSTRAINT pk_phone_numbers PRIMARY KEY (tenant_id, phone_number_id),
    CONSTRAINT uq_phone_numbers_tenant_id_phone_number UNIQUE (tenant_id, phone_number),
    CONSTRAINT fk_phone_numbers_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE,
    CONSTRAINT fk_phone_numbers_tenant_id_account_id FOREIGN KEY (tenant_id, account_id) REFERENCES provider_accounts
) WITH (fillfactor = 85);
CREATE INDEX ix_phone_numbers_tenant_id_account_id ON phone_numbers (tenant_id, account_id);

-- Agents and keys --------------------------------------------------------------------------------

-- A program that answers leads through a webhook. Its signing secrets are sealed.
CREATE TABLE sms_agents (
    tenant_id text COLLATE "C", sms_agent_id text COLLATE "C",
    name text NOT NULL,
    description text,
    phone_number_id text COLLATE "C",
    webhook_url text NOT NULL,
    batch_window_ms integer NOT NULL DEFAULT 7000, max_wait_ms integer,
    is_test boolean NOT NULL DEFAULT false, active boolean NOT NULL DEFAULT true,
    inbound_enabled boolean NOT NULL DEFAULT true,
    inbound_campaign_ids text[] NOT NULL DEFAULT '{}',
    agent_mode_by_default boolean NOT NULL DEFAULT false,
    secret bytea NOT NULL, previous_secret bytea, previous_secret_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at timestamptz, paused_reason text,
    stale_reply text NOT NULL DEFAULT 'rerun',
    resume_after_minutes integer,
    max_turns_per_day integer NOT NULL DEFAULT 50,
    business_hours jsonb,
    reply_delay_ms integer NOT NULL DEFAULT 0,
    shadow_webhook_url text,
    CONSTRAINT pk_sms_agents PRIMARY KEY (tenant_id, sms_agent_id),
    CONSTRAINT fk_sms_agents_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE,
    CONSTRAINT fk_sms_agents_tenant_id_phone_number_id
        FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers
);
CREATE INDEX ix_sms_agents_tenant_id_phone_number_id ON sms_agents (tenant_id, phone_number_id);

-- A key of the API, of the tenant or of one agent. Only its digest is kept.
CREATE TABLE api_keys (
    tenant_id text COLLATE "C", key_id text COLLATE "C",
    name text NOT NULL,
    scope text NOT NULL,
    sms_agent_id text COLLATE "C",
    prefix text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz, revoked_at timestamptz,
    requests_per_second integer,
    CONSTRAINT pk_api_keys PRIMARY KEY (tenant_id, key_id),
    CONSTRAINT fk_api_keys_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE,
    CONSTRAINT fk_api_keys_tenant_id_sms_agent_id
        FOREIGN KEY (tenant_id, sms_agent_id) REFERENCES sms_agents ON DELETE CASCADE
);
-- The key comes before the tenant is known.
CREATE UNIQUE INDEX uq_api_keys_prefix ON api_keys (prefix);

-- Campaigns, leads, canned replies ---------------------------------------------------------------

CREATE TABLE campaigns (
    tenant_id text COLLATE "C", campaign_id text COLLATE "C",
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    client_id text, client_name text,
    offer_id text, offer_name text,
    phone_number_id text COLLATE "C",
    provider text,
    sms_agent_id text COLLATE "C", test_sms_agent_id text COLLATE "C",
    questionnaire jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_campaigns PRIMARY KEY (tenant_id, campaign_id),
    CONSTRAINT fk_campaigns_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE,
    CONSTRAINT fk_campaigns_tenant_id_phone_number_id
        FOREIGN KEY (tenant_id, phone_number_id) REFERENCES phone_numbers,
    CONSTRAINT fk_campaigns_tenant_id_sms_agent_id
        FOREIGN KEY (tenant_id, sms_agent_id) REFERENCES sms_agents,
    CONSTRAINT fk_campaigns_tenant_id_test_sms_agent_id
        FOREIGN KEY (tenant_id, test_sms_agent_id) REFERENCES sms_agents
);
CREATE INDEX ix_campaigns_tenant_id_phone_number_id ON campaigns (tenant_id, phone_number_id);

CREATE TABLE leads (
    tenant_id text COLLATE "C", lead_id text COLLATE "C",
    first_name text, last_name text,
    email text,
    phone text COLLATE "C",
    status text NOT NULL DEFAULT 'new',
    is_test boolean NOT NULL DEFAULT false, is_placeholder boolean NOT NULL DEFAULT false,
    campaign_id text COLLATE "C",
    timezone text,
    questionnaire jsonb NOT NULL DEFAULT '[]',
    dnc_channels text[] NOT NULL DEFAULT '{}', dnc_reason text,
    active_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_leads PRIMARY KEY (tenant_id, lead_id),
    CONSTRAINT fk_leads_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE,
    CONSTRAINT fk_leads_tenant_id_campaign_id FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns
) WITH (fillfactor = 85);
CREATE INDEX ix_leads_tenant_id_campaign_id ON leads (tenant_id, campaign_id);
CREATE INDEX ix_leads_tenant_id_phone ON leads (tenant_id, phone);
-- For the search: by a part of the name or id, and by the last digits of the phone.
CREATE INDEX ix_leads_name ON leads USING gin (
    tenant_id,
    ((((coalesce(first_name, '') || ' ') || coalesce(last_name, '')) || ' ') || lead_id) gin_trgm_ops
);
CREATE INDEX ix_leads_phone_end ON leads (tenant_id, reverse(phone));

-- A text that people of the tenant send often.
CREATE TABLE canned_replies (
    tenant_id text COLLATE "C", canned_reply_id text COLLATE "C",
    title text NOT NULL, text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_canned_replies PRIMARY KEY (tenant_id, canned_reply_id),
    CONSTRAINT fk_canned_replies_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);

-- Threads and texts ------------------------------------------------------------------------------

-- A thread between two numbers. Its row is the lock under which `seq` is given.
CREATE TABLE interactions (
    tenant_id text COLLATE "C", interaction_id text COLLATE "C",
    our_number text COLLATE "C" NOT NULL, lead_phone text COLLATE "C" NOT NULL,
    lead_id text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C",
    status text NOT NULL DEFAULT 'in_progress', status_before_dnc text,
    agent_mode boolean NOT NULL DEFAULT false,
    last_seq integer NOT NULL DEFAULT 0, read_seq integer NOT NULL DEFAULT 0,
    unread_count integer NOT NULL DEFAULT 0,
    last_message_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_preview text, last_direction text,
    summary text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_inbound_at timestamptz,
    agent_off_at timestamptz,
    stale_replies smallint NOT NULL DEFAULT 0,
    paused_until timestamptz, paused_reason text,
    CONSTRAINT pk_interactions PRIMARY KEY (tenant_id, interaction_id),
    -- The phone first: one index finds the pair, and all threads of a phone.
    CONSTRAINT uq_interactions_tenant_id_lead_phone_our_number UNIQUE (tenant_id, lead_phone, our_number),
    CONSTRAINT fk_interactions_tenant_id_lead_id FOREIGN KEY (tenant_id, lead_id) REFERENCES leads,
    CONSTRAINT fk_interactions_tenant_id_campaign_id FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns
) WITH (fillfactor = 85);
-- Every text moves its thread's row in all of these: each must earn its place. The list of threads
-- reads the newest first, of all, of one status, of one campaign (with and without a status) and of
-- those with unread texts; the thread's id makes the index hold the order of the whole list.
CREATE INDEX ix_interactions_tenant_id_last_message_at_interaction_id
    ON interactions (tenant_id, last_message_at, interaction_id);
-- Threads whose agent may resume by itself, of all tenants.
CREATE INDEX ix_interactions_agent_off_at ON interactions (agent_off_at) WHERE agent_off_at IS NOT NULL;
CREATE INDEX ix_interactions_tenant_id_lead_id ON interactions (tenant_id, lead_id);
CREATE INDEX ix_interactions_tenant_id_campaign_id_status_last_message_at
    ON interactions (tenant_id, campaign_id, status, last_message_at);
CREATE INDEX ix_interactions_unread
    ON interactions (tenant_id, last_message_at, interaction_id) WHERE unread_count > 0;
CREATE INDEX ix_interactions_tenant_id_status_last_message_at_interaction_id
    ON interactions (tenant_id, status, last_message_at, interaction_id);

-- A text, in or out, or a note. `seq` is its place in the transcript; null until it is released
-- (scheduled, held).
CREATE TABLE messages (
    tenant_id text COLLATE "C", message_id text COLLATE "C",
    interaction_id text COLLATE "C" NOT NULL,
    lead_id text COLLATE "C" NOT NULL,
    seq integer,
    role text NOT NULL, source text NOT NULL, actor text,
    text text NOT NULL,
    media jsonb NOT NULL DEFAULT '[]',
    status text NOT NULL,
    status_history jsonb NOT NULL DEFAULT '[]',
    to_phone text COLLATE "C", from_phone text COLLATE "C",
    account_id text COLLATE "C",
    provider text,
    provider_message_id text COLLATE "C",
    encoding text, segments smallint,
    error_code text, error_message text,
    turn_id text COLLATE "C", bulk_id text COLLATE "C",
    forwardable boolean NOT NULL DEFAULT false,
    send_at timestamptz,
    held_until timestamptz, held_reason text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    possible_opt_out boolean NOT NULL DEFAULT false,
    late boolean NOT NULL DEFAULT false, incomplete boolean NOT NULL DEFAULT false,
    CONSTRAINT pk_messages PRIMARY KEY (tenant_id, message_id),
    CONSTRAINT uq_messages_tenant_id_interaction_id_seq UNIQUE (tenant_id, interaction_id, seq),
    CONSTRAINT fk_messages_tenant_id_interaction_id
        FOREIGN KEY (tenant_id, interaction_id) REFERENCES interactions
) WITH (fillfactor = 85);
-- No index names `status`, even to leave rows out: so a text's steps are written in place.
CREATE INDEX ix_messages_provider_id
    ON messages (tenant_id, account_id, provider_message_id) WHERE provider_message_id IS NOT NULL;
CREATE INDEX ix_messages_tenant_id_bulk_id ON messages (tenant_id, bulk_id) WHERE bulk_id IS NOT NULL;
CREATE INDEX ix_messages_failed ON messages (tenant_id, created_at) WHERE error_code IS NOT NULL;
CREATE INDEX ix_messages_words ON messages USING gin (tenant_id, to_tsvector('simple'::regconfig, text));
CREATE INDEX ix_messages_unknown ON messages (tenant_id, message_id) WHERE error_code = 'OUTCOME_UNKNOWN';

-- One bulk send: how many of its texts were accepted.
CREATE TABLE bulks (
    tenant_id text COLLATE "C", bulk_id text COLLATE "C",
    accepted integer NOT NULL, refused integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_bulks PRIMARY KEY (tenant_id, bulk_id),
    CONSTRAINT fk_bulks_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);

-- Outbound: what is owed to carriers, and what they say about it ---------------------------------

-- A text owed to a carrier. `due_at` is queue, lease, retry and schedule at once.
CREATE TABLE outbox (
    tenant_id text COLLATE "C", message_id text COLLATE "C",
    interaction_id text COLLATE "C" NOT NULL,
    seq integer,
    account_id text COLLATE "C" NOT NULL,
    to_phone text COLLATE "C" NOT NULL, from_phone text COLLATE "C" NOT NULL,
    lane smallint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'queued',
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    lease text COLLATE "C",
    tries smallint NOT NULL DEFAULT 0, begun_at timestamptz,
    looked smallint NOT NULL DEFAULT 0, resent boolean NOT NULL DEFAULT false,
    segments smallint NOT NULL DEFAULT 1,
    sms_agent_id text COLLATE "C",
    exempt boolean NOT NULL DEFAULT false,
    cancel_on_reply boolean NOT NULL DEFAULT false, guarded boolean NOT NULL DEFAULT false,
    CONSTRAINT pk_outbox PRIMARY KEY (tenant_id, message_id),
    CONSTRAINT fk_outbox_tenant_id_message_id
        FOREIGN KEY (tenant_id, message_id) REFERENCES messages ON DELETE CASCADE
) WITH (fillfactor = 85);
CREATE INDEX ix_outbox_tenant_id_interaction_id_seq ON outbox (tenant_id, interaction_id, seq);
CREATE INDEX ix_outbox_tenant_id_to_phone ON outbox (tenant_id, to_phone);
-- The next text of each number; those that were begun; those that wait to be released.
CREATE INDEX ix_outbox_senders ON outbox (tenant_id, from_phone, lane, due_at)
    WHERE state = 'queued' AND seq IS NOT NULL;
CREATE INDEX ix_outbox_begun ON outbox (due_at) WHERE state <> 'queued';
CREATE INDEX ix_outbox_waiting ON outbox (due_at) WHERE state = 'queued' AND seq IS NULL;

-- One HTTP try to send a text, with secrets removed.
CREATE TABLE attempts (
    tenant_id text COLLATE "C", message_id text COLLATE "C", attempt smallint,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome text NOT NULL,
    http_status smallint, duration_ms integer,
    detail text,
    CONSTRAINT pk_attempts PRIMARY KEY (tenant_id, message_id, attempt),
    CONSTRAINT fk_attempts_tenant_id_message_id
        FOREIGN KEY (tenant_id, message_id) REFERENCES messages ON DELETE CASCADE
);
CREATE INDEX ix_attempts_at ON attempts (at);

-- A receipt for a text that is not known yet, kept a while and applied when it is.
CREATE TABLE early_receipts (
    tenant_id text COLLATE "C", account_id text COLLATE "C", provider_message_id text COLLATE "C",
    status text,
    code text,
    opted_out boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    message text,
    CONSTRAINT pk_early_receipts PRIMARY KEY (tenant_id, account_id, provider_message_id, status),
    CONSTRAINT fk_early_receipts_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX ix_early_receipts_received_at ON early_receipts (received_at);

-- Inbound: what carriers post --------------------------------------------------------------------

-- Provider ids of inbound texts, for ever: a repeat changes nothing. Never pruned.
CREATE TABLE provider_ids_seen (
    tenant_id text COLLATE "C", account_id text COLLATE "C", provider_id text COLLATE "C",
    CONSTRAINT pk_provider_ids_seen PRIMARY KEY (tenant_id, account_id, provider_id),
    CONSTRAINT fk_provider_ids_seen_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);

-- A part of a longer text that the carrier leaves us to join, until all are there.
CREATE TABLE inbound_parts (
    tenant_id text COLLATE "C", account_id text COLLATE "C", sender text COLLATE "C",
    our_number text COLLATE "C", reference text COLLATE "C", number smallint,
    total smallint NOT NULL,
    provider_id text COLLATE "C" NOT NULL,
    text text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_inbound_parts PRIMARY KEY (tenant_id, account_id, sender, our_number, reference, number),
    CONSTRAINT fk_inbound_parts_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX ix_inbound_parts_received_at ON inbound_parts (received_at);

-- Turns ------------------------------------------------------------------------------------------

-- Texts handed to the agent together, and what came of it. `due_at` is window, lease, retry and
-- expiry at once. A test of an agent is a turn in no thread.
CREATE TABLE turns (
    tenant_id text COLLATE "C", turn_id text COLLATE "C",
    interaction_id text COLLATE "C",
    sms_agent_id text COLLATE "C",
    kind text NOT NULL DEFAULT 'live',
    state text NOT NULL DEFAULT 'collecting', reason text,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL, window_due_at timestamptz NOT NULL,
    handed_over_at timestamptz, accepted_at timestamptz, closed_at timestamptz, expires_at timestamptz,
    moved_to text COLLATE "C",
    through_seq integer,
    payload jsonb,
    attempt smallint NOT NULL DEFAULT 0,
    posting boolean NOT NULL DEFAULT false, lease text COLLATE "C",
    protected boolean NOT NULL DEFAULT false,
    unsent_reply jsonb, reply jsonb,
    refused jsonb NOT NULL DEFAULT '[]',
    held jsonb,
    of_turn text COLLATE "C",
    CONSTRAINT pk_turns PRIMARY KEY (tenant_id, turn_id),
    CONSTRAINT fk_turns_tenant_id_interaction_id
        FOREIGN KEY (tenant_id, interaction_id) REFERENCES interactions ON DELETE CASCADE,
    CONSTRAINT fk_turns_tenant_id_sms_agent_id
        FOREIGN KEY (tenant_id, sms_agent_id) REFERENCES sms_agents ON DELETE CASCADE
);
CREATE INDEX ix_turns_tenant_id_interaction_id_opened_at ON turns (tenant_id, interaction_id, opened_at);
-- A thread collects one turn at a time, while one more may be with the agent.
CREATE UNIQUE INDEX uq_turns_collecting ON turns (tenant_id, interaction_id)
    WHERE kind = 'live' AND state = 'collecting';
CREATE UNIQUE INDEX uq_turns_handed_over ON turns (tenant_id, interaction_id)
    WHERE kind = 'live' AND state IN ('delivering', 'awaiting_reply');
CREATE INDEX ix_turns_held ON turns (tenant_id, interaction_id) WHERE held IS NOT NULL;
CREATE INDEX ix_turns_of ON turns (tenant_id, of_turn) WHERE of_turn IS NOT NULL;
-- The turns of all tenants that want to be looked at next.
CREATE INDEX ix_turns_clock ON turns (due_at)
    WHERE kind = 'live' AND state IN ('collecting', 'delivering', 'awaiting_reply');

-- Which texts a turn holds. A text that moves on stands in both turns.
CREATE TABLE turn_messages (
    tenant_id text COLLATE "C", turn_id text COLLATE "C", message_id text COLLATE "C",
    seq integer NOT NULL,
    CONSTRAINT pk_turn_messages PRIMARY KEY (tenant_id, turn_id, message_id),
    CONSTRAINT fk_turn_messages_tenant_id_turn_id
        FOREIGN KEY (tenant_id, turn_id) REFERENCES turns ON DELETE CASCADE,
    CONSTRAINT fk_turn_messages_tenant_id_message_id
        FOREIGN KEY (tenant_id, message_id) REFERENCES messages ON DELETE CASCADE
);
CREATE INDEX ix_turn_messages_tenant_id_message_id ON turn_messages (tenant_id, message_id);

-- One POST of a turn, with the very bytes that were sent.
CREATE TABLE turn_attempts (
    tenant_id text COLLATE "C", turn_id text COLLATE "C", attempt smallint,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_body bytea NOT NULL,
    outcome text,
    http_status smallint, duration_ms integer,
    answer text,
    CONSTRAINT pk_turn_attempts PRIMARY KEY (tenant_id, turn_id, attempt),
    CONSTRAINT fk_turn_attempts_tenant_id_turn_id
        FOREIGN KEY (tenant_id, turn_id) REFERENCES turns ON DELETE CASCADE
);
-- Rows lie in the order of time: a BRIN index finds the old ones, and costs a write almost nothing.
CREATE INDEX ix_turn_attempts_at ON turn_attempts USING brin (at);

-- Consent ----------------------------------------------------------------------------------------

-- A cause for which a phone may not be texted. After an erasure the phone is gone and its keyed hash
-- keeps the cause.
CREATE TABLE suppressions (
    tenant_id text COLLATE "C", phone_hash bytea, cause text,
    phone text COLLATE "C",
    reason text, actor text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_suppressions PRIMARY KEY (tenant_id, phone_hash, cause),
    CONSTRAINT ck_suppressions_cause CHECK (cause IN ('lead', 'person')),
    CONSTRAINT fk_suppressions_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX ix_suppressions_tenant_id_phone ON suppressions (tenant_id, phone);

-- What was said and done about consent. Append-only.
CREATE TABLE consent_events (
    tenant_id text COLLATE "C", event_id text COLLATE "C",
    phone_hash bytea NOT NULL,
    phone text COLLATE "C",
    event text NOT NULL, cause text, rule text,
    text text,
    message_id text COLLATE "C",
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_consent_events PRIMARY KEY (tenant_id, event_id),
    CONSTRAINT fk_consent_events_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX ix_consent_events_tenant_id_phone_hash_event_id ON consent_events (tenant_id, phone_hash, event_id);

-- Answers and events -----------------------------------------------------------------------------

-- The first answer to an Idempotency-Key, so that a repeat is answered by it.
CREATE TABLE idempotency (
    tenant_id text COLLATE "C", route text, key text,
    body_digest bytea NOT NULL,
    status smallint, answer jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_idempotency PRIMARY KEY (tenant_id, route, key),
    CONSTRAINT fk_idempotency_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX ix_idempotency_created_at ON idempotency (created_at);

-- What happened in a tenant, in an order that no late commit can slip past: read by (transaction,
-- event_id), below the snapshot's xmin.
CREATE TABLE tenant_events (
    tenant_id text COLLATE "C",
    transaction xid8 DEFAULT pg_current_xact_id(),
    event_id bigint GENERATED ALWAYS AS IDENTITY,
    type text NOT NULL,
    interaction_id text COLLATE "C",
    data jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_tenant_events PRIMARY KEY (tenant_id, transaction, event_id),
    CONSTRAINT fk_tenant_events_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX ix_tenant_events_at ON tenant_events USING brin (at);

-- The tables write the events themselves: every writer is heard, none has to remember, and none
-- needs a round trip for it. Inserts are told once a statement. Updates are told row by row: a
-- statement's two transition tables would have to be joined, under a plan made for no rows.

CREATE FUNCTION tell_messages_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, interaction_id, data)
    SELECT n.tenant_id, 'message', n.interaction_id,
           jsonb_build_object('messageId', n.message_id, 'seq', n.seq, 'role', n.role,
                              'source', n.source, 'status', n.status, 'errorCode', n.error_code)
    FROM new_rows n;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_messages_insert AFTER INSERT ON messages
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_messages_insert();

CREATE FUNCTION tell_messages_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, interaction_id, data)
    VALUES (NEW.tenant_id,
            CASE WHEN OLD.seq IS DISTINCT FROM NEW.seq THEN 'message' ELSE 'receipt' END,
            NEW.interaction_id,
            jsonb_build_object('messageId', NEW.message_id, 'seq', NEW.seq, 'role', NEW.role,
                               'source', NEW.source, 'status', NEW.status, 'errorCode', NEW.error_code));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_messages_update AFTER UPDATE OF status, seq ON messages
    FOR EACH ROW WHEN (OLD.status <> NEW.status OR OLD.seq IS DISTINCT FROM NEW.seq)
    EXECUTE FUNCTION tell_messages_update();

CREATE FUNCTION tell_turns_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, interaction_id, data)
    SELECT n.tenant_id, 'turn', n.interaction_id,
           jsonb_build_object('turnId', n.turn_id, 'kind', n.kind, 'state', n.state, 'reason', n.reason)
    FROM new_rows n;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_turns_insert AFTER INSERT ON turns
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_turns_insert();

CREATE FUNCTION tell_turns_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, interaction_id, data)
    VALUES (NEW.tenant_id, 'turn', NEW.interaction_id,
            jsonb_build_object('turnId', NEW.turn_id, 'kind', NEW.kind, 'state', NEW.state, 'reason', NEW.reason));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_turns_update AFTER UPDATE OF state, held, posting, window_due_at ON turns
    FOR EACH ROW WHEN (
        OLD.state <> NEW.state OR OLD.held IS DISTINCT FROM NEW.held
        OR OLD.posting <> NEW.posting OR OLD.window_due_at <> NEW.window_due_at)
    EXECUTE FUNCTION tell_turns_update();

CREATE FUNCTION tell_interactions_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, interaction_id, data)
    VALUES (NEW.tenant_id, 'status', NEW.interaction_id,
            jsonb_build_object('status', NEW.status, 'agentMode', NEW.agent_mode, 'leadId', NEW.lead_id));
    RETURN NULL;
END $$;
CREATE TRIGGER tell_interactions_update AFTER UPDATE OF status, agent_mode, paused_until, lead_id ON interactions
    FOR EACH ROW WHEN (
        OLD.status <> NEW.status OR OLD.agent_mode <> NEW.agent_mode
        OR OLD.lead_id <> NEW.lead_id OR OLD.paused_until IS DISTINCT FROM NEW.paused_until)
    EXECUTE FUNCTION tell_interactions_update();

CREATE FUNCTION tell_consent_events_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_events (tenant_id, type, interaction_id, data)
    SELECT n.tenant_id, 'consent', NULL,
           jsonb_build_object('event', n.event, 'cause', n.cause, 'phone', n.phone)
    FROM new_rows n;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_consent_events_insert AFTER INSERT ON consent_events
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell_consent_events_insert();

-- Roles and row-level security -------------------------------------------------------------------

-- `app_tenant` sees one tenant, the one named in `app.tenant`; `app_system` runs the closed list of
-- statements that serve many, and may dump the database. Roles belong to the whole cluster, so they
-- may exist already, and the migrating role may lack CREATEROLE.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['app_tenant', 'app_system'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
        END;
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        EXCEPTION WHEN insufficient_privilege OR undefined_object THEN NULL;
        END;
    END LOOP;
END $$;

-- Every table of tenants is guarded. Where the two roles cannot be used, the service runs as one
-- role, the owner, which FORCE would lock out of its own tables; it says so in a warning at its
-- start. Later migrations guard a new table in the same way: as `leads` is guarded, with FORCE and
-- the policy `system`, or without.
DO $$
DECLARE
    two_roles boolean := true;
    guarded regclass;
    -- After a transaction the setting is '' and not null: without nullif '' would be a tenant.
    own constant text := $own$tenant_id = nullif(current_setting('app.tenant', true), '')$own$;
BEGIN
    BEGIN
        -- Tried and not looked up: since PostgreSQL 16 a member need not be allowed to SET ROLE.
        SET LOCAL ROLE app_tenant;
        SET LOCAL ROLE app_system;
        RESET ROLE;
    EXCEPTION WHEN insufficient_privilege OR invalid_parameter_value THEN two_roles := false;
    END;
    FOR guarded IN
        SELECT c.oid FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relkind = 'r' AND c.relnamespace = quote_ident(current_schema())::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY tenant ON %s USING (%s) WITH CHECK (%2$s)', guarded, own);
        CONTINUE WHEN NOT two_roles;
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format('CREATE POLICY system ON %s TO app_system USING (true)', guarded);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO app_tenant, app_system', guarded);
    END LOOP;
    IF two_roles THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO app_tenant, app_system', current_schema());
        EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO app_system', current_schema());
        GRANT SELECT, INSERT, UPDATE ON installation TO app_system;
        GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_tries TO app_system;
        GRANT SELECT ON alembic_version TO app_system;
    END IF;
END $$;

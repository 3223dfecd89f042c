-- Ids are text, times are integer microseconds since 1970 UTC, JSON is text. Every table but tenants has a primary key
-- that starts with tenant_id, and foreign keys that carry it: no row can refer to another tenant's.

CREATE TABLE tenants (
    id          TEXT PRIMARY KEY,
    -- The tenant's own random key for its secrets, wrapped by the master key.
    data_key    BLOB NOT NULL,
    status      TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active')),
    create_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many rows of each noun a tenant has, kept in the same transaction as the rows.
CREATE TABLE counters (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    noun      TEXT NOT NULL,
    value     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, noun)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_configs (
    tenant_id   TEXT NOT NULL PRIMARY KEY REFERENCES tenants (id),
    settings    TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    update_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE prospects (
    tenant_id         TEXT NOT NULL REFERENCES tenants (id),
    id                TEXT NOT NULL,
    email             TEXT NOT NULL,
    -- The address in lower case: uniqueness sees Anna@ and anna@ alike, in every script.
    email_key         TEXT NOT NULL,
    company           TEXT NOT NULL,
    contact_name      TEXT NOT NULL,
    position          TEXT NOT NULL,
    industry          TEXT NOT NULL,
    location          TEXT NOT NULL,
    business_size     TEXT NOT NULL,
    source            TEXT NOT NULL,
    source_url        TEXT NOT NULL,
    notes             TEXT NOT NULL,
    tags              TEXT NOT NULL,
    language          TEXT NOT NULL,
    status            TEXT NOT NULL,
    emails_sent       INTEGER NOT NULL,
    last_contact_time INTEGER,
    create_time       INTEGER NOT NULL,
    update_time       INTEGER NOT NULL,
    revision          INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX prospects_email ON prospects (tenant_id, email_key);
CREATE INDEX prospects_newest ON prospects (tenant_id, create_time, id);
CREATE INDEX prospects_status ON prospects (tenant_id, status, create_time, id);

CREATE TABLE campaigns (
    tenant_id      TEXT NOT NULL REFERENCES tenants (id),
    id             TEXT NOT NULL,
    state          TEXT NOT NULL,
    -- Where a paused campaign returns to.
    resume_to      TEXT,
    settings       TEXT NOT NULL,
    current_step   TEXT NOT NULL,
    -- How many of its prospects the current step has dealt with.
    cursor         INTEGER NOT NULL DEFAULT 0,
    prospect_count INTEGER NOT NULL DEFAULT 0,
    -- The number of its newest event.
    seq            INTEGER NOT NULL DEFAULT 0,
    -- Raised by every claim; a write under an older one changes nothing.
    fence          INTEGER NOT NULL DEFAULT 0,
    lease_owner    TEXT,
    lease_until    INTEGER NOT NULL DEFAULT 0,
    failure        TEXT NOT NULL DEFAULT '',
    -- What the steps have found out, as JSON.
    analysis       TEXT,
    strategy       TEXT,
    create_time    INTEGER NOT NULL,
    update_time    INTEGER NOT NULL,
    end_time       INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX campaigns_newest ON campaigns (tenant_id, create_time, id);
CREATE INDEX campaigns_live ON campaigns (tenant_id)
    WHERE state IN ('RUNNING', 'PAUSED', 'WAITING_TEMPLATE', 'WAITING_APPROVAL');
-- What the engine may claim, across tenants.
CREATE INDEX campaigns_due ON campaigns (lease_until, update_time) WHERE state = 'RUNNING';
CREATE INDEX campaigns_leased ON campaigns (lease_owner) WHERE lease_owner IS NOT NULL;

CREATE TABLE campaign_steps (
    tenant_id   TEXT NOT NULL,
    campaign_id TEXT NOT NULL,
    step        TEXT NOT NULL,
    status      TEXT NOT NULL,
    progress    INTEGER NOT NULL,
    start_time  INTEGER,
    end_time    INTEGER,
    summary     TEXT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, step),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE campaign_events (
    tenant_id   TEXT NOT NULL,
    campaign_id TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    -- The step whose log the event is a line of; NULL for other events.
    log_step    TEXT,
    data        TEXT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, seq),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX campaign_events_log ON campaign_events (tenant_id, campaign_id, log_step, seq) WHERE log_step IS NOT NULL;

-- The prospects that a campaign has chosen, the best at position 0.
CREATE TABLE campaign_prospects (
    tenant_id   TEXT NOT NULL,
    campaign_id TEXT NOT NULL,
    position    INTEGER NOT NULL,
    prospect_id TEXT NOT NULL,
    score       INTEGER NOT NULL,
    reasons     TEXT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, position),
    UNIQUE (tenant_id, campaign_id, prospect_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id),
    FOREIGN KEY (tenant_id, prospect_id) REFERENCES prospects (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE emails (
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    id           TEXT NOT NULL,
    prospect_id  TEXT NOT NULL,
    campaign_id  TEXT NOT NULL,
    position     INTEGER NOT NULL,
    template_id  TEXT NOT NULL,
    subject      TEXT NOT NULL,
    body         TEXT NOT NULL,
    from_name    TEXT NOT NULL,
    from_address TEXT NOT NULL,
    to_name      TEXT NOT NULL,
    to_address   TEXT NOT NULL,
    unsubscribe  TEXT NOT NULL,
    status       TEXT NOT NULL,
    note         TEXT NOT NULL DEFAULT '',
    message_id   TEXT NOT NULL,
    edited       INTEGER NOT NULL DEFAULT 0,
    sent_time    INTEGER,
    create_time  INTEGER NOT NULL,
    update_time  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, prospect_id) REFERENCES prospects (tenant_id, id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
) STRICT;

-- One e-mail per prospect and campaign: a step that is done twice cannot write to anybody twice.
CREATE UNIQUE INDEX emails_prospect ON emails (tenant_id, prospect_id, campaign_id);
CREATE UNIQUE INDEX emails_campaign ON emails (tenant_id, campaign_id, position);
CREATE INDEX emails_status ON emails (tenant_id, campaign_id, status, position);
-- What a crash leaves in the middle of sending, across tenants.
CREATE INDEX emails_sending ON emails (tenant_id, campaign_id) WHERE status = 'sending';
CREATE INDEX emails_newest ON emails (tenant_id, prospect_id, create_time, id);

-- What a request under a name of the caller's choosing has made, kept a day.
CREATE TABLE idempotency_keys (
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    method       TEXT NOT NULL,
    request_id   TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    result       TEXT NOT NULL,
    create_time  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, method, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_age ON idempotency_keys (create_time);

-- Prospects in full, replies, suppressions, marketing strategies, the sealed password of a tenant's mail server.

-- NULL where nobody has said how likely it is.
ALTER TABLE prospects ADD COLUMN conversion_probability INTEGER;
ALTER TABLE prospects ADD COLUMN priority_score INTEGER NOT NULL DEFAULT 0;
ALTER TABLE prospects ADD COLUMN next_action TEXT NOT NULL DEFAULT '';
ALTER TABLE prospects ADD COLUMN potential_interest TEXT NOT NULL DEFAULT '';
ALTER TABLE prospects ADD COLUMN discovery_context TEXT NOT NULL DEFAULT '';
ALTER TABLE prospects ADD COLUMN manual_intervention INTEGER NOT NULL DEFAULT 0;
ALTER TABLE prospects ADD COLUMN auto_reply_enabled INTEGER NOT NULL DEFAULT 1;
ALTER TABLE prospects ADD COLUMN replies_received INTEGER NOT NULL DEFAULT 0;
ALTER TABLE prospects ADD COLUMN last_reply TEXT NOT NULL DEFAULT '';
ALTER TABLE prospects ADD COLUMN last_reply_time INTEGER;
-- What the last reply wants that says whether its writer wants more.
ALTER TABLE prospects ADD COLUMN decided_intent TEXT;
-- Name, company and address in lower case, for the search; the industry in lower case.
ALTER TABLE prospects ADD COLUMN search_key TEXT NOT NULL DEFAULT '';
ALTER TABLE prospects ADD COLUMN industry_key TEXT NOT NULL DEFAULT '';
ALTER TABLE prospects ADD COLUMN delete_time INTEGER;
ALTER TABLE prospects ADD COLUMN purge_time INTEGER;

-- lower() knows ASCII alone; what else is in upper case is found again once the prospect is changed.
UPDATE prospects SET search_key = lower(contact_name || char(10) || company || char(10) || email), industry_key = lower(industry);

-- A deleted prospect's address is free.
DROP INDEX prospects_email;
CREATE UNIQUE INDEX prospects_email ON prospects (tenant_id, email_key) WHERE delete_time IS NULL;
-- Filters look through the tenant's own rows in the order of the list; an index each would cost every write.
DROP INDEX prospects_status;
CREATE INDEX prospects_urgent ON prospects (tenant_id, priority_score, id);
-- What is to be purged, across tenants.
CREATE INDEX prospects_purge ON prospects (purge_time) WHERE purge_time IS NOT NULL;

-- The record of mail that was sent outlives the prospect, so neither table refers to prospects any more.
CREATE TABLE new_campaign_prospects (
    tenant_id   TEXT NOT NULL,
    campaign_id TEXT NOT NULL,
    position    INTEGER NOT NULL,
    prospect_id TEXT NOT NULL,
    score       INTEGER NOT NULL,
    reasons     TEXT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, position),
    UNIQUE (tenant_id, campaign_id, prospect_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
) STRICT, WITHOUT ROWID;

INSERT INTO new_campaign_prospects (tenant_id, campaign_id, position, prospect_id, score, reasons)
SELECT tenant_id, campaign_id, position, prospect_id, score, reasons FROM campaign_prospects;

DROP TABLE campaign_prospects;
ALTER TABLE new_campaign_prospects RENAME TO campaign_prospects;
-- In which campaigns a prospect was chosen.
CREATE INDEX campaign_prospects_prospect ON campaign_prospects (tenant_id, prospect_id, campaign_id);

CREATE TABLE new_emails (
    tenant_id     TEXT NOT NULL REFERENCES tenants (id),
    id            TEXT NOT NULL,
    prospect_id   TEXT NOT NULL,
    -- NULL for an e-mail that was received, as are its position and template.
    campaign_id   TEXT,
    position      INTEGER,
    template_id   TEXT,
    subject       TEXT NOT NULL,
    body          TEXT NOT NULL,
    from_name     TEXT NOT NULL,
    from_address  TEXT NOT NULL,
    to_name       TEXT NOT NULL,
    to_address    TEXT NOT NULL,
    unsubscribe   TEXT NOT NULL,
    status        TEXT NOT NULL,
    note          TEXT NOT NULL DEFAULT '',
    message_id    TEXT NOT NULL,
    edited        INTEGER NOT NULL DEFAULT 0,
    sent_time     INTEGER,
    create_time   INTEGER NOT NULL,
    update_time   INTEGER NOT NULL,
    -- Of an e-mail that was received.
    received_time INTEGER,
    intent        TEXT,
    in_reply_to   TEXT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
) STRICT;

INSERT INTO new_emails (
    tenant_id, id, prospect_id, campaign_id, position, template_id, subject, body, from_name, from_address, to_name,
    to_address, unsubscribe, status, note, message_id, edited, sent_time, create_time, update_time)
SELECT tenant_id, id, prospect_id, campaign_id, position, template_id, subject, body, from_name, from_address, to_name,
    to_address, unsubscribe, status, note, message_id, edited, sent_time, create_time, update_time
FROM emails;

DROP TABLE emails;
ALTER TABLE new_emails RENAME TO emails;
-- One e-mail per prospect and campaign: a step that is done twice cannot write to anybody twice.
CREATE UNIQUE INDEX emails_prospect ON emails (tenant_id, prospect_id, campaign_id) WHERE campaign_id IS NOT NULL;
CREATE UNIQUE INDEX emails_campaign ON emails (tenant_id, campaign_id, position) WHERE campaign_id IS NOT NULL;
CREATE INDEX emails_status ON emails (tenant_id, campaign_id, status, position);
-- What a crash leaves in the middle of sending, across tenants.
CREATE INDEX emails_sending ON emails (tenant_id, campaign_id) WHERE status = 'sending';
CREATE INDEX emails_newest ON emails (tenant_id, prospect_id, create_time, id);

-- The password of the tenant's mail server, sealed under the tenant's own key: nonce, sealed text, tag.
ALTER TABLE agent_configs ADD COLUMN smtp_password BLOB;
ALTER TABLE agent_configs ADD COLUMN create_time INTEGER;
UPDATE agent_configs SET create_time = update_time;

CREATE TABLE marketing_strategies (
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    id          TEXT NOT NULL,
    website     TEXT NOT NULL,
    goal        TEXT NOT NULL,
    -- May name a campaign that is gone.
    campaign_id TEXT NOT NULL,
    analysis    TEXT NOT NULL,
    strategy    TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX marketing_strategies_newest ON marketing_strategies (tenant_id, create_time, id);

-- Addresses that are not written to.
CREATE TABLE suppressions (
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    -- The address in lower case.
    email_key   TEXT NOT NULL,
    email       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    source      TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, email_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX suppressions_newest ON suppressions (tenant_id, create_time, email_key);

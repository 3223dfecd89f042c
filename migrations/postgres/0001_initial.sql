-- The schema of `migrations/sqlite`, as PostgreSQL has it. Nothing applies it yet but a test, which prepares every text on it and
-- compares the two, column by column.
--
-- Times are microseconds since 1970. Texts sort by their bytes, as SQLite sorts them; booleans are 0 and 1.

CREATE TABLE tenants (
    id          text COLLATE "C" NOT NULL,
    -- The tenant's own random key for its secrets, wrapped by the master key.
    data_key    bytea NOT NULL,
    status      text COLLATE "C" NOT NULL DEFAULT 'active' CHECK (status IN ('active')),
    create_time bigint NOT NULL,
    -- What signs the tenant's links, sealed under its own key: nonce, sealed text, tag. NULL: none was needed yet.
    link_key    bytea,
    PRIMARY KEY (id)
);

CREATE TABLE agent_configs (
    tenant_id     text COLLATE "C" NOT NULL,
    settings      text COLLATE "C" NOT NULL,
    revision      bigint NOT NULL,
    update_time   bigint NOT NULL,
    create_time   bigint,
    PRIMARY KEY (tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

-- What stood in the configuration and is of a mailbox now.
CREATE TABLE agent_mail (
    tenant_id     text COLLATE "C" NOT NULL,
    settings      text COLLATE "C" NOT NULL,
    smtp_password bytea,
    PRIMARY KEY (tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE prospects (
    tenant_id              text COLLATE "C" NOT NULL,
    id                     text COLLATE "C" NOT NULL,
    email                  text COLLATE "C" NOT NULL,
    -- The address in lower case: uniqueness sees Anna@ and anna@ alike, in every script.
    email_key              text COLLATE "C" NOT NULL,
    company                text COLLATE "C" NOT NULL,
    contact_name           text COLLATE "C" NOT NULL,
    position               text COLLATE "C" NOT NULL,
    industry               text COLLATE "C" NOT NULL,
    location               text COLLATE "C" NOT NULL,
    business_size          text COLLATE "C" NOT NULL,
    source                 text COLLATE "C" NOT NULL,
    source_url             text COLLATE "C" NOT NULL,
    notes                  text COLLATE "C" NOT NULL,
    tags                   text COLLATE "C" NOT NULL,
    language               text COLLATE "C" NOT NULL,
    status                 text COLLATE "C" NOT NULL,
    emails_sent            bigint NOT NULL,
    last_contact_time      bigint,
    create_time            bigint NOT NULL,
    update_time            bigint NOT NULL,
    revision               bigint NOT NULL,
    -- NULL where nobody has said how likely it is.
    conversion_probability bigint,
    priority_score         bigint NOT NULL DEFAULT 0,
    next_action            text COLLATE "C" NOT NULL DEFAULT '',
    potential_interest     text COLLATE "C" NOT NULL DEFAULT '',
    discovery_context      text COLLATE "C" NOT NULL DEFAULT '',
    manual_intervention    bigint NOT NULL DEFAULT 0,
    auto_reply_enabled     bigint NOT NULL DEFAULT 1,
    -- Where its clocks are: a name of the IANA database; empty: nobody knows.
    time_zone              text COLLATE "C" NOT NULL DEFAULT '',
    replies_received       bigint NOT NULL DEFAULT 0,
    last_reply             text COLLATE "C" NOT NULL DEFAULT '',
    last_reply_time        bigint,
    -- What the last reply wants that says whether its writer wants more.
    decided_intent         text COLLATE "C",
    -- Name, company and address in lower case, for the search; the industry in lower case.
    search_key             text COLLATE "C" NOT NULL DEFAULT '',
    industry_key           text COLLATE "C" NOT NULL DEFAULT '',
    delete_time            bigint,
    purge_time             bigint,
    -- 0: the key is of an earlier version: the address in lower case.
    keyed                  bigint NOT NULL DEFAULT 0,
    -- The older prospect of the same mailbox, where two were made before both spellings had one key. It is never written to.
    duplicate_of           text COLLATE "C",
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE INDEX prospects_newest ON prospects (tenant_id, create_time, id);
CREATE INDEX prospects_urgent ON prospects (tenant_id, priority_score, id);
CREATE INDEX prospects_purge ON prospects (purge_time) WHERE purge_time IS NOT NULL;
CREATE UNIQUE INDEX prospects_email ON prospects (tenant_id, email_key) WHERE delete_time IS NULL AND duplicate_of IS NULL;
CREATE INDEX prospects_unkeyed ON prospects (tenant_id, create_time, id) WHERE keyed = 0;

CREATE TABLE campaigns (
    tenant_id      text COLLATE "C" NOT NULL,
    id             text COLLATE "C" NOT NULL,
    state          text COLLATE "C" NOT NULL,
    -- Where a paused campaign returns to.
    resume_to      text COLLATE "C",
    settings       text COLLATE "C" NOT NULL,
    current_step   text COLLATE "C" NOT NULL,
    -- How many of its prospects the current step has dealt with.
    cursor         bigint NOT NULL DEFAULT 0,
    prospect_count bigint NOT NULL DEFAULT 0,
    -- The number of its newest event.
    seq            bigint NOT NULL DEFAULT 0,
    -- Raised by every claim; a write under an older one changes nothing.
    fence          bigint NOT NULL DEFAULT 0,
    lease_owner    text COLLATE "C",
    due_time       bigint NOT NULL DEFAULT 0,
    failure        text COLLATE "C" NOT NULL DEFAULT '',
    -- What the steps have found out, as JSON.
    analysis       text COLLATE "C",
    strategy       text COLLATE "C",
    create_time    bigint NOT NULL,
    update_time    bigint NOT NULL,
    end_time       bigint,
    -- 0: none. 1: claimed for a turn that reads. 2: it may have killed the process, and reads alone from now on. 3: it reads alone
    -- at this moment.
    suspicion      bigint NOT NULL DEFAULT 0,
    -- How often the process died while it read alone.
    deaths         bigint NOT NULL DEFAULT 0,
    -- Whom a campaign left out when it chose its recipients, as JSON: rule, number, some addresses.
    left_out       text COLLATE "C",
    -- How often its present piece of work has failed in passing.
    tries          bigint NOT NULL DEFAULT 0,
    -- Why it stands still although it is running, and since when.
    hold_reason    text COLLATE "C" NOT NULL DEFAULT '',
    hold_time      bigint,
    -- When it was last resumed: its guard counts what was sent since.
    guard_time bigint,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE INDEX campaigns_newest ON campaigns (tenant_id, create_time, id);
CREATE INDEX campaigns_leased ON campaigns (lease_owner) WHERE lease_owner IS NOT NULL;
CREATE INDEX campaigns_suspicion ON campaigns (suspicion) WHERE suspicion > 0;
CREATE INDEX campaigns_live ON campaigns (tenant_id)
    WHERE state IN ('RUNNING', 'PAUSED', 'WAITING_ANALYSIS', 'WAITING_TEMPLATE', 'WAITING_APPROVAL');
CREATE INDEX campaigns_due ON campaigns (due_time) WHERE state = 'RUNNING';

CREATE TABLE campaign_steps (
    tenant_id   text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    step        text COLLATE "C" NOT NULL,
    status      text COLLATE "C" NOT NULL,
    progress    bigint NOT NULL,
    start_time  bigint,
    end_time    bigint,
    summary     text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, step),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE TABLE campaign_events (
    tenant_id   text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    seq         bigint NOT NULL,
    time        bigint NOT NULL,
    -- The step whose log the event is a line of; NULL for other events.
    log_step    text COLLATE "C",
    data        text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, seq),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE INDEX campaign_events_log ON campaign_events (tenant_id, campaign_id, log_step, seq) WHERE log_step IS NOT NULL;

CREATE TABLE idempotency_keys (
    tenant_id    text COLLATE "C" NOT NULL,
    method       text COLLATE "C" NOT NULL,
    request_id   text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    result       text COLLATE "C" NOT NULL,
    create_time  bigint NOT NULL,
    PRIMARY KEY (tenant_id, method, request_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE INDEX idempotency_keys_age ON idempotency_keys (create_time);

CREATE TABLE campaign_prospects (
    tenant_id   text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    position    bigint NOT NULL,
    prospect_id text COLLATE "C" NOT NULL,
    score       bigint NOT NULL,
    reasons     text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, position),
    UNIQUE (tenant_id, campaign_id, prospect_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE INDEX campaign_prospects_prospect ON campaign_prospects (tenant_id, prospect_id, campaign_id);

CREATE TABLE emails (
    tenant_id     text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    prospect_id   text COLLATE "C" NOT NULL,
    -- NULL for an e-mail that was received, as are its position and template.
    campaign_id   text COLLATE "C",
    position      bigint,
    template_id   text COLLATE "C",
    subject       text COLLATE "C" NOT NULL,
    body          text COLLATE "C" NOT NULL,
    from_name     text COLLATE "C" NOT NULL,
    from_address  text COLLATE "C" NOT NULL,
    to_name       text COLLATE "C" NOT NULL,
    to_address    text COLLATE "C" NOT NULL,
    unsubscribe   text COLLATE "C" NOT NULL,
    status        text COLLATE "C" NOT NULL,
    note          text COLLATE "C" NOT NULL DEFAULT '',
    message_id    text COLLATE "C" NOT NULL,
    edited        bigint NOT NULL DEFAULT 0,
    sent_time     bigint,
    create_time   bigint NOT NULL,
    update_time   bigint NOT NULL,
    -- Of an e-mail that was received.
    received_time bigint,
    intent        text COLLATE "C",
    in_reply_to   text COLLATE "C",
    -- The key of the prospect's address: to whom it is sent, or who has sent it. Empty: not made yet.
    address_key   text COLLATE "C" NOT NULL DEFAULT '',
    -- Which mailbox it is sent from; NULL: it goes into the tenant's outbox folder.
    mailbox_id    text COLLATE "C",
    -- When it was handed to the mailbox's server, as the mailbox's limits count it, and how often it was.
    try_time      bigint,
    tries         bigint NOT NULL DEFAULT 0,
    -- Before when it is not tried again.
    retry_time    bigint,
    -- The last talk about it with the server, as JSON: stages, codes, times. Empty: there was none.
    transcript    text COLLATE "C" NOT NULL DEFAULT '',
    -- What came back about an e-mail: that it has bounced, and when; 1: for good. And when its recipient has complained about it.
    bounce_time       bigint,
    bounce_permanent  bigint NOT NULL DEFAULT 0,
    bounce_status     text COLLATE "C" NOT NULL DEFAULT '',
    bounce_diagnostic text COLLATE "C" NOT NULL DEFAULT '',
    complaint_time    bigint,
    -- The id that the mail server has given it; empty: none that is known.
    server_id         text COLLATE "C" NOT NULL DEFAULT '',
    -- When it was taken, or refused since nobody is there: the mails that the guards count.
    mailed_time       bigint,
    -- Who has approved or rejected an e-mail, and who has changed its text last, as tokens name them; empty: the configuration, or nobody.
    decided_by        text COLLATE "C" NOT NULL DEFAULT '',
    decided_time      bigint,
    edited_by         text COLLATE "C" NOT NULL DEFAULT '',
    edited_time       bigint,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id)
);

CREATE UNIQUE INDEX emails_prospect ON emails (tenant_id, prospect_id, campaign_id) WHERE campaign_id IS NOT NULL;
CREATE UNIQUE INDEX emails_campaign ON emails (tenant_id, campaign_id, position) WHERE campaign_id IS NOT NULL;
CREATE INDEX emails_status ON emails (tenant_id, campaign_id, status, position);
CREATE INDEX emails_sending ON emails (tenant_id, campaign_id) WHERE status = 'sending';
CREATE INDEX emails_newest ON emails (tenant_id, prospect_id, create_time, id);
CREATE INDEX emails_unkeyed ON emails (tenant_id) WHERE address_key = '';
CREATE INDEX emails_address ON emails (tenant_id, address_key, status);
CREATE INDEX emails_tries ON emails (tenant_id, mailbox_id, try_time) WHERE try_time IS NOT NULL;
CREATE INDEX emails_waiting ON emails (tenant_id, mailbox_id) WHERE mailbox_id IS NOT NULL AND status IN ('awaiting_approval', 'approved');
CREATE INDEX emails_message_id ON emails (tenant_id, message_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX emails_server_id ON emails (tenant_id, server_id) WHERE server_id != '';
CREATE INDEX emails_of_mailbox ON emails (tenant_id, mailbox_id, mailed_time, bounce_permanent, complaint_time) WHERE mailed_time IS NOT NULL AND mailbox_id IS NOT NULL;
CREATE INDEX emails_of_campaign ON emails (tenant_id, campaign_id, mailed_time, bounce_permanent, complaint_time) WHERE mailed_time IS NOT NULL;
CREATE INDEX emails_trouble_of_mailbox ON emails (tenant_id, mailbox_id) WHERE bounce_permanent = 1 OR complaint_time IS NOT NULL;
CREATE INDEX emails_trouble_of_campaign ON emails (tenant_id, campaign_id) WHERE bounce_permanent = 1 OR complaint_time IS NOT NULL;
CREATE INDEX emails_to_send ON emails (tenant_id, campaign_id, mailbox_id, COALESCE(retry_time, 0), position) WHERE status = 'approved';

-- The templates that a tenant has written itself.
CREATE TABLE templates (
    tenant_id   text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    -- A subject and a body for each language, as JSON.
    texts       text COLLATE "C" NOT NULL,
    revision    bigint NOT NULL,
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE marketing_strategies (
    tenant_id   text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    website     text COLLATE "C" NOT NULL,
    goal        text COLLATE "C" NOT NULL,
    -- May name a campaign that is gone.
    campaign_id text COLLATE "C" NOT NULL,
    analysis    text COLLATE "C" NOT NULL,
    strategy    text COLLATE "C" NOT NULL,
    create_time bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE INDEX marketing_strategies_newest ON marketing_strategies (tenant_id, create_time, id);

CREATE TABLE suppressions (
    tenant_id   text COLLATE "C" NOT NULL,
    -- The address in lower case.
    email_key   text COLLATE "C" NOT NULL,
    email       text COLLATE "C" NOT NULL,
    reason      text COLLATE "C" NOT NULL,
    source      text COLLATE "C" NOT NULL,
    create_time bigint NOT NULL,
    keyed       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, email_key),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE INDEX suppressions_newest ON suppressions (tenant_id, create_time, email_key);
CREATE INDEX suppressions_unkeyed ON suppressions (tenant_id, email_key) WHERE keyed = 0;

CREATE TABLE email_counts (
    tenant_id   text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    status      text COLLATE "C" NOT NULL,
    count       bigint NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, status),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE prospect_counts (
    tenant_id text COLLATE "C" NOT NULL,
    status    text COLLATE "C" NOT NULL,
    count     bigint NOT NULL,
    PRIMARY KEY (tenant_id, status),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

-- What triggers do in `migrations/sqlite`.
CREATE FUNCTION count_email(tenant text, campaign text, of_status text, more bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO email_counts (tenant_id, campaign_id, status, count) VALUES (tenant, campaign, of_status, more)
    ON CONFLICT (tenant_id, campaign_id, status) DO UPDATE SET count = email_counts.count + more
$$;

CREATE FUNCTION count_emails() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.campaign_id IS NOT NULL THEN
        PERFORM count_email(OLD.tenant_id, OLD.campaign_id, OLD.status, -1);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.campaign_id IS NOT NULL THEN
        PERFORM count_email(NEW.tenant_id, NEW.campaign_id, NEW.status, 1);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER emails_counted AFTER INSERT OR DELETE OR UPDATE OF status ON emails
    FOR EACH ROW EXECUTE FUNCTION count_emails();

CREATE FUNCTION count_prospect(tenant text, of_status text, more bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO prospect_counts (tenant_id, status, count) VALUES (tenant, of_status, more)
    ON CONFLICT (tenant_id, status) DO UPDATE SET count = prospect_counts.count + more
$$;

CREATE FUNCTION count_prospects() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.delete_time IS NULL THEN
        PERFORM count_prospect(OLD.tenant_id, OLD.status, -1);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.delete_time IS NULL THEN
        PERFORM count_prospect(NEW.tenant_id, NEW.status, 1);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER prospects_counted AFTER INSERT OR DELETE OR UPDATE OF status, delete_time ON prospects
    FOR EACH ROW EXECUTE FUNCTION count_prospects();

CREATE TABLE audit_events (
    tenant_id  text COLLATE "C" NOT NULL,
    -- One higher than the newest before it: how many rows there are is the newest less the oldest.
    seq        bigint NOT NULL,
    time       bigint NOT NULL,
    subject    text COLLATE "C" NOT NULL,
    -- Empty for an operator, who has none.
    role       text COLLATE "C" NOT NULL,
    proof      text COLLATE "C" NOT NULL,
    method     text COLLATE "C" NOT NULL,
    -- How many things were touched, and the ids of the first of them, as JSON.
    touched    bigint NOT NULL,
    ids        text COLLATE "C" NOT NULL,
    -- The fields that were changed, without their values, as JSON.
    fields     text COLLATE "C" NOT NULL,
    -- That of the call; the caller's own.
    call_id    text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    -- 1: it takes several writes, of which the last has not come.
    unfinished bigint NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

-- The addresses that a tenant sends from.
CREATE TABLE mailboxes (
    tenant_id    text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    -- Of its address: a tenant has one mailbox of each.
    address_key  text COLLATE "C" NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    -- As JSON.
    settings     text COLLATE "C" NOT NULL,
    -- What it signs in with, sealed, and which of it there is, as JSON.
    secrets      bytea,
    has_secrets  text COLLATE "C" NOT NULL,
    state        text COLLATE "C" NOT NULL,
    pause_reason text COLLATE "C" NOT NULL,
    pause_time   bigint,
    revision     bigint NOT NULL,
    create_time  bigint NOT NULL,
    update_time  bigint NOT NULL,
    -- Before when it sends nothing: its pause between two mails, or its server is away.
    next_time    bigint,
    -- How often its server was away, and has refused its sign-in, since it last let it in.
    failures     bigint NOT NULL DEFAULT 0,
    refused_sign_ins bigint NOT NULL DEFAULT 0,
    -- When it was last resumed: its guard counts what was sent since.
    guard_time bigint,
    -- The recipients' domains that have refused its mail for a policy since any took some, as JSON.
    refusers text COLLATE "C" NOT NULL DEFAULT '[]',
    trouble text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE UNIQUE INDEX mailboxes_by_address ON mailboxes (tenant_id, address_key);

-- The links by which readers of letters unsubscribe, one for each e-mail that was handed over; an e-mail that is gone leaves its link.
CREATE TABLE unsubscribe_links (
    tenant_id   text COLLATE "C" NOT NULL,
    email_id    text COLLATE "C" NOT NULL,
    -- What its token holds of it: 16 random bytes.
    id          bytea NOT NULL,
    -- Whom the letter was sent to, in which language its reader is spoken to, and who has written it.
    address     text COLLATE "C" NOT NULL,
    language    text COLLATE "C" NOT NULL,
    sender      text COLLATE "C" NOT NULL,
    create_time bigint NOT NULL,
    -- When it has suppressed the address; NULL: it has not, or that was taken back.
    use_time    bigint,
    -- How often it was taken back.
    undos       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, email_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

-- Whoever follows a link says no tenant.
CREATE UNIQUE INDEX unsubscribe_links_by_id ON unsubscribe_links (id);

-- Nobody read them.
DROP TABLE counters;

-- When a running campaign may be claimed: now, when its lease ends, or when something is to be tried again.
DROP INDEX campaigns_due;
ALTER TABLE campaigns RENAME COLUMN lease_until TO due_time;
-- Without the time of the last change, which every event moves.
CREATE INDEX campaigns_due ON campaigns (due_time) WHERE state = 'RUNNING';
-- How often its present piece of work has failed in passing.
ALTER TABLE campaigns ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
-- Why it stands still although it is running, and since when.
ALTER TABLE campaigns ADD COLUMN hold_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE campaigns ADD COLUMN hold_time INTEGER;

-- How many e-mails of a campaign stand where. Triggers keep it, so that no text can forget to.
CREATE TABLE email_counts (
    tenant_id   TEXT NOT NULL,
    campaign_id TEXT NOT NULL,
    status      TEXT NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, status),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

INSERT INTO email_counts (tenant_id, campaign_id, status, count)
SELECT tenant_id, campaign_id, status, COUNT(*)
FROM emails
WHERE campaign_id IS NOT NULL
GROUP BY tenant_id, campaign_id, status;

CREATE TRIGGER emails_counted_when_added AFTER INSERT ON emails WHEN NEW.campaign_id IS NOT NULL BEGIN
    INSERT INTO email_counts (tenant_id, campaign_id, status, count)
    VALUES (NEW.tenant_id, NEW.campaign_id, NEW.status, 1)
    ON CONFLICT (tenant_id, campaign_id, status) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER emails_counted_when_changed AFTER UPDATE OF status ON emails
WHEN NEW.campaign_id IS NOT NULL AND NEW.status != OLD.status BEGIN
    UPDATE email_counts SET count = count - 1
    WHERE tenant_id = OLD.tenant_id AND campaign_id = OLD.campaign_id AND status = OLD.status;
    INSERT INTO email_counts (tenant_id, campaign_id, status, count)
    VALUES (NEW.tenant_id, NEW.campaign_id, NEW.status, 1)
    ON CONFLICT (tenant_id, campaign_id, status) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER emails_counted_when_removed AFTER DELETE ON emails WHEN OLD.campaign_id IS NOT NULL BEGIN
    UPDATE email_counts SET count = count - 1
    WHERE tenant_id = OLD.tenant_id AND campaign_id = OLD.campaign_id AND status = OLD.status;
END;

-- How many prospects of a tenant stand where; those that are deleted count for none.
CREATE TABLE prospect_counts (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    status    TEXT NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, status)
) STRICT, WITHOUT ROWID;

INSERT INTO prospect_counts (tenant_id, status, count)
SELECT tenant_id, status, COUNT(*)
FROM prospects
WHERE delete_time IS NULL
GROUP BY tenant_id, status;

CREATE TRIGGER prospects_counted_when_added AFTER INSERT ON prospects WHEN NEW.delete_time IS NULL BEGIN
    INSERT INTO prospect_counts (tenant_id, status, count) VALUES (NEW.tenant_id, NEW.status, 1)
    ON CONFLICT (tenant_id, status) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER prospects_counted_when_changed AFTER UPDATE OF status, delete_time ON prospects
WHEN NEW.status != OLD.status OR (NEW.delete_time IS NULL) != (OLD.delete_time IS NULL) BEGIN
    UPDATE prospect_counts SET count = count - 1
    WHERE OLD.delete_time IS NULL AND tenant_id = OLD.tenant_id AND status = OLD.status;
    INSERT INTO prospect_counts (tenant_id, status, count)
    SELECT NEW.tenant_id, NEW.status, 1 WHERE NEW.delete_time IS NULL
    ON CONFLICT (tenant_id, status) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER prospects_counted_when_removed AFTER DELETE ON prospects WHEN OLD.delete_time IS NULL BEGIN
    UPDATE prospect_counts SET count = count - 1 WHERE tenant_id = OLD.tenant_id AND status = OLD.status;
END;

-- Where a prospect's clocks are: a name of the IANA database; empty: nobody knows.
ALTER TABLE prospects ADD COLUMN time_zone TEXT NOT NULL DEFAULT '';

-- The e-mails of a mailbox in the order in which they are due, so that those that wait are not looked through.
DROP INDEX emails_to_send;
CREATE INDEX emails_to_send ON emails (tenant_id, campaign_id, mailbox_id, COALESCE(retry_time, 0), position) WHERE status = 'approved';

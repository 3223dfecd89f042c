-- Who has approved or rejected an e-mail, and who has changed its text last, as tokens name them; empty: the configuration, or nobody.
ALTER TABLE emails ADD COLUMN decided_by TEXT NOT NULL DEFAULT '';
ALTER TABLE emails ADD COLUMN decided_time INTEGER;
ALTER TABLE emails ADD COLUMN edited_by TEXT NOT NULL DEFAULT '';
ALTER TABLE emails ADD COLUMN edited_time INTEGER;

-- The few mails of which something came back, so that the guards need not count those of which nothing did.
CREATE INDEX emails_trouble_of_mailbox ON emails (tenant_id, mailbox_id) WHERE bounce_permanent = 1 OR complaint_time IS NOT NULL;
CREATE INDEX emails_trouble_of_campaign ON emails (tenant_id, campaign_id) WHERE bounce_permanent = 1 OR complaint_time IS NOT NULL;

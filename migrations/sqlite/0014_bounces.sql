-- What came back about an e-mail: that it has bounced, and when; 1: for good. And when its recipient has complained about it.
ALTER TABLE emails ADD COLUMN bounce_time INTEGER;
ALTER TABLE emails ADD COLUMN bounce_permanent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE emails ADD COLUMN bounce_status TEXT NOT NULL DEFAULT '';
ALTER TABLE emails ADD COLUMN bounce_diagnostic TEXT NOT NULL DEFAULT '';
ALTER TABLE emails ADD COLUMN complaint_time INTEGER;
-- The id that the mail server has given it; empty: none that is known.
ALTER TABLE emails ADD COLUMN server_id TEXT NOT NULL DEFAULT '';
-- Which e-mail a report is about.
CREATE INDEX emails_message_id ON emails (tenant_id, message_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX emails_server_id ON emails (tenant_id, server_id) WHERE server_id != '';

-- When it was taken, or refused since nobody is there: the mails that the guards count.
ALTER TABLE emails ADD COLUMN mailed_time INTEGER;
UPDATE emails SET mailed_time = sent_time WHERE sent_time IS NOT NULL;
CREATE INDEX emails_of_mailbox ON emails (tenant_id, mailbox_id, mailed_time, bounce_permanent, complaint_time) WHERE mailed_time IS NOT NULL AND mailbox_id IS NOT NULL;
CREATE INDEX emails_of_campaign ON emails (tenant_id, campaign_id, mailed_time, bounce_permanent, complaint_time) WHERE mailed_time IS NOT NULL;
-- When it was last resumed: its guard counts what was sent since.
ALTER TABLE mailboxes ADD COLUMN guard_time INTEGER;
ALTER TABLE campaigns ADD COLUMN guard_time INTEGER;

-- The recipients' domains that have refused its mail for a policy since any took some, as JSON.
ALTER TABLE mailboxes ADD COLUMN refusers TEXT NOT NULL DEFAULT '[]';

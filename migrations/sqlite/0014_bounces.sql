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

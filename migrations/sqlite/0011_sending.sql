-- Which mailbox an e-mail is sent from; NULL: it goes into the tenant's outbox folder.
ALTER TABLE emails ADD COLUMN mailbox_id TEXT;
-- When it was handed to the mailbox's server, as the mailbox's limits count it, and how often it was.
ALTER TABLE emails ADD COLUMN try_time INTEGER;
ALTER TABLE emails ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
-- Before when it is not tried again.
ALTER TABLE emails ADD COLUMN retry_time INTEGER;
-- The last talk about it with the server, as JSON: stages, codes, times. Empty: there was none.
ALTER TABLE emails ADD COLUMN transcript TEXT NOT NULL DEFAULT '';
CREATE INDEX emails_tries ON emails (tenant_id, mailbox_id, try_time) WHERE try_time IS NOT NULL;
CREATE INDEX emails_waiting ON emails (tenant_id, mailbox_id) WHERE mailbox_id IS NOT NULL AND status IN ('awaiting_approval', 'approved');
CREATE INDEX emails_to_send ON emails (tenant_id, campaign_id, mailbox_id, position) WHERE status = 'approved';

-- Before when a mailbox sends nothing: its pause between two mails, or its server is away.
ALTER TABLE mailboxes ADD COLUMN next_time INTEGER;
-- How often its server was away, and has refused its sign-in, since it last let it in.
ALTER TABLE mailboxes ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mailboxes ADD COLUMN refused_sign_ins INTEGER NOT NULL DEFAULT 0;

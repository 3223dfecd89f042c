-- One mailbox, one key. The keys of rows from before are made anew when the database is opened (`store::rekey`), which SQL
-- alone cannot.

-- 0: the key is of an earlier version: the address in lower case.
ALTER TABLE prospects ADD COLUMN keyed INTEGER NOT NULL DEFAULT 0;
-- The older prospect of the same mailbox, where two were made before both spellings had one key. It is never written to.
ALTER TABLE prospects ADD COLUMN duplicate_of TEXT;
DROP INDEX prospects_email;
CREATE UNIQUE INDEX prospects_email ON prospects (tenant_id, email_key) WHERE delete_time IS NULL AND duplicate_of IS NULL;
CREATE INDEX prospects_unkeyed ON prospects (tenant_id, create_time, id) WHERE keyed = 0;

ALTER TABLE suppressions ADD COLUMN keyed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX suppressions_unkeyed ON suppressions (tenant_id, email_key) WHERE keyed = 0;

-- The key of the prospect's address: to whom it is sent, or who has sent it. Empty: not made yet.
ALTER TABLE emails ADD COLUMN address_key TEXT NOT NULL DEFAULT '';
CREATE INDEX emails_unkeyed ON emails (tenant_id) WHERE address_key = '';
-- All mail of a mailbox, whatever became of its prospect.
CREATE INDEX emails_address ON emails (tenant_id, address_key, status);

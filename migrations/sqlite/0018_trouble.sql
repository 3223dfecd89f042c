-- What its server has said, or failed to say, since it last let the mailbox in; empty: nothing.
ALTER TABLE mailboxes ADD COLUMN trouble TEXT NOT NULL DEFAULT '';

-- The addresses that a tenant sends from.
CREATE TABLE mailboxes (
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    id           TEXT NOT NULL,
    -- Of its address: a tenant has one mailbox of each.
    address_key  TEXT NOT NULL,
    kind         TEXT NOT NULL,
    -- As JSON.
    settings     TEXT NOT NULL,
    -- What it signs in with, sealed, and which of it there is, as JSON.
    secrets      BLOB,
    has_secrets  TEXT NOT NULL,
    state        TEXT NOT NULL,
    pause_reason TEXT NOT NULL,
    pause_time   INTEGER,
    revision     INTEGER NOT NULL,
    create_time  INTEGER NOT NULL,
    update_time  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mailboxes_by_address ON mailboxes (tenant_id, address_key);

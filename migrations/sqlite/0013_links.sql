-- What signs the tenant's links, sealed under its own key: nonce, sealed text, tag. NULL: none was needed yet.
ALTER TABLE tenants ADD COLUMN link_key BLOB;

-- The links by which readers of letters unsubscribe, one for each e-mail that was handed over; an e-mail that is gone leaves its link.
CREATE TABLE unsubscribe_links (
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    email_id    TEXT NOT NULL,
    -- What its token holds of it: 16 random bytes.
    id          BLOB NOT NULL,
    -- Whom the letter was sent to, in which language its reader is spoken to, and who has written it.
    address     TEXT NOT NULL,
    language    TEXT NOT NULL,
    sender      TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    -- When it has suppressed the address; NULL: it has not, or that was taken back.
    use_time    INTEGER,
    -- How often it was taken back.
    undos       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, email_id)
) STRICT, WITHOUT ROWID;
-- Whoever follows a link says no tenant.
CREATE UNIQUE INDEX unsubscribe_links_by_id ON unsubscribe_links (id);

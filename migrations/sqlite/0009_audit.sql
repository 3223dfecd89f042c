-- Who did what: a row for each call that has changed rows, and one for each operator's command.
CREATE TABLE audit_events (
    tenant_id  TEXT NOT NULL REFERENCES tenants (id),
    -- One higher than the newest before it: how many rows there are is the newest less the oldest.
    seq        INTEGER NOT NULL,
    time       INTEGER NOT NULL,
    subject    TEXT NOT NULL,
    -- Empty for an operator, who has none.
    role       TEXT NOT NULL,
    proof      TEXT NOT NULL,
    method     TEXT NOT NULL,
    -- How many things were touched, and the ids of the first of them, as JSON.
    touched    INTEGER NOT NULL,
    ids        TEXT NOT NULL,
    -- The fields that were changed, without their values, as JSON.
    fields     TEXT NOT NULL,
    -- That of the call; the caller's own.
    call_id    TEXT NOT NULL,
    request_id TEXT NOT NULL,
    -- 1: it takes several writes, of which the last has not come.
    unfinished INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) STRICT, WITHOUT ROWID;

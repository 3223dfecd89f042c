-- What stood in the configuration and is of a mailbox now: `store/agent_mail.rs` makes a paused one of each row, and removes it.
CREATE TABLE agent_mail (
    tenant_id     TEXT NOT NULL PRIMARY KEY REFERENCES tenants (id),
    -- The configuration as it was, as JSON.
    settings      TEXT NOT NULL,
    -- Sealed.
    smtp_password BLOB
) STRICT, WITHOUT ROWID;
INSERT INTO agent_mail (tenant_id, settings, smtp_password)
SELECT tenant_id, settings, smtp_password
FROM agent_configs
WHERE smtp_password IS NOT NULL
   OR COALESCE(settings ->> '$.smtp.host', '') != ''
   OR COALESCE(settings ->> '$.smtp.username', '') != ''
   OR COALESCE(settings ->> '$.provider', '') != ''
   OR COALESCE(settings ->> '$.sender.email', '') != ''
   OR COALESCE(settings ->> '$.controls.max_emails_per_hour', 0) != 0
   OR settings ->> '$.controls.working_hours' IS NOT NULL
   OR COALESCE(settings ->> '$.controls.time_zone', '') != '';
UPDATE agent_configs
SET settings = json_remove(settings, '$.smtp', '$.provider', '$.sender.email', '$.controls.max_emails_per_hour',
    '$.controls.working_hours', '$.controls.time_zone'), revision = revision + 1
WHERE tenant_id IN (SELECT tenant_id FROM agent_mail);
ALTER TABLE agent_configs DROP COLUMN smtp_password;

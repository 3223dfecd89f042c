-- Which campaigns read a stranger's website when the process died, and how often one of them did so alone.

-- 0: none. 1: claimed for a turn that reads. 2: it may have killed the process, and reads alone from now on. 3: it reads alone
-- at this moment.
ALTER TABLE campaigns ADD COLUMN suspicion INTEGER NOT NULL DEFAULT 0;
-- How often the process died while it read alone.
ALTER TABLE campaigns ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
-- Those that a start looks at, across tenants.
CREATE INDEX campaigns_suspicion ON campaigns (suspicion) WHERE suspicion > 0;
